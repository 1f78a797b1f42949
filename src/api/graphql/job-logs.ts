import { Failure } from '../../contract/failure.js'
import { logLevels } from '../../contract/statuses.js'
import type { LogRecord__Output } from '../../generated/proto/scaimind/v1/LogRecord.js'
import type { JobView } from '../operations/job-types.js'
import { builder, type SchemaTypes } from './builder.js'
import { known, LogLevelEnum } from './enums.js'
import { timeOf } from './scalars.js'

/** One line of output. */
export const LogRecordRef = builder.objectRef<LogRecord__Output>('LogRecord').implement({
  description: 'One line of a trainer’s output.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: 'Its place in the log.' }),
    time: t.field({ type: 'DateTime', nullable: true, description: 'When it was written.', resolve: (r) => timeOf(r.time) }),
    rank: t.exposeInt('rank', { description: 'The process that wrote it.' }),
    stream: t.exposeString('stream', { description: '`stdout` or `stderr`.' }),
    level: t.field({ type: LogLevelEnum, description: 'Its severity.', resolve: (r) => known(logLevels, r.level) ?? 'INFO' }),
    text: t.exposeString('text', { description: 'The line.' }),
    attempt: t.exposeInt('attempt', { description: 'The attempt that wrote it.' }),
  }),
})

type Fields = PothosSchemaTypes.ObjectFieldBuilder<PothosSchemaTypes.ExtendDefaultTypes<SchemaTypes>, JobView>

/** `Job.logs`. */
export const logConnection = (t: Fields) =>
  t.connection(
    {
      type: LogRecordRef,
      nullable: true,
      description: 'Log lines, oldest first, at most 1,000 at once; asked of the coordinator: null with an error where it is away.',
      args: {
        level: t.arg({ type: LogLevelEnum, description: 'Only lines of this level or graver.' }),
        rank: t.arg.int({ description: 'Only lines of this process.' }),
      },
      complexity: ({ first, last }) => ({ field: 20, multiplier: Math.max(1, Math.ceil((first ?? last ?? 100) / 100)) }),
      resolve: async ({ job }, { first, after, last, before, level, rank }, { operations, caller }) => {
        if (before)
          throw new Failure('VALIDATION_ERROR', 'before: a log is read from its start with first and after, or from its end with last.')
        const fromEnd = last != null && !after
        const limit = first ?? last ?? 100
        const page = await operations.jobs.logs(caller, job.job_id, {
          after: after ?? null,
          level: level ?? null,
          rank: rank ?? null,
          limit,
          fromEnd,
        })
        const edges = page.records.map((record) => ({ cursor: record.cursor, node: record }))
        return {
          edges,
          pageInfo: {
            hasNextPage: !fromEnd && page.has_more,
            hasPreviousPage: fromEnd ? page.has_more : Boolean(after),
            startCursor: edges[0]?.cursor ?? null,
            // Also where nothing matched: reading goes on from there.
            endCursor: page.end_cursor || (edges.at(-1)?.cursor ?? null),
          },
        }
      },
    },
    { name: 'LogConnection', description: 'A page of log lines.' },
    { name: 'LogEdge', description: 'A log line and its place in the log.' },
  )
