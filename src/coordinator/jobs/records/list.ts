import { InvalidInput } from '../../../contract/failure.js'
import { jobOrderFields } from '../../../contract/statuses.js'
import { Prisma } from '../../../generated/prisma/coordinator/client.js'
import type { ListJobsRequest__Output } from '../../../generated/proto/scaimind/v1/ListJobsRequest.js'
import type { Database } from './database.js'
import { hashOf } from './idempotency.js'
import type { JobRecord } from './record.js'
import type { JobStore } from './store.js'

/** A page of jobs. */
export interface JobPage {
  jobs: JobRecord[]
  /** Empty on the last page. */
  nextPageToken: string
  totalCount: number
  isFirst: boolean
}

type OrderField = (typeof jobOrderFields)[number]

/** Where a page ended: its last job, by the field that orders and by id. Bound to filter and order. */
interface PageToken {
  listing: string
  value: string | number | null
  jobId: string
}

const pageSizeMax = 100
const pageSizeDefault = 20

/**
 * Lists a tenant's jobs (all tenants' with `*`), evaluations and archived jobs only where they are asked for. Pages follow each other by the last job seen, so a job that stays as it is is on exactly one of them, whatever
 * comes and goes meanwhile. Throws InvalidInput.
 */
export async function listJobs(
  { database, store }: { database: Database; store: JobStore },
  tenantId: string,
  request: ListJobsRequest__Output,
  /** Only evaluations of this job. */
  { evaluates = '' }: { evaluates?: string } = {},
): Promise<JobPage> {
  const { field, descending } = parseOrder(request.order_by)
  if (request.page_size > pageSizeMax) refuse('page_size', `A page has 1 to ${pageSizeMax} jobs, not ${request.page_size}.`)
  const size = request.page_size || pageSizeDefault
  const { statuses, training_types: types, labels, include_archived: withArchived, include_evaluations: withEvaluations } = request
  const asked = { tenantId, statuses: [...statuses].sort(), types: [...types].sort(), labels, evaluates, withArchived, withEvaluations }
  const listing = hashOf({ ...asked, field, descending }).slice(0, 16)
  const token = request.page_token === '' ? null : parseToken(request.page_token, listing)

  const filters = [
    ...(tenantId === '*' ? [] : [Prisma.sql`tenant_id = ${tenantId}`]),
    ...(statuses.length > 0 ? [Prisma.sql`status IN (${Prisma.join(statuses)})`] : []),
    ...(types.length > 0 ? [Prisma.sql`training_type IN (${Prisma.join(types)})`] : []),
    ...(evaluates ? [Prisma.sql`evaluates_job_id = ${evaluates}`] : []),
    ...(withEvaluations || labels.type === 'evaluation' ? [] : [Prisma.sql`is_evaluation = FALSE`]),
    ...(withArchived ? [] : [Prisma.sql`archived_at IS NULL`]),
    ...Object.entries(labels).map(([key, value]) => Prisma.sql`JSON_CONTAINS(labels, ${JSON.stringify({ [key]: value })})`),
  ]
  const column = Prisma.raw(field)
  const direction = Prisma.raw(descending ? 'DESC' : 'ASC')
  const where = (conditions: Prisma.Sql[]) => (conditions.length > 0 ? Prisma.sql`WHERE ${Prisma.join(conditions, ' AND ')}` : Prisma.empty)
  const beyond = token ? [beyondToken(field, descending, token)] : []
  const [ids, counted] = await Promise.all([
    database.$queryRaw<{ job_id: string }[]>`
      SELECT job_id FROM job ${where([...filters, ...beyond])}
      ORDER BY ${column} ${direction}, job_id ${direction} LIMIT ${size + 1}`,
    database.$queryRaw<{ total: bigint | number }[]>`SELECT COUNT(*) AS total FROM job ${where(filters)}`,
  ])
  const wanted = ids.slice(0, size).map(({ job_id }) => job_id)
  const found = wanted.length === 0 ? [] : await store.findAll({ jobId: { in: wanted } })
  const jobs = wanted.flatMap((id) => found.find(({ jobId }) => jobId === id) ?? [])
  const last = jobs.at(-1)
  const nextPageToken = ids.length > size && last ? formatToken({ listing, value: orderValue(last, field), jobId: last.jobId }) : ''
  return { jobs, nextPageToken, totalCount: Number(counted[0]?.total ?? 0), isFirst: token === null }
}

function parseOrder(text: string): { field: OrderField; descending: boolean } {
  const name = text === '' ? '-created_at' : text
  const field = jobOrderFields.find((known) => known === name.replace(/^-/, ''))
  if (!field) refuse('order_by', `Jobs are ordered by ${jobOrderFields.join(', ')}, with - for descending; not by ${JSON.stringify(name)}.`)
  return { field, descending: name.startsWith('-') }
}

/** What comes after a page's last job. NULLs sort first, as MariaDB has it. */
function beyondToken(field: OrderField, descending: boolean, { value, jobId }: PageToken): Prisma.Sql {
  const column = Prisma.raw(field)
  const later = descending ? Prisma.sql`job_id < ${jobId}` : Prisma.sql`job_id > ${jobId}`
  if (value === null) {
    return descending ? Prisma.sql`(${column} IS NULL AND ${later})` : Prisma.sql`(${column} IS NOT NULL OR ${later})`
  }
  const given = isTime(field) ? new Date(value) : value
  const tie = Prisma.sql`(${column} = ${given} AND ${later})`
  return descending ? Prisma.sql`(${column} < ${given} OR ${column} IS NULL OR ${tie})` : Prisma.sql`(${column} > ${given} OR ${tie})`
}

function orderValue(job: JobRecord, field: OrderField): string | number | null {
  switch (field) {
    case 'created_at':
      return job.createdAt.getTime()
    case 'started_at':
      return job.startedAt?.getTime() ?? null
    case 'finished_at':
      return job.finishedAt?.getTime() ?? null
    case 'priority':
      return job.priority
    case 'name':
      return job.name
    case 'status':
      return job.status
  }
}

const isTime = (field: OrderField): boolean => field.endsWith('_at')

const formatToken = (token: PageToken): string => Buffer.from(JSON.stringify(token)).toString('base64url')

function parseToken(text: string, listing: string): PageToken {
  let token: Partial<PageToken> | null = null
  try {
    token = JSON.parse(Buffer.from(text, 'base64url').toString()) as Partial<PageToken> | null
  } catch {
    // Refused below.
  }
  const { value, jobId } = token ?? {}
  if (typeof jobId !== 'string' || (value !== null && typeof value !== 'string' && typeof value !== 'number')) {
    refuse('page_token', 'This is not a page token; pass next_page_token of the page before.')
  }
  if (token?.listing !== listing) refuse('page_token', 'This page token belongs to a listing with another filter or order.')
  return { listing, value, jobId }
}

function refuse(path: string, message: string): never {
  throw new InvalidInput([{ path, message }], 'INVALID_ARGUMENT')
}
