import { Failure } from '../../contract/failure.js'
import { type FrameworkType, type JobStatus, jobOrderFields, type TrainingType } from '../../contract/statuses.js'
import { all, exactly, oneOf, type Sql, sql } from './sql.js'

/** A label that a job must have; without a value any value will do. */
export interface LabelCondition {
  key: string
  value?: string | null | undefined
}

/** Which jobs of a tenant are meant; what is unset does not filter. Evaluations only where a label asks for them, archived jobs only where `archived` does. */
export interface JobFilter {
  statuses?: readonly JobStatus[] | undefined
  trainingTypes?: readonly TrainingType[] | undefined
  frameworks?: readonly FrameworkType[] | undefined
  baseModel?: string | undefined
  /** All must be there; without a value any value will do. */
  labels?: readonly LabelCondition[] | undefined
  /** Part of the name, in any case. */
  nameContains?: string | undefined
  createdAfter?: Date | undefined
  createdBefore?: Date | undefined
  startedAfter?: Date | undefined
  startedBefore?: Date | undefined
  finishedAfter?: Date | undefined
  finishedBefore?: Date | undefined
  userId?: string | undefined
  /** An attempt of it ran on this node. */
  nodeId?: string | undefined
  contentHash?: string | undefined
  /** Archived jobs too, or only those; default EXCLUDE. */
  archived?: 'EXCLUDE' | 'INCLUDE' | 'ONLY' | undefined
}

/** The same, and what only we ask for: evaluations are left out but for these, too. */
export interface JobSelection extends JobFilter {
  /** Only evaluations of these jobs. */
  evaluatesJobIds?: readonly string[] | undefined
  /** Only jobs that left a model behind. */
  hasOutput?: boolean | undefined
}

/** What cached jobs can be ordered by. */
export const jobOrderings = [...jobOrderFields, 'updated_at'] as const

/** The order of a list; the job id breaks ties, in the same direction. */
export interface JobOrder {
  field: (typeof jobOrderings)[number]
  descending: boolean
}

/** The place of one row in an ordering. */
export interface JobPlace {
  value: string | number | null
  jobId: string
}

const isTime = (field: JobOrder['field']) => field.endsWith('_at')
const isNullable = (field: JobOrder['field']) => field === 'started_at' || field === 'finished_at'

/** A cursor: the ordering, the row's value in it, and its id, so that rows inserted meanwhile move nothing. */
export function formatPlace(ordering: JobOrder, { value, jobId }: JobPlace): string {
  return Buffer.from(JSON.stringify([ordering.field, ordering.descending, value, jobId])).toString('base64url')
}

/** Reads a cursor. Throws CURSOR_INVALID where it is malformed or of another ordering. */
export function parsePlace(text: string, ordering: JobOrder, argument: string): JobPlace {
  const [field, descending, value, jobId] = readArray(text)
  if (!jobOrderings.some((known) => known === field) || typeof descending !== 'boolean' || typeof jobId !== 'string') {
    throw new Failure('CURSOR_INVALID', `${argument}: this is not a cursor of this list.`)
  }
  if (field !== ordering.field || descending !== ordering.descending) {
    throw new Failure(
      'CURSOR_INVALID',
      `${argument}: this cursor belongs to a list ordered by ${field} ${descending ? 'descending' : 'ascending'}.`,
    )
  }
  if (!isValueOf(ordering.field, value)) throw new Failure('CURSOR_INVALID', `${argument}: this is not a cursor of this list.`)
  return { value, jobId }
}

function isValueOf(field: JobOrder['field'], value: unknown): value is JobPlace['value'] {
  if (value === null) return isNullable(field)
  if (field === 'priority') return Number.isInteger(value)
  return typeof value === 'string' && (!isTime(field) || !Number.isNaN(Date.parse(value)))
}

function readArray(text: string): unknown[] {
  try {
    const read: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    return Array.isArray(read) ? read : []
  } catch {
    return []
  }
}

const evaluationOnly = ({ evaluatesJobIds, labels }: JobSelection) =>
  Boolean(evaluatesJobIds) || Boolean(labels?.some(({ key, value }) => key === 'type' && value === 'evaluation'))

/** What a list reads: conditions of the table `job`. A count asks the same. */
export function conditions(tenantId: string, selection: JobSelection, { without }: { without?: LabelCondition | 'node' } = {}): Sql {
  const { baseModel, nameContains, labels, evaluatesJobIds, hasOutput, archived, userId, nodeId, contentHash } = selection
  return all([
    sql('job.tenant_id = ?', tenantId),
    sql(`job.is_evaluation = ${evaluationOnly(selection) ? 'TRUE' : 'FALSE'}`),
    archived === 'INCLUDE' ? sql('job.is_archived IN (FALSE, TRUE)') : sql(`job.is_archived = ${archived === 'ONLY' ? 'TRUE' : 'FALSE'}`),
    evaluatesJobIds && oneOf('job.evaluates_job_id', evaluatesJobIds),
    hasOutput && sql('job.has_output = TRUE'),
    selection.statuses?.length && oneOf('job.status', selection.statuses),
    selection.trainingTypes?.length && oneOf('job.training_type', selection.trainingTypes),
    selection.frameworks?.length && oneOf('job.framework', selection.frameworks),
    baseModel && exactly('job.base_model', baseModel),
    userId && exactly('job.user_id', userId),
    contentHash && sql('job.content_hash = ?', contentHash),
    nameContains && sql('LOWER(job.name) LIKE LOWER(?)', `%${nameContains.replace(/[\\%_]/g, '\\$&')}%`),
    ...between('created_at', selection.createdAfter, selection.createdBefore),
    ...between('started_at', selection.startedAfter, selection.startedBefore),
    ...between('finished_at', selection.finishedAfter, selection.finishedBefore),
    nodeId &&
      without !== 'node' &&
      sql('job.job_id IN (SELECT job_id FROM job_node WHERE tenant_id = ? AND node_id = ?)', tenantId, nodeId),
    ...(labels ?? []).filter((label) => label !== without).map((label) => hasLabel(tenantId, label)),
  ])
}

const between = (column: string, after: Date | undefined, before: Date | undefined) => [
  after && sql(`job.${column} > ?`, after),
  before && sql(`job.${column} < ?`, before),
]

function hasLabel(tenantId: string, label: LabelCondition): Sql {
  const where = isLabel('job_label', tenantId, label)
  return sql(`job.job_id IN (SELECT job_id FROM job_label WHERE ${where.text})`, ...where.values)
}

/** The condition of the table of labels. */
export const isLabel = (table: string, tenantId: string, { key, value }: LabelCondition): Sql =>
  all([sql(`${table}.tenant_id = ?`, tenantId), exactly(`${table}.\`key\``, key), value != null && exactly(`${table}.value`, value)])

/**
 * The condition of standing after a place when the list is read in this direction; NULL stands before every value. Written as ranges joined by OR, which
 * MariaDB reads one after the other in the order of the index; written as one range with an exception it reads all rows with the same value, and where
 * the column can have but one value it sorts.
 */
export function beyond({ field, descending }: JobOrder, { value, jobId }: JobPlace, table = 'job'): Sql {
  const [column, id, further] = [`${table}.${field}`, `${table}.job_id`, descending ? '<' : '>']
  if (value === null) {
    // No time is before the year 1000: it only keeps the column from having one value.
    const values = descending ? `${column} < '1000-01-01'` : `${column} IS NOT NULL`
    return sql(`((${column} IS NULL AND ${id} ${further} ?) OR ${values})`, jobId)
  }
  const at = isTime(field) ? new Date(value) : value
  const nulls = descending && isNullable(field) ? ` OR ${column} IS NULL` : ''
  return sql(`(${column} ${further} ? OR (${column} = ? AND ${id} ${further} ?)${nulls})`, at, at, jobId)
}

/** The ORDER BY of an ordering. */
export function orderBy({ field, descending }: JobOrder, table = 'job'): string {
  const direction = descending ? 'DESC' : 'ASC'
  return `${table}.${field} ${direction}, ${table}.job_id ${direction}`
}
