import type { Needs, Placement } from '../../engines/engine.js'
import type { Machine, Running } from './place.js'
import { isSelected, slotOn } from './room.js'

/** The earliest place for a job. */
export interface Reservation {
  /** When it is free, in milliseconds since 1970; 0: now; Infinity: nobody knows. */
  at: number
  placement: Placement[]
  /** What of it must stay free until then of what is free now: the rest is still held. */
  kept: Placement[]
}

interface Timetable {
  machine: Machine
  /** When each GPU is free; 0: now; Infinity: nobody knows. */
  gpus: { index: number; type: string; memoryBytes: number; freeAt: number }[]
  /** What is given back, the earliest first. */
  returns: { at: number; cpus: number; memoryBytes: number }[]
  cpusFree: number
  memoryBytesFree: number
}

/** A place on one machine. */
interface Part {
  nodeId: string
  at: number
  /** GPUs that are not free yet: which of two machines of unknown times is nearer. */
  lacking: number
  /** The GPUs that could do by then, the latest first. */
  gpus: { index: number; freeAt: number }[]
  timetable: Timetable
}

/**
 * When what machines hold will be free again, by what is known of the ends of running jobs. What is held from some time on counts as held from now on, so that
 * nothing is promised twice.
 */
export class Forecast {
  private readonly tables: Timetable[]
  private readonly byId: Map<string, Timetable>
  private readonly types: string[]

  constructor(machines: readonly Machine[], running: readonly Pick<Running, 'jobId' | 'endsAt'>[]) {
    const ends = new Map(running.map(({ jobId, endsAt }) => [jobId, endsAt?.getTime() ?? Number.POSITIVE_INFINITY]))
    this.tables = machines.filter(({ takesWork }) => takesWork).map((machine) => toTimetable(machine, ends))
    this.byId = new Map(this.tables.map((table) => [table.machine.nodeId, table]))
    this.types = [...new Set(this.tables.flatMap(({ gpus }) => gpus.map(({ type }) => type)))].sort()
  }

  /** The earliest place; null where even empty machines would not do. */
  earliest(needs: Needs): Reservation | null {
    const types = needs.gpuCount === 0 ? [''] : needs.gpuType ? [needs.gpuType] : this.types
    let best: Reservation | null = null
    for (const type of types) {
      const found = this.earliestOf(needs, type)
      if (found && (!best || found.at < best.at)) best = found
    }
    return best
  }

  /** Holds a place until a time. */
  hold(placement: readonly Placement[], until: number): void {
    for (const { nodeId, gpuIndexes, cpus, memoryBytes } of placement) {
      const table = this.byId.get(nodeId)
      if (!table) continue
      for (const gpu of table.gpus) if (gpuIndexes.includes(gpu.index)) gpu.freeAt = until
      table.cpusFree -= cpus
      table.memoryBytesFree -= memoryBytes
      table.returns = inTime([...table.returns, { at: until, cpus, memoryBytes }])
    }
  }

  private earliestOf(needs: Needs, type: string): Reservation | null {
    const parts = this.tables
      .flatMap((table) => partOn(table, needs, type) ?? [])
      .sort((a, b) => (a.at === b.at ? 0 : a.at - b.at) || a.lacking - b.lacking || (a.nodeId < b.nodeId ? -1 : 1))
      .slice(0, needs.nodes)
    if (parts.length < needs.nodes) return null
    const at = Math.max(...parts.map((part) => part.at))
    const slots = parts.map((part) => slotsOf(part, needs, at))
    return { at, placement: slots.map(({ slot }) => slot), kept: slots.map(({ kept }) => kept) }
  }
}

function toTimetable(machine: Machine, ends: ReadonlyMap<string, number>): Timetable {
  const gpuEnds = new Map<number, number>()
  const returns = machine.holders.map(({ jobId, gpuIndexes, cpus, memoryBytes }) => {
    const at = ends.get(jobId) ?? Number.POSITIVE_INFINITY
    for (const index of gpuIndexes) gpuEnds.set(index, at)
    return { at, cpus, memoryBytes }
  })
  return {
    machine,
    gpus: machine.gpus.map(({ index, type, memoryBytes, free }) => ({
      index,
      type,
      memoryBytes,
      freeAt: free ? 0 : (gpuEnds.get(index) ?? Number.POSITIVE_INFINITY),
    })),
    returns: inTime(returns),
    cpusFree: machine.cpusFree,
    memoryBytesFree: machine.memoryBytesFree,
  }
}

function partOn(timetable: Timetable, needs: Needs, type: string): Part | null {
  const { machine } = timetable
  if (!isSelected(needs, machine) || machine.memoryBytes < needs.memoryBytesPerNode) return null
  const perNode = needs.gpuCount / needs.nodes
  const gpus = timetable.gpus
    .filter((gpu) => gpu.type === type && gpu.memoryBytes >= needs.gpuMemoryBytesMin)
    .sort((a, b) => (a.freeAt === b.freeAt ? 0 : a.freeAt - b.freeAt))
  if (gpus.length < perNode || (needs.gpuCount === 0 && machine.cpus < needs.cpusPerNode)) return null
  const at = Math.max(perNode > 0 ? (gpus[perNode - 1]?.freeAt ?? 0) : 0, slotsFreeAt(timetable, needs))
  const lacking = gpus.slice(0, perNode).filter(({ freeAt }) => freeAt > 0).length
  return { nodeId: machine.nodeId, at, lacking, gpus, timetable }
}

/** When the CPU slots and the memory of a part are free. */
function slotsFreeAt({ cpusFree, memoryBytesFree, returns }: Timetable, needs: Needs): number {
  const cpus = needs.gpuCount === 0 ? needs.cpusPerNode : 0
  let at = 0
  let [cpusThen, memoryThen] = [cpusFree, memoryBytesFree]
  for (const back of returns) {
    if (cpusThen >= cpus && memoryThen >= needs.memoryBytesPerNode) return at
    at = back.at
    cpusThen += back.cpus
    memoryThen += back.memoryBytes
  }
  return cpusThen >= cpus && memoryThen >= needs.memoryBytesPerNode ? at : Number.POSITIVE_INFINITY
}

/** What a part takes by that time, and what of it must be kept free: as little as possible of what is free now, so that others may use it meanwhile. */
function slotsOf({ nodeId, gpus, timetable }: Part, needs: Needs, at: number): { slot: Placement; kept: Placement } {
  const perNode = needs.gpuCount / needs.nodes
  const inTimeForIt = gpus.filter(({ freeAt }) => freeAt <= at)
  const chosen = Number.isFinite(at) ? inTimeForIt.slice(-perNode || inTimeForIt.length) : gpus
  const slot = slotOn(
    nodeId,
    needs,
    chosen.slice(0, perNode).map(({ index }) => index),
  )
  const back = timetable.returns.filter((each) => each.at <= at && Number.isFinite(each.at))
  const cpus = Math.max(0, slot.cpus - back.reduce((sum, each) => sum + each.cpus, 0))
  const memoryBytes = Math.max(0, slot.memoryBytes - back.reduce((sum, each) => sum + each.memoryBytes, 0))
  return { slot, kept: { ...slot, cpus, memoryBytes } }
}

const inTime = <Each extends { at: number }>(returns: Each[]): Each[] => returns.sort((a, b) => (a.at === b.at ? 0 : a.at - b.at))
