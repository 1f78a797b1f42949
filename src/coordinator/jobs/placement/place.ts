import type { Needs, Placement } from '../../engines/engine.js'
import { aheadBlocker, type Blocker, earlyBlockers, roomBlockers } from './blockers.js'
import { fairOrder, inOrder, type Standing } from './fair-order.js'
import { Forecast } from './forecast.js'
import { chooseVictims, type PreemptionRules } from './preempt.js'
import { quotaBlockers, type TenantLimits, type TenantUsage } from './quota.js'
import { emptied, Room } from './room.js'

/** A job that waits. */
export interface Waiting {
  jobId: string
  tenantId: string
  name: string
  queue: string
  priority: number
  queuedAt: Date
  /** Not before this time; null: now. */
  notBefore: Date | null
  /** Jobs that must be COMPLETED first and are not; of the same tenant. */
  dependencies: { jobId: string; status: string }[]
  needs: Needs
  /** Longest run in seconds; null: no limit, so that nothing is known of its end. */
  runSecondsMax: number | null
}

/** A job that runs, or whose processes are not proven dead. */
export interface Running {
  jobId: string
  tenantId: string
  priority: number
  /** Whether a job of higher priority may take its place. */
  preemptible: boolean
  placement: Placement[]
  /** What it takes of the cluster, in GPUs. */
  share: number
  gpuCount: number
  /** Null until its trainer runs. */
  startedAt: Date | null
  /** When it will be over by what is known; null where nothing is. */
  endsAt: Date | null
  /** Its newest complete checkpoint; null where it has none. */
  savedAt: Date | null
  /** Whether it was asked to stop, whatever for. */
  leaving: boolean
  /** How often it was asked to give its place back lately. */
  evictionsLately: number
}

/** A job as another one may name it, if it is the same tenant's. */
export interface NamedJob {
  jobId: string
  tenantId: string
}

/** An attempt whose processes are not proven dead, and what it holds on one machine. */
export interface Holder extends NamedJob {
  gpuIndexes: number[]
  cpus: number
  memoryBytes: number
}

/** A machine and what is free on it. */
export interface Machine {
  nodeId: string
  hostname: string
  features: readonly string[]
  /** Online and not draining. */
  takesWork: boolean
  /** Online, and takes no new work. */
  draining: boolean
  gpus: { index: number; type: string; memoryBytes: number; free: boolean }[]
  cpus: number
  cpusFree: number
  memoryBytes: number
  memoryBytesFree: number
  holders: readonly Holder[]
}

/** All that a pass looks at. */
export interface Situation {
  queue: readonly Waiting[]
  machines: readonly Machine[]
  running: readonly Running[]
  now: Date
  /** What a tenant may have. */
  limitsOf: (tenantId: string) => TenantLimits
  /** What tenants hold and had; one that is not in it had nothing. */
  usage: ReadonlyMap<string, TenantUsage>
  preemption: PreemptionRules
  /** Waiting jobs for which others were asked to give way. */
  promised: ReadonlySet<string>
}

/** What becomes of a waiting job: its place, or why it waits. */
export interface Decision {
  jobId: string
  placement: Placement[] | null
  /** Empty where it has a place. */
  blockers: Blocker[]
  /** Running jobs that are to give way to it now; empty but for a job that needs it. */
  victims: string[]
}

/**
 * One pass over the queue. A job runs on all its nodes at once or not at all. Jobs for which others gave way come first, then all in fair order. The first that
 * could run but has no room is the head: the earliest place for it is kept, preemptible jobs of lower priority give way to it, and others pass it only where they do not
 * delay it by what is known: they leave its place alone, or end before it is free. A job that must not run yet, whose tenant holds what it may, or that would
 * not fit even on empty machines, holds back nobody. Takes n log n for n jobs: what did not fit is not tried again for the same needs. Pure.
 */
export function placeJobs(situation: Situation): Decision[] {
  const { queue, promised, usage, limitsOf } = situation
  const pass = beginPass(situation)
  const standingOf = (tenantId: string): Standing => ({
    weight: limitsOf(tenantId).weight,
    usage: usage.get(tenantId)?.shareSeconds ?? 0,
  })
  const decisions = inOrder(queue.filter(({ jobId }) => promised.has(jobId))).map((job) => pass.decide(job, true).decision)
  const order = fairOrder(promised.size === 0 ? queue : queue.filter(({ jobId }) => !promised.has(jobId)), standingOf)
  for (let job = order.next(); job; job = order.next()) {
    const { decision, isReady } = pass.decide(job, false)
    if (isReady) order.charge(job)
    decisions.push(decision)
  }
  return decisions
}

function beginPass({ machines, running, now, limitsOf, usage, preemption }: Situation) {
  const free = new Room(machines)
  /** What is free and not kept for anybody. */
  const open = new Room(machines)
  const placed: { jobId: string; placement: Placement[]; endsAt: Date | null }[] = []
  const kept: Placement[] = []
  const given = new Map<string, number>()
  const full = { open: new Set<string>(), free: new Set<string>() }
  const impossible = new Map<string, Blocker[]>()
  let whole: Room | undefined
  /** What runs longer than until then may delay somebody for whom a place is kept. */
  let keptFrom = Number.POSITIVE_INFINITY
  let ahead: Blocker[] | null = null
  let hasAsked = false

  return {
    /** What becomes of the next job. `isReady`: whether only room could be lacking. */
    decide(job: Waiting, isPromised: boolean): { decision: Decision; isReady: boolean } {
      const { jobId, tenantId, needs } = job
      const waits = (blockers: Blocker[], victims: string[] = []): Decision => ({ jobId, placement: null, blockers, victims })
      const early = earlyBlockers(job, now)
      if (early.length > 0) return { decision: waits(early), isReady: false }
      const overQuota = quotaBlockers(job, { usage: usage.get(tenantId), given: given.get(tenantId) ?? 0, limits: limitsOf(tenantId), now })
      if (overQuota.length > 0) return { decision: waits(overQuota), isReady: false }
      const placement = roomFor(job)
      if (placement) {
        take(job, placement)
        return { decision: { jobId, placement, blockers: [], victims: [] }, isReady: true }
      }
      const lacking = impossible.get(keyOf(needs))
      if (lacking) return { decision: waits(lacking), isReady: false }
      if (ahead) return { decision: waits(ahead), isReady: true }
      if (!couldHold(needs)) {
        const blockers = roomBlockers(needs, [...open.machines])
        impossible.set(keyOf(needs), blockers)
        return { decision: waits(blockers), isReady: false }
      }
      const blockers = roomBlockers(needs, [...open.machines])
      const victims = askVictims(job)
      keep(needs)
      if (!isPromised) ahead = [aheadBlocker([{ jobId, tenantId }])]
      return { decision: waits(blockers, victims), isReady: true }
    },
  }

  function roomFor({ needs, runSecondsMax }: Waiting): Placement[] | null {
    const key = keyOf(needs)
    const found = full.open.has(key) ? null : open.find(needs)
    if (found) return found
    full.open.add(key)
    const endsInTime = runSecondsMax !== null && now.getTime() + runSecondsMax * 1000 <= keptFrom
    if (kept.length === 0 || !endsInTime || full.free.has(key)) return null
    const meanwhile = free.find(needs)
    if (!meanwhile) full.free.add(key)
    return meanwhile
  }

  function take({ jobId, tenantId, needs, runSecondsMax }: Waiting, placement: Placement[]): void {
    free.take(placement)
    open.take(placement)
    given.set(tenantId, (given.get(tenantId) ?? 0) + needs.gpuCount)
    placed.push({ jobId, placement, endsAt: runSecondsMax === null ? null : new Date(now.getTime() + runSecondsMax * 1000) })
  }

  /** Keeps the earliest place for a job. */
  function keep(needs: Needs): void {
    const forecast = new Forecast(
      machines,
      running.map((job) => (job.leaving ? { ...job, endsAt: now } : job)),
    )
    for (const { placement, endsAt } of placed) forecast.hold(placement, endsAt?.getTime() ?? Number.POSITIVE_INFINITY)
    forecast.hold(kept, Number.POSITIVE_INFINITY)
    const earliest = forecast.earliest(needs)
    if (!earliest) return
    // Where nothing is known of the start, whatever takes the place may delay it.
    keptFrom = Number.isFinite(earliest.at) ? Math.min(keptFrom, earliest.at) : 0
    kept.push(...earliest.kept)
    open.take(earliest.kept)
  }

  /** At most one job a pass asks others to give way: what it frees is seen by the next. */
  function askVictims(job: Waiting): string[] {
    if (hasAsked) return []
    const inReach = running.filter(({ placement }) => !placement.some((slot) => kept.some((other) => overlaps(slot, other))))
    const victims = chooseVictims(job, { machines: open.machines, running: inReach, now, rules: preemption }) ?? []
    hasAsked = victims.length > 0
    return victims
  }

  function couldHold(needs: Needs): boolean {
    whole ??= new Room(emptied(machines))
    return whole.find(needs) !== null
  }
}

const overlaps = (a: Placement, b: Placement): boolean =>
  a.nodeId === b.nodeId && ((a.cpus > 0 && b.cpus > 0) || a.gpuIndexes.some((index) => b.gpuIndexes.includes(index)))

const keys = new WeakMap<Needs, string>()

/** Equal for equal needs. */
function keyOf(needs: Needs): string {
  const known = keys.get(needs)
  if (known !== undefined) return known
  const { gpuCount, gpuType, nodes, gpuMemoryBytesMin, cpusPerNode, memoryBytesPerNode, nodeSelector } = needs
  const key = JSON.stringify([gpuCount, gpuType, nodes, gpuMemoryBytesMin, cpusPerNode, memoryBytesPerNode, nodeSelector])
  keys.set(needs, key)
  return key
}
