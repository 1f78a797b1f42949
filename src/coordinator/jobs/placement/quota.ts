import { QuotaExceeded } from '../../../contract/failure.js'
import { terminalStatuses } from '../../../contract/statuses.js'
import type { Database } from '../records/database.js'

/** What a tenant may have at once; 0: no limit. */
export interface TenantLimits {
  /** Jobs that are not terminal. */
  jobsMax: number
  /** GPUs that its attempts hold. */
  gpusMax: number
}

const retryAfterSeconds = 60

/** Stores a job, or throws QuotaExceeded where its tenant has as many as it may have. */
export type TakeIn = <Stored>(tenantId: string, store: () => Promise<Stored>) => Promise<Stored>

/** Takes in jobs one by one of each tenant, so that no two of them take its last place. */
export function takingIn(database: Database, { jobsMax }: Pick<TenantLimits, 'jobsMax'>): TakeIn {
  const last = new Map<string, Promise<unknown>>()

  return async (tenantId, store) => {
    if (jobsMax === 0) return await store()
    const take = async () => {
      await requireRoom(tenantId)
      return await store()
    }
    const taken = (last.get(tenantId) ?? Promise.resolve()).then(take, take)
    last.set(tenantId, taken)
    try {
      return await taken
    } finally {
      if (last.get(tenantId) === taken) last.delete(tenantId)
    }
  }

  async function requireRoom(tenantId: string): Promise<void> {
    const jobs = await database.job.count({ where: { tenantId, status: { notIn: [...terminalStatuses] } } })
    if (jobs < jobsMax) return
    const message = `The tenant has ${jobs} jobs that are not finished, and ${jobsMax} at once are allowed.`
    throw new QuotaExceeded(message, jobsMax, retryAfterSeconds)
  }
}
