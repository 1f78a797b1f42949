import type { JobChanges } from '../records/changes.js'
import { type Database, transact } from '../records/database.js'
import { chargedAheadSeconds } from './fair-order.js'
import type { Running } from './place.js'
import { monthOf, type TenantUsage } from './quota.js'
import { readRunning } from './running.js'

/** What each tenant holds and had; a tenant that is not in it had nothing. */
export type ReadUsage = (now: Date) => Promise<Map<string, TenantUsage>>

/** What finished attempts add up to, as of a time. */
interface Finished {
  at: number
  month: number
  /** How long it took to read, in milliseconds. */
  cost: number
  tenants: Map<string, { shareSeconds: number; gpuHoursMonth: number }>
}

/** Usage older than so many half-lives is less than a hundredth of itself, and not counted. */
const halfLivesCounted = 7
/** Reading takes at most this part of the time. */
const duty = 1 / 20
/** How long what was read may be used where no attempt is known to have ended. */
const freshMs = 60_000

/**
 * What tenants hold and had. What attempts that ended add up to is read from the database, where it is added up, when attempts have ended and not more often than reading it
 * is worth; running ones are added as they are.
 */
export function tenantUsage({ database, changes, halfLifeMs }: { database: Database; changes: JobChanges; halfLifeMs: number }) {
  let finished: Finished | null = null
  let isStale = true
  /** What ran when it was last looked at, and what of it has ended since the database was read: it counts on. */
  let ran = new Map<string, Running>()
  let ended: { job: Running; at: number }[] = []

  changes.listen('*', ({ job, weighty }) => {
    // An attempt may have ended.
    if (weighty && job.attempts.length > 0) isStale = true
  })

  const usage = {
    /** What tenants hold and had, with what runs. */
    async of(running: readonly Running[], now: Date): Promise<Map<string, TenantUsage>> {
      const runs = new Map(running.map((job) => [`${job.jobId} ${job.startedAt?.getTime()}`, job]))
      for (const [key, job] of ran) if (!runs.has(key)) ended.push({ job, at: now.getTime() })
      ran = runs
      const before = await finishedAt(now)
      const faded = 2 ** ((before.at - now.getTime()) / halfLifeMs)
      const usage = new Map<string, TenantUsage>()
      for (const [tenantId, { shareSeconds, gpuHoursMonth }] of before.tenants) {
        usage.set(tenantId, { gpusHeld: 0, holders: [], gpuHoursMonth, shareSeconds: shareSeconds * faded })
      }
      for (const job of running) {
        const { jobId, tenantId, share, gpuCount } = job
        const tenant = addRun(usage, job, { from: before.month, to: now.getTime() })
        tenant.shareSeconds += share * chargedAheadSeconds
        if (gpuCount > 0) tenant.holders.push({ jobId, tenantId })
        tenant.gpusHeld += gpuCount
      }
      for (const { job, at } of ended) addRun(usage, job, { from: before.month, to: at })
      return usage
    },

    /** The same with what runs by now. */
    read: async (now: Date): Promise<Map<string, TenantUsage>> => usage.of(await readRunning(database, now), now),

    /** Forgets the usage of deleted jobs that counts for nothing any more. */
    async forgetOld(now: Date): Promise<void> {
      await transact(database, (tx) => tx.pastUsage.deleteMany({ where: { finishedAt: { lt: sinceOf(now) } } }))
    },
  }
  return usage

  /** Adds what an attempt ran until a time, of GPU hours only what lies after `from`. */
  function addRun(usage: Map<string, TenantUsage>, job: Running, { from, to }: { from: number; to: number }): TenantUsage {
    const { tenantId, share, gpuCount, startedAt } = job
    const tenant = usage.get(tenantId) ?? { gpusHeld: 0, holders: [], gpuHoursMonth: 0, shareSeconds: 0 }
    usage.set(tenantId, tenant)
    const began = startedAt?.getTime() ?? to
    tenant.shareSeconds += (share * fadedMs(Math.max(0, to - began))) / 1000
    tenant.gpuHoursMonth += (gpuCount * Math.max(0, to - Math.max(began, from))) / 3_600_000
    return tenant
  }

  /** What so many milliseconds that end now count for. */
  function fadedMs(ms: number): number {
    return (halfLifeMs / Math.LN2) * (1 - 2 ** (-ms / halfLifeMs))
  }

  async function finishedAt(now: Date): Promise<Finished> {
    const month = monthOf(now).getTime()
    const age = now.getTime() - (finished?.at ?? 0)
    if (finished && finished.month === month && age < freshMs && (!isStale || age < finished.cost / duty)) return finished
    isStale = false
    const began = performance.now()
    const told = ended.length
    const tenants = await readFinished(now)
    ended = ended.slice(told)
    finished = { at: now.getTime(), month, cost: performance.now() - began, tenants }
    return finished
  }

  function sinceOf(now: Date): Date {
    return new Date(Math.min(monthOf(now).getTime(), now.getTime() - halfLivesCounted * halfLifeMs))
  }

  /** By the index on when attempts ended. A GPU second that ended long ago counts half for each half-life that has passed since. */
  async function readFinished(now: Date): Promise<Finished['tenants']> {
    const [month, since, halfLife] = [monthOf(now), sinceOf(now), halfLifeMs * 1000]
    const rows = await database.$queryRaw<{ tenant_id: string; share_us: number; month_us: number }[]>`
      SELECT tenant_id,
        SUM(share * ${halfLife} / LN(2) * (POW(2, -TIMESTAMPDIFF(MICROSECOND, finished_at, ${now}) / ${halfLife})
          - POW(2, -TIMESTAMPDIFF(MICROSECOND, started_at, ${now}) / ${halfLife}))) AS share_us,
        SUM(gpus * GREATEST(0, TIMESTAMPDIFF(MICROSECOND, GREATEST(started_at, ${month}), finished_at))) + 0E0 AS month_us
      FROM (
        SELECT job.tenant_id, attempt.gpus, attempt.share, attempt.started_at, attempt.finished_at
        FROM attempt JOIN job ON job.job_id = attempt.job_id
        WHERE attempt.finished_at >= ${since} AND attempt.started_at IS NOT NULL
        UNION ALL SELECT tenant_id, gpus, share, started_at, finished_at FROM past_usage WHERE finished_at >= ${since}
      ) AS ran GROUP BY tenant_id`
    return new Map(
      rows.map(({ tenant_id: tenantId, share_us: share, month_us: ofMonth }) => [
        tenantId,
        { shareSeconds: Number(share) / 1e6, gpuHoursMonth: Number(ofMonth) / 3.6e9 },
      ]),
    )
  }
}

/** What tenants hold and had. */
export type Usage = ReturnType<typeof tenantUsage>
