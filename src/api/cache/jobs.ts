import type { Job__Output } from '../../generated/proto/scaimind/v1/Job.js'
import { type ReadableDatabase, transaction } from './database.js'
import { isoTime } from './driver.js'
import { type JobChanges, jobChanges } from './job-changes.js'
import { type JobColumn, jobOfColumns } from './job-columns.js'
import { conditions, type JobOrder, type JobPlace, type JobSelection } from './job-query.js'
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
    ordering: JobOrder,
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

/** What a copy is made of. */
export interface DocumentRow {
  document: string
  synced_at: string
}

type ListRow = DocumentRow & { job_id: string } & Record<string, string | number | null>

/** What a list makes many of: with getters of a class, for those of an object's own take several times as long to make. */
class Listed implements ListedJob {
  constructor(
    readonly job: Job__Output,
    private readonly row: ListRow,
    private readonly field: JobOrder['field'],
  ) {}
  get syncedAt(): Date {
    return timeOf(this.row.synced_at)
  }
  get place(): JobPlace {
    const value = this.row[this.field] ?? null
    return { value: typeof value === 'string' && this.field.endsWith('_at') ? isoTime(value) : value, jobId: this.row.job_id }
  }
}

const timeOf = (text: string) => new Date(isoTime(text))
/** The copy that a row holds. */
export const readDocument = ({ document, synced_at }: DocumentRow): CachedJob => ({
  job: JSON.parse(document) as Job__Output,
  syncedAt: timeOf(synced_at),
})

/** The queries of the cached jobs. */
export function jobCache(database: ReadableDatabase, changes: Pick<JobChanges, 'written'> = jobChanges()): JobCache {
  // Taken once: Prisma's client is a proxy.
  const { $read } = database

  async function getMany(tenantId: string, jobIds: readonly string[]): Promise<CachedJob[]> {
    if (jobIds.length === 0) return []
    const ids = oneOf('job_id', jobIds)
    const rows = await $read<DocumentRow>(
      sql(`SELECT document, synced_at FROM job WHERE tenant_id = ? AND ${ids.text}`, tenantId, ...ids.values),
    )
    return rows.map(readDocument)
  }

  return {
    get: async (tenantId, jobId) => (await getMany(tenantId, [jobId]))[0] ?? null,
    getMany,

    async list(tenantId, selection, ordering, limit, after, columns) {
      const wanted = [...new Set(['job_id', 'synced_at', ordering.field, ...(columns ?? ['document'])])]
      const rows = await $read<ListRow>(listQuery(tenantId, { selection, ordering, limit, after }, wanted))
      return rows.map((row) => new Listed(columns ? jobOfColumns(row) : (JSON.parse(row.document) as Job__Output), row, ordering.field))
    },

    async count(tenantId, selection) {
      const where = conditions(tenantId, selection)
      const rows = await $read<{ total: bigint }>(sql(`SELECT COUNT(*) AS total FROM job WHERE ${where.text}`, ...where.values))
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
