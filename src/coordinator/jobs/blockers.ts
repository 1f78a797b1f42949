import { toTimestamp } from '../../contract/proto.js'
import type { BlockerKind } from '../../contract/statuses.js'
import type { Blocker__Output } from '../../generated/proto/scaimind/v1/Blocker.js'
import { findRoom, isSelected, type Machine, type Needs, type Waiting } from './place.js'

/** What a waiting job's blockers are told from. */
export interface BlockerOptions {
  waiting: Pick<Waiting, 'notBefore' | 'dependencies' | 'needs'>
  /** With what is free once the jobs ahead have what they get now. */
  machines: Machine[]
  /** Ids of machines that are draining. */
  draining: readonly string[]
  ahead: { count: number; ownJobs: string[] }
  now: Date
}

/** Why a job does not start now: everything that must pass first. Empty where nothing is in its way. Pure. */
export function blockersOf({ waiting, machines, draining, ahead, now }: BlockerOptions): Blocker__Output[] {
  const { dependencies, notBefore, needs } = waiting
  const found: Blocker__Output[] = []
  if (dependencies.length > 0) {
    const jobs = dependencies.map(({ jobId }) => jobId)
    found.push({ ...blocker('DEPENDENCY', { need: jobs.length }), jobs })
  }
  if (notBefore && notBefore > now) found.push({ ...blocker('START_TIME'), until: toTimestamp(notBefore) })
  if (findRoom(needs, machines)) {
    // Before its time nobody is in its way.
    if (found.length === 0 && ahead.count > 0) found.push({ ...blocker('JOBS_AHEAD', { need: ahead.count }), jobs: ahead.ownJobs })
    return found
  }
  return [...found, ...lacking(needs, machines), ...drained(needs, machines, draining)]
}

function lacking(needs: Needs, machines: Machine[]): Blocker__Output[] {
  const open = machines.filter((machine) => machine.takesWork && isSelected(needs, machine))
  const found: Blocker__Output[] = []
  const add = (kind: BlockerKind, of: string, need: number, have: number) => {
    if (have < need) found.push(blocker(kind, { of, need, have }))
  }
  if (needs.gpuCount > 0) {
    const fits = (gpu: Machine['gpus'][number]) =>
      (!needs.gpuType || gpu.type === needs.gpuType) && gpu.memoryBytes >= needs.gpuMemoryBytesMin
    add('GPUS', needs.gpuType, needs.gpuCount, open.flatMap(({ gpus }) => gpus).filter((gpu) => gpu.free && fits(gpu)).length)
  } else {
    const free = open.reduce((sum, { cpusFree }) => sum + Math.max(0, cpusFree), 0)
    add('CPUS', '', needs.cpusPerNode * needs.nodes, free)
  }
  add('MEMORY', '', needs.memoryBytesPerNode, Math.max(0, ...open.map(({ memoryBytesFree }) => memoryBytesFree)))
  if (found.length > 0) return found
  // There is enough of everything, but not together.
  const gpuCount = needs.gpuCount / needs.nodes
  add('NODES', '', needs.nodes, open.filter((machine) => findRoom({ ...needs, nodes: 1, gpuCount }, [machine])).length)
  return found
}

/** Machines that would do, were they not draining. */
function drained(needs: Needs, machines: Machine[], draining: readonly string[]): Blocker__Output[] {
  const gpuCount = needs.gpuCount / needs.nodes
  return machines
    .filter(({ nodeId }) => draining.includes(nodeId))
    .filter((machine) => findRoom({ ...needs, nodes: 1, gpuCount }, [{ ...machine, takesWork: true }]))
    .map(({ nodeId }) => blocker('DRAINING', { of: nodeId, need: 1 }))
}

function blocker(kind: BlockerKind, { of = '', need = 0, have = 0 } = {}): Blocker__Output {
  return { kind, of, need, have, until: null, jobs: [] }
}
