import { Forecast } from './forecast.js'
import type { Machine, Running, Waiting } from './place.js'

/** Jobs in their order whose start is estimated; of those behind them nothing is said. */
export const estimatedMax = 1000

/**
 * When each of the first waiting jobs would start, by a simulation of the queue in the order given: each on the earliest place that those before it leave, as running
 * jobs end. Unset where that depends on something of which nothing is known; never before `now`. Pure.
 */
export function estimateStarts(
  queue: readonly Waiting[],
  running: readonly Pick<Running, 'jobId' | 'endsAt'>[],
  machines: readonly Machine[],
  now: Date,
): Map<string, Date> {
  const starts = new Map<string, Date>()
  const ends = new Map(running.map(({ jobId, endsAt }) => [jobId, endsAt]))
  const forecast = new Forecast(machines, running)
  for (const job of queue.slice(0, estimatedMax)) {
    const ready = readyAt(job, ends, now)
    // What waits for something unknown holds back nobody.
    if (!ready) continue
    const found = forecast.earliest(job.needs)
    if (!found) continue
    const start = Math.max(now.getTime(), ready.getTime(), found.at)
    const end = job.runSecondsMax === null ? Number.POSITIVE_INFINITY : start + job.runSecondsMax * 1000
    forecast.hold(found.placement, end)
    if (Number.isFinite(start)) starts.set(job.jobId, new Date(start))
    ends.set(job.jobId, Number.isFinite(end) ? new Date(end) : null)
  }
  return starts
}

/** When a job may start as far as it is itself concerned; null where that is not known. */
function readyAt({ notBefore, dependencies }: Waiting, ends: ReadonlyMap<string, Date | null>, now: Date): Date | null {
  let ready = notBefore && notBefore > now ? notBefore : now
  for (const { jobId } of dependencies) {
    const end = ends.get(jobId)
    if (!end) return null
    if (end > ready) ready = end
  }
  return ready
}
