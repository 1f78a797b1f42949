import { QuotaExceeded } from '../../../contract/failure.js'
import { terminalStatuses } from '../../../contract/statuses.js'
import type { Database } from '../records/database.js'
import { nextMonth, type TenantLimits } from './quota.js'
import type { ReadUsage } from './usage.js'

const retryAfterSeconds = 60

/** Stores a job that asks for so many GPUs, or throws QuotaExceeded where its tenant has as much as it may have. `jobId`: it exists, and comes back into the queue. */
export type TakeIn = <Stored>(job: { tenantId: string; gpuCount: number; jobId?: string }, store: () => Promise<Stored>) => Promise<Stored>

/** Takes in jobs one by one of each tenant, so that no two of them take its last place. */
export function takingIn({
  database,
  limitsOf,
  readUsage,
  clock,
}: {
  database: Database
  limitsOf: (tenantId: string) => TenantLimits
  readUsage: ReadUsage
  clock: () => Date
}): TakeIn {
  const last = new Map<string, Promise<unknown>>()

  return async ({ tenantId, gpuCount, jobId = '' }, store) => {
    const limits = limitsOf(tenantId)
    const refusesGpus = limits.overQuota === 'refuse' && gpuCount > 0 && limits.gpus + limits.gpuHoursMonth > 0
    if (limits.jobs === 0 && limits.queued === 0 && !refusesGpus) return await store()
    const take = async () => {
      await requireRoom(tenantId, jobId, limits)
      if (refusesGpus) await requireGpus(tenantId, gpuCount, limits)
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

  async function requireRoom(tenantId: string, jobId: string, limits: TenantLimits): Promise<void> {
    if (limits.jobs > 0) {
      const jobs = await database.job.count({ where: { tenantId, jobId: { not: jobId }, status: { notIn: [...terminalStatuses] } } })
      const message = `The tenant has ${jobs} jobs that are not finished, and ${limits.jobs} at once are allowed.`
      if (jobs >= limits.jobs) throw new QuotaExceeded(message, limits.jobs, retryAfterSeconds)
    }
    if (limits.queued > 0) {
      const queued = await database.job.count({ where: { tenantId, status: 'QUEUED' } })
      const message = `The tenant has ${queued} jobs that wait, and ${limits.queued} are allowed to.`
      if (queued >= limits.queued) throw new QuotaExceeded(message, limits.queued, retryAfterSeconds)
    }
  }

  async function requireGpus(tenantId: string, gpuCount: number, { gpus, gpuHoursMonth }: TenantLimits): Promise<void> {
    const now = clock()
    const { gpusHeld = 0, gpuHoursMonth: used = 0 } = (await readUsage(now)).get(tenantId) ?? {}
    if (gpus > 0 && gpusHeld + gpuCount > gpus) {
      const message = `The tenant's jobs hold ${gpusHeld} GPUs, and ${gpus} at once are allowed: ${gpuCount} more are too many now.`
      throw new QuotaExceeded(message, gpus, retryAfterSeconds)
    }
    if (gpuHoursMonth > 0 && used >= gpuHoursMonth) {
      const until = nextMonth(now)
      const message = `The tenant has used its ${gpuHoursMonth} GPU hours of this month; the next begins at ${until.toISOString()}.`
      throw new QuotaExceeded(message, gpuHoursMonth, Math.ceil((until.getTime() - now.getTime()) / 1000))
    }
  }
}
