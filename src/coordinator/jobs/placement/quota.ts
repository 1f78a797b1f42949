import { type Blocker, quotaBlocker } from './blockers.js'
import type { NamedJob, Waiting } from './place.js'

/** What a tenant may have; 0: no limit. */
export interface TenantLimits {
  /** Jobs that are not terminal. */
  jobs: number
  /** Jobs that wait for a place. */
  queued: number
  /** GPUs that its attempts hold at once. */
  gpus: number
  /** GPU hours that its attempts run in a calendar month, UTC. */
  gpuHoursMonth: number
  /** Its share of the cluster relative to others'. */
  weight: number
  /** Whether a job beyond the GPUs or GPU hours is refused at submission, or waits. */
  overQuota: 'refuse' | 'wait'
}

/** What a tenant holds and had. */
export interface TenantUsage {
  gpusHeld: number
  /** Its jobs that hold GPUs. */
  holders: NamedJob[]
  /** GPU hours of this month, running attempts included. */
  gpuHoursMonth: number
  /** GPU seconds, older ones counting less, with what it holds charged ahead: see `fairOrder`. */
  shareSeconds: number
}

/** Why a tenant's limits do not let a job run now: more GPUs than it may hold, or all of the month's GPU hours used. `given` are GPUs that others of its jobs get just now. */
export function quotaBlockers(
  { needs: { gpuCount } }: Pick<Waiting, 'needs'>,
  { usage, given, limits, now }: { usage: TenantUsage | undefined; given: number; limits: TenantLimits; now: Date },
): Blocker[] {
  if (gpuCount === 0) return []
  const { gpusHeld, holders, gpuHoursMonth } = usage ?? { gpusHeld: 0, holders: [], gpuHoursMonth: 0 }
  const left = limits.gpus - gpusHeld - given
  return [
    ...(limits.gpus > 0 && gpuCount > left ? [quotaBlocker('gpus', { need: gpuCount, have: left, jobs: holders })] : []),
    ...(limits.gpuHoursMonth > 0 && gpuHoursMonth >= limits.gpuHoursMonth
      ? [quotaBlocker('gpu_hours', { need: gpuCount, have: 0, until: nextMonth(now) })]
      : []),
  ]
}

/** The first moment of a month, UTC; of the one after with `later` 1. */
export const monthOf = (now: Date, later = 0): Date => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + later))

/** When the month's GPU hours begin anew. */
export const nextMonth = (now: Date): Date => monthOf(now, 1)
