import { type FieldProblem, InvalidInput } from '../../contract/failure.js'
import { logLevels } from '../../contract/statuses.js'
import type { LogRecord__Output } from '../../generated/proto/scaimind/v1/LogRecord.js'
import type { JobView, PageArguments } from '../operations/job-types.js'
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

const linesMax = 1000

type Fields = PothosSchemaTypes.ObjectFieldBuilder<PothosSchemaTypes.ExtendDefaultTypes<SchemaTypes>, JobView>

/** `Job.logs`. */
export const logConnection = (t: Fields) =>
  t.connection(
    {
      type: LogRecordRef,
      nullable: true,
      description:
        'Log lines, oldest first: the first 100 where nothing is asked, at most 1,000 at once. They are filtered by the coordinator, which looks at so many lines a page: with a filter that matches little a page may be short or empty and still have `hasNextPage`. Null with an error where the coordinator is away.',
      args: {
        level: t.arg({ type: LogLevelEnum, description: 'Only lines of this level or graver.' }),
        rank: t.arg.int({ description: 'Only lines of this process, from 0.' }),
        attempt: t.arg.int({ description: 'Only lines of this attempt, from 1; default all.' }),
        since: t.arg({ type: 'DateTime', description: 'Only lines that were not written before this time.' }),
        until: t.arg({ type: 'DateTime', description: 'Only lines that were written before this time.' }),
        pattern: t.arg.string({
          description:
            'Only lines whose text matches this regular expression: RE2’s language, at most 200 characters, `(?i)` for any case. InvalidInput naming `pattern` otherwise.',
        }),
      },
      complexity: ({ first, last }) => ({ field: 20, multiplier: Math.max(1, Math.ceil((first ?? last ?? 100) / 100)) }),
      resolve: async ({ job }, { first, after, last, before, ...filter }, { operations, caller }) => {
        const wrong = pageProblems({ first, after, last, before })
        if (wrong.length > 0) throw new InvalidInput(wrong)
        const fromEnd = last != null
        const page = await operations.jobs.logs(caller, job.job_id, {
          ...filter,
          after: after ?? null,
          limit: first ?? last ?? 100,
          fromEnd,
        })
        const edges = page.records.map((record) => ({ cursor: record.cursor, node: record }))
        const hasMore = page.has_more || page.scan_spent
        return {
          edges,
          scanSpent: page.scan_spent,
          pageInfo: {
            hasNextPage: !fromEnd && hasMore,
            hasPreviousPage: fromEnd ? hasMore : Boolean(after),
            startCursor: edges[0]?.cursor ?? null,
            // Also where nothing matched: reading goes on from there.
            endCursor: page.end_cursor || (edges.at(-1)?.cursor ?? null),
          },
        }
      },
    },
    {
      name: 'LogConnection',
      description: 'A page of log lines.',
      fields: (connection) => ({
        scanSpent: connection.boolean({
          description:
            'True where the page ended because so many lines were looked at, not because it is full or the log at its end: `after: endCursor` looks further.',
          resolve: ({ scanSpent }) => scanSpent,
        }),
      }),
    },
    { name: 'LogEdge', description: 'A log line and its place in the log.' },
  )

/** What is wrong with the page that was asked for: a log is read from its start, or its last lines. */
function pageProblems({ first, after, last, before }: PageArguments): FieldProblem[] {
  const size = (path: string, value: number | null | undefined) =>
    value != null && (value < 1 || value > linesMax) ? [{ path, message: 'A page has 1 to 1,000 lines.' }] : []
  return [
    ...size('first', first),
    ...size('last', last),
    ...(before ? [{ path: 'before', message: 'A log is read from its start with first and after, or its last lines with last.' }] : []),
    ...(last != null && first != null ? [{ path: 'last', message: 'Give first or last, not both.' }] : []),
    ...(last != null && after ? [{ path: 'after', message: 'after goes with first; last shows the last lines there are.' }] : []),
  ]
}
