import type { Needs, Placement } from '../../engines/engine.js'
import { aheadBlocker, type Blocker, earlyBlockers, quotaBlocker, roomBlockers } from './blockers.js'

/** A job that waits. */
export interface Waiting {
  jobId: string
  tenantId: string
  priority: number
  queuedAt: Date
  /** Not before this time; null: now. */
  notBefore: Date | null
  /** Jobs that must be COMPLETED first and are not; of the same tenant. */
  dependencies: { jobId: string; status: string }[]
  needs: Needs
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

/** What becomes of a waiting job: its place, or why it waits. */
export interface Decision {
  jobId: string
  placement: Placement[] | null
  /** Empty where it has a place. */
  blockers: Blocker[]
}

/**
 * Gives places in strict order: priority, then age. A job runs on all its nodes at once or not at all. One that could run but has no
 * room holds back everything behind it, so that a large job is not starved by small ones; one that must not run yet, whose tenant holds what it may, or that
 * would not fit even on empty machines, holds back nobody. `gpusMax` is what a tenant may hold at once; 0: no limit.
 */
export function placeJobs(queue: Waiting[], machines: Machine[], now: Date, gpusMax = 0): Decision[] {
  let free = machines
  const holders = machines.flatMap((machine) => machine.holders).filter(({ gpuIndexes }) => gpuIndexes.length > 0)
  const taken = new Map<string, number>()
  const ahead: NamedJob[] = []
  return inOrder(queue).map(({ jobId, tenantId, needs, ...job }) => {
    const early = earlyBlockers({ ...job, tenantId }, now)
    if (early.length > 0) return { jobId, placement: null, blockers: early }
    if (gpusMax > 0 && needs.gpuCount > 0) {
      const own = holders.filter((holder) => holder.tenantId === tenantId)
      const held = own.reduce((sum, { gpuIndexes }) => sum + gpuIndexes.length, taken.get(tenantId) ?? 0)
      if (held + needs.gpuCount > gpusMax) return { jobId, placement: null, blockers: [quotaBlocker(needs.gpuCount, gpusMax - held, own)] }
    }
    if (ahead.length > 0) return { jobId, placement: null, blockers: [aheadBlocker(ahead.slice(0, 1))] }
    const placement = findRoom(needs, free)
    if (placement) {
      free = take(free, placement)
      taken.set(tenantId, (taken.get(tenantId) ?? 0) + needs.gpuCount)
      return { jobId, placement, blockers: [] }
    }
    if (findRoom(needs, emptied(machines))) ahead.push({ jobId, tenantId })
    return { jobId, placement: null, blockers: roomBlockers(needs, free) }
  })
}

/** The order of the queue: higher priority first, then the longer wait, then the id. */
export function inOrder<Job extends Pick<Waiting, 'jobId' | 'priority' | 'queuedAt'>>(queue: Job[]): Job[] {
  return [...queue].sort(
    (a, b) =>
      b.priority - a.priority || a.queuedAt.getTime() - b.queuedAt.getTime() || (a.jobId < b.jobId ? -1 : a.jobId > b.jobId ? 1 : 0),
  )
}

/** A place for the needs on what is free, the fullest machines first; null where there is none. */
export function findRoom(needs: Needs, machines: Machine[]): Placement[] | null {
  if (needs.gpuCount === 0) return gather(needs, machines, (machine) => (machine.cpusFree >= needs.cpusPerNode ? [] : null))
  const perNode = needs.gpuCount / needs.nodes
  const types = needs.gpuType ? [needs.gpuType] : [...new Set(machines.flatMap(({ gpus }) => gpus.map(({ type }) => type)))].sort()
  for (const type of types) {
    const placement = gather(needs, machines, (machine) => {
      const usable = machine.gpus.filter((gpu) => gpu.free && gpu.type === type && gpu.memoryBytes >= needs.gpuMemoryBytesMin)
      return usable.length >= perNode ? usable.slice(0, perNode).map(({ index }) => index) : null
    })
    if (placement) return placement
  }
  return null
}

/** The same machines with nothing running on them. */
export function emptied(machines: Machine[]): Machine[] {
  return machines.map((machine) => ({
    ...machine,
    gpus: machine.gpus.map((gpu) => ({ ...gpu, free: true })),
    cpusFree: machine.cpus,
    memoryBytesFree: machine.memoryBytes,
  }))
}

/** The machines once a placement is taken from them. */
export function take(machines: Machine[], placement: Placement[]): Machine[] {
  return machines.map((machine) => {
    const slot = placement.find(({ nodeId }) => nodeId === machine.nodeId)
    if (!slot) return machine
    return {
      ...machine,
      gpus: machine.gpus.map((gpu) => ({ ...gpu, free: gpu.free && !slot.gpuIndexes.includes(gpu.index) })),
      cpusFree: machine.cpusFree - slot.cpus,
      memoryBytesFree: machine.memoryBytesFree - slot.memoryBytes,
    }
  })
}

function gather(needs: Needs, machines: Machine[], gpusOn: (machine: Machine) => number[] | null): Placement[] | null {
  const places = machines
    .filter((machine) => machine.takesWork && isSelected(needs, machine) && machine.memoryBytesFree >= needs.memoryBytesPerNode)
    .flatMap((machine) => {
      const gpuIndexes = gpusOn(machine)
      return gpuIndexes ? [{ machine, gpuIndexes }] : []
    })
    .sort((a, b) => freeOn(a.machine) - freeOn(b.machine) || (a.machine.nodeId < b.machine.nodeId ? -1 : 1))
    .slice(0, needs.nodes)
  if (places.length < needs.nodes) return null
  return places.map(({ machine, gpuIndexes }) => ({
    nodeId: machine.nodeId,
    gpuIndexes,
    // CPU slots are for jobs without GPUs; the others are counted by their GPUs.
    cpus: needs.gpuCount === 0 ? needs.cpusPerNode : 0,
    memoryBytes: needs.memoryBytesPerNode,
  }))
}

const freeOn = (machine: Machine): number => machine.gpus.filter(({ free }) => free).length * 1000 + machine.cpusFree

/** Whether a machine is one that the job asks for by its selector. */
export function isSelected({ nodeSelector }: Needs, { nodeId, hostname }: Machine): boolean {
  return Object.entries(nodeSelector).every(([key, value]) => (key === 'node_id' ? nodeId : key === 'hostname' ? hostname : null) === value)
}
