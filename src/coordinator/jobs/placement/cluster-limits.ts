import type { FieldProblem } from '../../../contract/failure.js'
import type { EngineNode } from '../../engines/engine.js'
import { needsOf } from '../records/needs.js'
import type { Spec } from '../records/spec.js'
import type { Machine } from './place.js'
import type { TenantLimits } from './quota.js'
import { findRoom } from './room.js'

/** What a submission asks for that its tenant may never hold, or that the machines do not have, even with nothing running on them and none draining. Pure. */
export function inventoryProblems(spec: Spec, nodes: EngineNode[], { gpus: gpusMax }: Pick<TenantLimits, 'gpus'>): FieldProblem[] {
  const { gpu_count: gpus, gpu_type: type, num_nodes: nodesWanted, cpus_per_node: cpus } = spec.resource_config
  const path = 'resource_config'
  const types = [...new Set(nodes.flatMap((node) => node.gpus.map((gpu) => gpu.type)))].sort()
  const gpusOf = (name: string) => nodes.flatMap((node) => node.gpus).filter((gpu) => name === '' || gpu.type === name).length
  const problems: FieldProblem[] = []
  const isKnownType = type === '' || types.includes(type)
  if (!isKnownType) {
    const have = types.length > 0 ? `it has ${types.join(', ')}` : 'it has no GPUs'
    problems.push({ path: `${path}.gpu_type`, message: `The cluster has no GPU of type ${JSON.stringify(type)}; ${have}.` })
  }
  const available = gpusOf(isKnownType ? type : '')
  if (gpus > available) {
    const what = isKnownType && type !== '' ? ` of type ${type}` : ''
    problems.push({ path: `${path}.gpu_count`, message: `${gpus} GPUs are more than the cluster has${what}: ${available}.` })
  }
  if (gpusMax > 0 && gpus > gpusMax) {
    problems.push({ path: `${path}.gpu_count`, message: `${gpus} GPUs are more than a tenant may hold at once: ${gpusMax}.` })
  }
  if (nodesWanted > nodes.length) {
    problems.push({ path: `${path}.num_nodes`, message: `${nodesWanted} nodes are more than the cluster has: ${nodes.length}.` })
  }
  const cpusMax = Math.max(0, ...nodes.map((node) => node.cpus))
  if (cpus > cpusMax) {
    problems.push({ path: `${path}.cpus_per_node`, message: `${cpus} CPU slots are more than the largest node has: ${cpusMax}.` })
  }
  const needs = needsOf(spec)
  const usable = nodes.flatMap((node) => node.gpus).filter((gpu) => type === '' || gpu.type === type)
  if (gpus > 0 && needs.gpuMemoryBytesMin > 0 && usable.length > 0 && usable.every(({ memoryBytes }) => memoryBytes === 0)) {
    problems.push({
      path: `${path}.min_gpu_memory_gb`,
      message: 'The cluster does not tell how large its GPUs are; name their type instead.',
    })
  }
  const memoryMax = Math.max(0, ...nodes.map((node) => node.memoryBytes))
  if (needs.memoryBytesPerNode > memoryMax) {
    const message = `The largest node has ${Math.floor(memoryMax / 1e8) / 10} GB.`
    problems.push({ path: `${path}.memory_gb_per_node`, message })
  }
  if (problems.length === 0 && gpus % nodesWanted === 0 && !findRoom(needs, nodes.map(toEmptyMachine))) {
    const message = `No ${nodesWanted === 1 ? 'node' : `${nodesWanted} nodes`} of the cluster could hold this, even with nothing else running.`
    problems.push({ path, message })
  }
  return problems
}

/** A node with nothing running on it, that takes work. */
export function toEmptyMachine({ nodeId, hostname, features, gpus, cpus, memoryBytes }: EngineNode): Machine {
  const room = { cpus, cpusFree: cpus, memoryBytes, memoryBytesFree: memoryBytes }
  return {
    nodeId,
    hostname,
    features,
    takesWork: true,
    draining: false,
    gpus: gpus.map((gpu) => ({ ...gpu, free: true })),
    ...room,
    holders: [],
  }
}
