import { type FieldProblem, InvalidInput } from '../../../contract/failure.js'
import { logLevels } from '../../../contract/statuses.js'
import type { LogRecord__Output } from '../../../generated/proto/scaimind/v1/LogRecord.js'
import type { JobView, PageArguments } from '../../operations/job-types.js'
import type { Page } from '../../operations/paging.js'
import { builder, type SchemaTypes } from '../builder.js'
import { known, LogLevelEnum } from '../enums.js'
import { timeOf } from '../scalars.js'

/** One line of output. */
export const LogRecordRef = builder.objectRef<LogRecord__Output>('LogRecord').implement({
  description: 'One line of a trainer’s output.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: 'Its place in the log.' }),
    time: t.field({ type: 'DateTime', nullable: true, description: 'When it was written.', resolve: (r) => timeOf(r.time) }),
    rank: t.exposeInt('rank', { description: 'The process that wrote it, from 0.' }),
    stream: t.exposeString('stream', { description: '`stdout` or `stderr`.' }),
    level: t.field({ type: LogLevelEnum, description: 'Its severity.', resolve: (r) => known(logLevels, r.level) ?? 'INFO' }),
    text: t.exposeString('text', { description: 'The line.' }),
    attempt: t.exposeInt('attempt', { description: 'The attempt that wrote it, from 1.' }),
  }),
})

const linesMax = 1000
const linesDefault = 100

interface LogPage extends Page<LogRecord__Output> {
  scanSpent: boolean
}

const LogConnectionRef = builder.connectionObject<typeof LogRecordRef, LogPage>(
  {
    type: LogRecordRef,
    name: 'LogConnection',
    description: 'A page of log lines.',
    fields: (t) => ({
      scanSpent: t.exposeBoolean('scanSpent', {
        description:
          'True where the page ended because so many lines were looked at, not because it is full or the log at its end: `after: endCursor`, or with `last` `before: startCursor`, looks further.',
      }),
    }),
  },
  { name: 'LogEdge', description: 'A log line and its place in the log.' },
)

type Fields = PothosSchemaTypes.ObjectFieldBuilder<PothosSchemaTypes.ExtendDefaultTypes<SchemaTypes>, JobView>

/** `Job.logs`. */
export const logConnection = (t: Fields) =>
  t.field({
    type: LogConnectionRef,
    nullable: true,
    description:
      'Log lines, oldest first: from the first on with `first` and `after`, from the last back with `last` and `before`. They are filtered by the coordinator, which looks at so many lines a page: with a filter that matches little a page may be short or empty and still have `hasNextPage` (with `last`, `hasPreviousPage`). Null with an error where the coordinator is away.',
    args: {
      first: t.arg.int({ description: `At most so many lines from the start, 1 to 1,000; default ${linesDefault}.` }),
      after: t.arg.string({ description: 'Begin after this cursor; default at the first line.' }),
      last: t.arg.int({ description: 'At most so many lines from the end, 1 to 1,000, instead of `first`; default: from the start.' }),
      before: t.arg.string({ description: `The last lines before this cursor; without \`last\`, ${linesDefault}.` }),
      level: t.arg({ type: LogLevelEnum, description: 'Only lines of this level or graver; default all.' }),
      rank: t.arg.int({ description: 'Only lines of this process, from 0; default all.' }),
      attempt: t.arg.int({ description: 'Only lines of this attempt, from 1; default all.' }),
      since: t.arg({ type: 'DateTime', description: 'Only lines that were not written before this time.' }),
      until: t.arg({ type: 'DateTime', description: 'Only lines that were written before this time.' }),
      pattern: t.arg.string({
        description:
          'Only lines whose text matches this regular expression: RE2’s language, at most 200 characters, `(?i)` for any case. InvalidInput naming `pattern` otherwise.',
      }),
    },
    complexity: ({ first, last }) => ({ field: 20, multiplier: Math.max(1, Math.ceil((first ?? last ?? linesDefault) / 100)) }),
    resolve: async ({ job }, { first, after, last, before, ...filter }, { operations, caller }) => {
      const wrong = pageProblems({ first, after, last, before })
      if (wrong.length > 0) throw new InvalidInput(wrong)
      const fromEnd = last != null || Boolean(before)
      const page = await operations.jobs.logs(caller, job.job_id, {
        ...filter,
        after: after || null,
        before: before || null,
        limit: (fromEnd ? last : first) ?? linesDefault,
        fromEnd,
      })
      const edges = page.records.map((record) => ({ cursor: record.cursor, node: record }))
      return {
        edges,
        scanSpent: page.scan_spent,
        pageInfo: {
          hasNextPage: page.has_more,
          hasPreviousPage: fromEnd ? page.has_earlier : Boolean(after),
          // Also where nothing matched: reading goes on from there.
          startCursor: page.start_cursor || (edges[0]?.cursor ?? null),
          endCursor: page.end_cursor || (edges.at(-1)?.cursor ?? null),
        },
      }
    },
  })

/** What is wrong with the page that was asked for. */
function pageProblems({ first, after, last, before }: PageArguments): FieldProblem[] {
  const size = (path: string, value: number | null | undefined) =>
    value != null && (value < 1 || value > linesMax) ? [{ path, message: 'A page has 1 to 1,000 lines.' }] : []
  return [
    ...size('first', first),
    ...size('last', last),
    ...(last != null && first != null ? [{ path: 'last', message: 'Give first or last, not both.' }] : []),
    ...(before && first != null ? [{ path: 'before', message: 'before goes with last, after with first.' }] : []),
    ...(after && (last != null || before) ? [{ path: 'after', message: 'after goes with first, before with last.' }] : []),
  ]
}
