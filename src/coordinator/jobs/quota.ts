import { QuotaExceeded } from '../../contract/failure.js'
import { terminalStatuses } from '../../contract/statuses.js'
import type { Database } from './database.js'

/** What a tenant may have at once; 0: no limit. */
export interface TenantLimits {
  /** Jobs that are not terminal. */
  jobsMax: number
  /** GPUs that its attempts hold. */
  gpusMax: number
}

const retryAfterSeconds = 60

/** Throws QuotaExceeded where a tenant has as many jobs as it may have. */
export async function requireRoomForJob(database: Database, tenantId: string, { jobsMax }: TenantLimits): Promise<void> {
  if (jobsMax === 0) return
  const jobs = await database.job.count({ where: { tenantId, status: { notIn: [...terminalStatuses] } } })
  if (jobs < jobsMax) return
  throw new QuotaExceeded(
    `The tenant has ${jobs} jobs that are not finished, and ${jobsMax} at once are allowed.`,
    jobsMax,
    retryAfterSeconds,
  )
}
