import type { Job__Output } from '../../generated/proto/scaimind/v1/Job.js'
import { type ReadableDatabase, transaction } from './database.js'
import { type JobChanges, jobChanges } from './job-changes.js'
import { type JobColumn, jobOfColumns } from './job-columns.js'
import { conditions, type JobOrdering, type JobPlace, type JobSelection } from './job-query.js'
import { writeJobs } from './job-writes.js'
import { listQuery } from './list-query.js'
import { oneOf, sql } from './sql.js'

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
  /** At most `limit` jobs in order, after a place where one is given; with `columns` only those fields of each, which spares reading the documents. */
  list(
    tenantId: string,
    selection: JobSelection,
    ordering: JobOrdering,
    limit: number,
    after?: JobPlace,
    columns?: readonly JobColumn[],
  ): Promise<ListedJob[]>
  count(tenantId: string, selection: JobSelection): Promise<number>
  /** Writes the jobs whose revision is newer than what is there. */
  write(jobs: readonly Job__Output[]): Promise<void>
  /** Drops jobs of the tenant that are gone. */
  drop(tenantId: string, jobIds: readonly string[]): Promise<void>
}

interface Row {
  job_id: string
  document: string
  synced_at: Date
}

const read = ({ document, synced_at }: Row): CachedJob => ({ job: JSON.parse(document) as Job__Output, syncedAt: synced_at })

/** The queries of the cached jobs. */
export function jobCache(database: ReadableDatabase, changes: Pick<JobChanges, 'written'> = jobChanges()): JobCache {
  async function getMany(tenantId: string, jobIds: readonly string[]): Promise<CachedJob[]> {
    if (jobIds.length === 0) return []
    const ids = oneOf('job_id', jobIds)
    const rows = await database.$read<Row>(
      sql(`SELECT document, synced_at FROM job WHERE tenant_id = ? AND ${ids.text}`, tenantId, ...ids.values),
    )
    return rows.map(read)
  }

  return {
    get: async (tenantId, jobId) => (await getMany(tenantId, [jobId]))[0] ?? null,
    getMany,

    async list(tenantId, selection, ordering, limit, after, columns) {
      const wanted = [...new Set(['job_id', 'synced_at', ordering.field, ...(columns ?? ['document'])])]
      const rows = await database.$read<Row & Record<string, PlaceColumn>>(
        listQuery(tenantId, { selection, ordering, limit, after }, wanted),
      )
      return rows.map((row) => ({
        job: columns ? jobOfColumns(row) : (JSON.parse(row.document) as Job__Output),
        syncedAt: row.synced_at,
        place: { value: placeValue(row[ordering.field] ?? null), jobId: row.job_id },
      }))
    },

    async count(tenantId, selection) {
      const where = conditions(tenantId, selection)
      const rows = await database.$read<{ total: bigint }>(sql(`SELECT COUNT(*) AS total FROM job WHERE ${where.text}`, ...where.values))
      return Number(rows[0]?.total ?? 0)
    },

    async drop(tenantId, jobIds) {
      if (jobIds.length === 0) return
      await database.job.deleteMany({ where: { tenantId, jobId: { in: [...jobIds] } } })
      changes.written(tenantId)
    },

    async write(jobs) {
      if (jobs.length === 0) return
      await transaction(database, (tx) => writeJobs(tx, jobs, new Date()))
      for (const tenantId of new Set(jobs.map(({ tenant_id }) => tenant_id))) changes.written(tenantId)
    },
  }
}

type PlaceColumn = string | number | Date | null

const placeValue = (value: PlaceColumn): JobPlace['value'] => (value instanceof Date ? value.toISOString() : value)
