import { Prisma } from '../../generated/prisma/api/client.js'
import type { Job__Output } from '../../generated/proto/scaimind/v1/Job.js'
import type { Database } from './database.js'
import { transaction } from './database.js'
import { beyond, type JobOrdering, type JobPlace, type JobSelection, orderBy, where } from './job-query.js'
import { writeJobs } from './job-writes.js'

/** A cached job and when it was written. */
export interface CachedJob {
  job: Job__Output
  syncedAt: Date
}

/** A row of a list and its place in it. */
export interface ListedJob extends CachedJob {
  place: JobPlace
}

/** The cached jobs. Every read names the tenant first. */
export interface JobCache {
  get(tenantId: string, jobId: string): Promise<CachedJob | null>
  /** Those of the ids that exist in the tenant, in no order. */
  getMany(tenantId: string, jobIds: readonly string[]): Promise<CachedJob[]>
  /** At most `limit` jobs in order, after a place where one is given. */
  list(tenantId: string, selection: JobSelection, ordering: JobOrdering, limit: number, after?: JobPlace): Promise<ListedJob[]>
  count(tenantId: string, selection: JobSelection): Promise<number>
  /** Writes the jobs whose revision is newer than what is there. */
  write(jobs: readonly Job__Output[]): Promise<void>
}

interface Row {
  document: string
  synced_at: Date
  place: string | number | bigint | Date | null
}

const read = ({ document, synced_at }: Row): CachedJob => ({ job: JSON.parse(document) as Job__Output, syncedAt: new Date(synced_at) })

/** The queries of the cached jobs. */
export function jobCache(database: Database): JobCache {
  async function getMany(tenantId: string, jobIds: readonly string[]): Promise<CachedJob[]> {
    if (jobIds.length === 0) return []
    const rows = await database.$queryRaw<Row[]>`
      SELECT document, synced_at FROM job WHERE tenant_id = ${tenantId} AND job_id IN (${Prisma.join([...jobIds])})`
    return rows.map(read)
  }

  return {
    get: async (tenantId, jobId) => (await getMany(tenantId, [jobId]))[0] ?? null,
    getMany,

    async list(tenantId, selection, ordering, limit, after) {
      const start = after ? Prisma.sql`AND ${beyond(ordering, after)}` : Prisma.empty
      const rows = await database.$queryRaw<Row[]>`
        SELECT document, synced_at, ${Prisma.raw(ordering.field)} AS place FROM job
        WHERE ${where(tenantId, selection)} ${start} ORDER BY ${orderBy(ordering)} LIMIT ${limit}`
      return rows.map((row) => {
        const cached = read(row)
        return { ...cached, place: { value: placeValue(row.place), jobId: cached.job.job_id } }
      })
    },

    async count(tenantId, selection) {
      const rows = await database.$queryRaw<{ total: bigint }[]>`SELECT COUNT(*) AS total FROM job WHERE ${where(tenantId, selection)}`
      return Number(rows[0]?.total ?? 0)
    },

    write: (jobs) => (jobs.length === 0 ? Promise.resolve() : transaction(database, (tx) => writeJobs(tx, jobs, new Date()))),
  }
}

function placeValue(value: Row['place']): JobPlace['value'] {
  if (value instanceof Date) return value.toISOString()
  return typeof value === 'bigint' ? Number(value) : value
}
