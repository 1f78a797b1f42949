import type { Placement } from '../../engines/engine.js'
import { emptied, findRoom, inOrder, type Machine, take, type Waiting } from './place.js'

/** A job that runs, and when it will be over by what is known. */
export interface Running {
  jobId: string
  placement: Placement[]
  /** Null where nothing is known. */
  endsAt: Date | null
}

/** A job that waits, and how long it may run. */
export interface Waiter extends Waiting {
  /** Longest run in seconds; null: no limit, so that nothing is known of its end. */
  runSecondsMax: number | null
}

/**
 * When each waiting job would start, by a simulation of the queue: in its order, as running jobs end. Unset where that depends on something of which nothing
 * is known; never before `now`. Pure.
 */
export function estimateStarts(queue: Waiter[], running: Running[], machines: Machine[], now: Date): Map<string, Date> {
  const starts = new Map<string, Date>()
  const ends = new Map(running.map(({ jobId, endsAt }) => [jobId, endsAt]))
  let free = machines
  let leaving = inTime(running)
  let time = now
  for (const job of inOrder(queue)) {
    const ready = readyAt(job, ends, now)
    // What waits for something unknown holds back nobody.
    if (!ready) continue
    const found = roomAfter(job, { free, leaving })
    if (!found) {
      // A job that could run but for one whose end is unknown holds back all behind it.
      if (findRoom(job.needs, emptied(machines))) return starts
      continue
    }
    const start = [time, ready, found.at ?? now].reduce((latest, at) => (at > latest ? at : latest))
    starts.set(job.jobId, start)
    // A job that is not ready yet lets others pass; all others go in order.
    if (ready <= now) time = start
    free = take(found.free, found.placement)
    leaving = found.leaving
    const endsAt = job.runSecondsMax === null ? null : new Date(start.getTime() + job.runSecondsMax * 1000)
    ends.set(job.jobId, endsAt)
    leaving = inTime([...leaving, { jobId: job.jobId, placement: found.placement, endsAt }])
  }
  return starts
}

/** The room for a job, after as many running ones have ended as it takes. */
function roomAfter({ needs }: Waiter, { free, leaving }: { free: Machine[]; leaving: Running[] }) {
  let now = free
  for (let ended = 0; ; ended++) {
    const placement = findRoom(needs, now)
    if (placement) return { placement, free: now, leaving: leaving.slice(ended), at: leaving[ended - 1]?.endsAt ?? null }
    const next = leaving[ended]
    if (!next?.endsAt) return null
    now = giveBack(now, next.placement)
  }
}

/** When a job may start as far as it is itself concerned; null where that is not known. */
function readyAt({ notBefore, dependencies }: Waiter, ends: Map<string, Date | null>, now: Date): Date | null {
  let ready = notBefore && notBefore > now ? notBefore : now
  for (const { jobId } of dependencies) {
    const end = ends.get(jobId)
    if (!end) return null
    if (end > ready) ready = end
  }
  return ready
}

/** Those that end first come first; those of which nothing is known last. */
const inTime = (running: Running[]): Running[] =>
  [...running].sort((a, b) => (a.endsAt?.getTime() ?? Number.POSITIVE_INFINITY) - (b.endsAt?.getTime() ?? Number.POSITIVE_INFINITY))

function giveBack(machines: Machine[], placement: Placement[]): Machine[] {
  return machines.map((machine) => {
    const slot = placement.find(({ nodeId }) => nodeId === machine.nodeId)
    if (!slot) return machine
    return {
      ...machine,
      gpus: machine.gpus.map((gpu) => ({ ...gpu, free: gpu.free || slot.gpuIndexes.includes(gpu.index) })),
      cpusFree: machine.cpusFree + slot.cpus,
      memoryBytesFree: machine.memoryBytesFree + slot.memoryBytes,
    }
  })
}
