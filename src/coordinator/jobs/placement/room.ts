import type { Needs, Placement } from '../../engines/engine.js'
import type { Machine } from './place.js'

/** What is free on machines, as places are taken and given back. Works on copies. Finding a place looks only at machines that have so much free. */
export class Room {
  /** The machines as they are now. */
  readonly machines: readonly Machine[]
  private readonly byId: Map<string, Machine>
  private readonly byGpus = new Map<string, Buckets>()
  private readonly byCpus = new Buckets()
  private readonly types: string[]

  constructor(machines: readonly Machine[]) {
    this.machines = machines.map((machine) => ({ ...machine, gpus: machine.gpus.map((gpu) => ({ ...gpu })) }))
    this.byId = new Map(this.machines.map((machine) => [machine.nodeId, machine]))
    this.types = [...new Set(this.machines.flatMap(({ gpus }) => gpus.map(({ type }) => type)))].sort()
    for (const type of this.types) this.byGpus.set(type, new Buckets())
    for (const machine of this.machines) this.file(machine)
  }

  /** A place for the needs on what is free, the fullest machines first; null where there is none. Takes nothing. */
  find(needs: Needs): Placement[] | null {
    if (needs.gpuCount === 0) return gather(needs, this.byCpus.atLeast(needs.cpusPerNode), () => [])
    const perNode = needs.gpuCount / needs.nodes
    for (const type of needs.gpuType ? [needs.gpuType] : this.types) {
      const candidates = this.byGpus.get(type)?.atLeast(perNode) ?? []
      const placement = gather(needs, candidates, ({ gpus }) => {
        const usable = gpus.filter((gpu) => gpu.free && gpu.type === type && gpu.memoryBytes >= needs.gpuMemoryBytesMin)
        return usable.length >= perNode ? usable.slice(0, perNode).map(({ index }) => index) : null
      })
      if (placement) return placement
    }
    return null
  }

  /** Takes a place; what of it was not free stays taken. */
  take(placement: readonly Placement[]): void {
    this.move(placement, false)
  }

  /** Gives a place back. */
  giveBack(placement: readonly Placement[]): void {
    this.move(placement, true)
  }

  private move(placement: readonly Placement[], free: boolean): void {
    for (const { nodeId, gpuIndexes, cpus, memoryBytes } of placement) {
      const machine = this.byId.get(nodeId)
      if (!machine) continue
      for (const gpu of machine.gpus) if (gpuIndexes.includes(gpu.index)) gpu.free = free
      machine.cpusFree += free ? cpus : -cpus
      machine.memoryBytesFree += free ? memoryBytes : -memoryBytes
      this.file(machine)
    }
  }

  /** Files a machine under what it has free. */
  private file(machine: Machine): void {
    if (!machine.takesWork) return
    this.byCpus.put(machine, machine.cpusFree)
    for (const [type, buckets] of this.byGpus) {
      let free = 0
      for (const gpu of machine.gpus) if (gpu.free && gpu.type === type) free++
      buckets.put(machine, free)
    }
  }
}

/** A place for the needs on what is free on machines; null where there is none. */
export const findRoom = (needs: Needs, machines: readonly Machine[]): Placement[] | null => new Room(machines).find(needs)

/** The same machines with nothing running on them. */
export function emptied(machines: readonly Machine[]): Machine[] {
  return machines.map((machine) => ({
    ...machine,
    gpus: machine.gpus.map((gpu) => ({ ...gpu, free: true })),
    cpusFree: machine.cpus,
    memoryBytesFree: machine.memoryBytes,
  }))
}

/** Whether a machine is one that the job asks for by its selector. */
export function isSelected({ nodeSelector }: Needs, { nodeId, hostname, features }: Machine): boolean {
  return Object.entries(nodeSelector).every(([key, value]) =>
    key === 'feature' ? features.includes(value) : (key === 'node_id' ? nodeId : key === 'hostname' ? hostname : null) === value,
  )
}

function gather(needs: Needs, machines: Iterable<Machine>, gpusOn: (machine: Machine) => number[] | null): Placement[] | null {
  const places: Placement[] = []
  for (const machine of machines) {
    if (machine.memoryBytesFree < needs.memoryBytesPerNode || !isSelected(needs, machine)) continue
    const gpuIndexes = gpusOn(machine)
    if (!gpuIndexes) continue
    places.push(slotOn(machine.nodeId, needs, gpuIndexes))
    if (places.length === needs.nodes) return places
  }
  return null
}

/** What a job's part takes of a machine. CPU slots are for jobs without GPUs; the others are counted by their GPUs. */
export const slotOn = (nodeId: string, needs: Needs, gpuIndexes: number[]): Placement => ({
  nodeId,
  gpuIndexes,
  cpus: needs.gpuCount === 0 ? needs.cpusPerNode : 0,
  memoryBytes: needs.memoryBytesPerNode,
})

/** Machines by how much each has free. */
class Buckets {
  private readonly sets: Set<Machine>[] = []
  private readonly countOf = new Map<Machine, number>()

  put(machine: Machine, free: number): void {
    const count = Math.max(0, free)
    const before = this.countOf.get(machine)
    if (before === count) return
    if (before !== undefined) this.sets[before]?.delete(machine)
    while (this.sets.length <= count) this.sets.push(new Set())
    this.sets[count]?.add(machine)
    this.countOf.set(machine, count)
  }

  /** Those with at least so much, the least first. */
  *atLeast(count: number): Generator<Machine> {
    for (let bucket = count; bucket < this.sets.length; bucket++) yield* this.sets[bucket] ?? []
  }
}
