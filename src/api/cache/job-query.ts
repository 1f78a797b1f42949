import { Failure } from '../../contract/failure.js'
import { jobOrderFields } from '../../contract/statuses.js'
import { Prisma } from '../../generated/prisma/api/client.js'
import { isEvaluation } from './job-row.js'

/** Which jobs; what is unset does not filter. Evaluations only where a label asks for them. */
export interface JobSelection {
  statuses?: readonly string[] | undefined
  trainingTypes?: readonly string[] | undefined
  frameworks?: readonly string[] | undefined
  baseModel?: string | undefined
  labels?: Readonly<Record<string, string>> | undefined
  nameContains?: string | undefined
  createdAfter?: Date | undefined
  createdBefore?: Date | undefined
  /** Only evaluations of these jobs. */
  evaluatesJobIds?: readonly string[] | undefined
  /** Only jobs that left a model behind. */
  hasOutput?: boolean | undefined
  /** Archived jobs too, or only those; default neither. */
  archived?: 'include' | 'only' | undefined
}

/** The order of a list; the job id breaks ties, in the same direction. */
export interface JobOrdering {
  field: (typeof jobOrderFields)[number]
  descending: boolean
}

/** The place of one row in an ordering. */
export interface JobPlace {
  value: string | number | null
  jobId: string
}

const isTime = (field: JobOrdering['field']) => field.endsWith('_at')

/** A cursor: the ordering, the row's value in it, and its id, so that rows inserted meanwhile move nothing. */
export function formatPlace(ordering: JobOrdering, { value, jobId }: JobPlace): string {
  return Buffer.from(JSON.stringify([ordering.field, ordering.descending, value, jobId])).toString('base64url')
}

/** Reads a cursor. Throws CURSOR_INVALID where it is malformed or of another ordering. */
export function parsePlace(text: string, ordering: JobOrdering, argument: string): JobPlace {
  const [field, descending, value, jobId] = readArray(text)
  const isValue =
    value === null ||
    (isTime(ordering.field) ? typeof value === 'string' && !Number.isNaN(Date.parse(value)) : ['string', 'number'].includes(typeof value))
  if (!jobOrderFields.some((known) => known === field) || typeof jobId !== 'string' || !isValue) {
    throw new Failure('CURSOR_INVALID', `${argument}: this is not a cursor of a job list.`)
  }
  if (field !== ordering.field || descending !== ordering.descending) {
    throw new Failure('CURSOR_INVALID', `${argument}: this cursor belongs to a list in another order.`)
  }
  return { value: value as JobPlace['value'], jobId }
}

function readArray(text: string): unknown[] {
  try {
    const read: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    return Array.isArray(read) ? read : []
  } catch {
    return []
  }
}

/** The conditions of a selection; the tenant comes first, as in the indexes. */
export function where(tenantId: string, selection: JobSelection): Prisma.Sql {
  const oneOf = (column: string, values: readonly string[] | undefined) =>
    values && values.length > 0 ? [Prisma.sql`${Prisma.raw(column)} IN (${Prisma.join([...values])})`] : []
  const { baseModel, nameContains, createdAfter, createdBefore, labels, evaluatesJobIds, hasOutput, archived } = selection
  return Prisma.join(
    [
      Prisma.sql`tenant_id = ${tenantId}`,
      ...(evaluatesJobIds
        ? [Prisma.sql`evaluates_job_id IN (${Prisma.join([...evaluatesJobIds])})`]
        : isEvaluation(labels)
          ? [Prisma.sql`is_evaluation = TRUE`]
          : [Prisma.sql`is_evaluation = FALSE`]),
      ...(hasOutput ? [Prisma.sql`has_output = TRUE`] : []),
      ...(archived === 'include' ? [] : [Prisma.sql`is_archived = ${archived === 'only'}`]),
      ...oneOf('status', selection.statuses),
      ...oneOf('training_type', selection.trainingTypes),
      ...oneOf('framework', selection.frameworks),
      ...(baseModel ? [Prisma.sql`base_model = ${baseModel}`] : []),
      ...(nameContains ? [Prisma.sql`LOWER(name) LIKE LOWER(${`%${nameContains.replace(/[\\%_]/g, '\\$&')}%`})`] : []),
      ...(createdAfter ? [Prisma.sql`created_at > ${createdAfter}`] : []),
      ...(createdBefore ? [Prisma.sql`created_at < ${createdBefore}`] : []),
      ...Object.entries(labels ?? {}).map(
        ([key, value]) =>
          Prisma.sql`EXISTS (SELECT 1 FROM job_label l WHERE l.job_id = job.job_id AND l.\`key\` = ${key} AND l.value = ${value})`,
      ),
    ],
    ' AND ',
  )
}

/** The condition of standing after a place when the list is read in this direction. NULL stands before every value. */
export function beyond(ordering: JobOrdering, { value, jobId }: JobPlace): Prisma.Sql {
  const column = Prisma.raw(ordering.field)
  const further = Prisma.raw(ordering.descending ? '<' : '>')
  if (value === null) {
    const tie = Prisma.sql`${column} IS NULL AND job_id ${further} ${jobId}`
    return ordering.descending ? Prisma.sql`(${tie})` : Prisma.sql`(${column} IS NOT NULL OR (${tie}))`
  }
  const at = isTime(ordering.field) ? new Date(value) : value
  // Written as one range with an exception, which an index can be read by.
  const range = Prisma.sql`${column} ${further}= ${at} AND (${column} ${further} ${at} OR job_id ${further} ${jobId})`
  const nullsFollow = ordering.descending && (ordering.field === 'started_at' || ordering.field === 'finished_at')
  return nullsFollow ? Prisma.sql`((${range}) OR ${column} IS NULL)` : Prisma.sql`(${range})`
}

/** The ORDER BY of an ordering. */
export function orderBy({ field, descending }: JobOrdering): Prisma.Sql {
  const direction = Prisma.raw(descending ? 'DESC' : 'ASC')
  return Prisma.sql`${Prisma.raw(field)} ${direction}, job_id ${direction}`
}
