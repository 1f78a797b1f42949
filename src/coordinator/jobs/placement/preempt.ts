import type { Needs } from '../../engines/engine.js'
import type { Machine, Running, Waiting } from './place.js'
import { Room } from './room.js'

/** What protects running jobs from giving way too often. */
export interface PreemptionRules {
  /** Milliseconds that an attempt runs before it may be asked. */
  minRuntimeMs: number
  /** How often a job may have had to give way lately, before it is left alone. */
  evictionsMax: number
}

interface Candidate {
  job: Running
  /** GPU seconds that would be done again. */
  loss: number
}

/**
 * Which running jobs give way so that a waiting one has a place: preemptible ones of lower priority, those with the least work done since their last checkpoint,
 * the youngest where that is equal, and no more of them than it takes. Empty where none need to, since enough are leaving anyway; null where no such place exists. Pure.
 */
export function chooseVictims(
  { needs, priority }: Pick<Waiting, 'needs' | 'priority'>,
  { machines, running, now, rules }: { machines: readonly Machine[]; running: readonly Running[]; now: Date; rules: PreemptionRules },
): string[] | null {
  const candidates = running
    .filter((job) => job.preemptible && !job.leaving && job.priority < priority && mayBeAsked(job, now, rules))
    .map((job) => ({ job, loss: lossOf(job, now) }))
    .sort((a, b) => a.loss - b.loss || (b.job.startedAt?.getTime() ?? 0) - (a.job.startedAt?.getTime() ?? 0))
  if (candidates.length === 0) return null
  const room = new Room(machines)
  for (const job of running) if (job.leaving) room.giveBack(job.placement)
  if (room.find(needs)) return []
  for (const type of needs.gpuCount === 0 ? [''] : needs.gpuType ? [needs.gpuType] : typesOf(machines)) {
    const chosen = chooseOf(candidates, { ...needs, gpuType: type }, room)
    if (chosen) return chosen.map(({ job }) => job.jobId)
  }
  return null
}

function chooseOf(candidates: readonly Candidate[], needs: Needs, room: Room): Candidate[] | null {
  const part = { ...needs, nodes: 1, gpuCount: needs.gpuCount / needs.nodes }
  const byNode = new Map<string, Candidate[]>()
  for (const candidate of candidates) {
    for (const { nodeId } of candidate.job.placement) byNode.set(nodeId, [...(byNode.get(nodeId) ?? []), candidate])
  }
  const cheapest = room.machines
    .flatMap((machine) => {
      const victims = enoughOf(byNode.get(machine.nodeId) ?? [], part, new Room([machine]))
      return victims ? [{ nodeId: machine.nodeId, victims, loss: victims.reduce((sum, { loss }) => sum + loss, 0) }] : []
    })
    .sort((a, b) => a.loss - b.loss || a.victims.length - b.victims.length || (a.nodeId < b.nodeId ? -1 : 1))
    .slice(0, needs.nodes)
  const all = [...new Set(cheapest.flatMap(({ victims }) => victims))].sort((a, b) => a.loss - b.loss)
  // A victim on several of the nodes frees them all, so that others may be spared.
  return cheapest.length === needs.nodes ? enoughOf(all, needs, room) : null
}

/** Of candidates in their order as many as it takes for the needs, and none that the others make needless. Leaves the room as it was. */
function enoughOf(candidates: readonly Candidate[], needs: Needs, room: Room): Candidate[] | null {
  const asked: Candidate[] = []
  for (const candidate of candidates) {
    if (room.find(needs)) break
    room.giveBack(candidate.job.placement)
    asked.push(candidate)
  }
  const isEnough = room.find(needs) !== null
  const needed = asked.toReversed().filter((candidate) => {
    room.take(candidate.job.placement)
    if (room.find(needs)) return false
    room.giveBack(candidate.job.placement)
    return true
  })
  for (const { job } of needed) room.take(job.placement)
  return isEnough ? needed : null
}

function mayBeAsked({ startedAt, evictionsLately }: Running, now: Date, { minRuntimeMs, evictionsMax }: PreemptionRules): boolean {
  return startedAt !== null && now.getTime() - startedAt.getTime() >= minRuntimeMs && evictionsLately < evictionsMax
}

function lossOf({ share, startedAt, savedAt }: Running, now: Date): number {
  const since = Math.max(startedAt?.getTime() ?? 0, savedAt?.getTime() ?? 0)
  return (share * Math.max(0, now.getTime() - since)) / 1000
}

const typesOf = (machines: readonly Machine[]): string[] =>
  [...new Set(machines.flatMap(({ gpus }) => gpus.map(({ type }) => type)))].sort()
