import { fromTimestamp } from '../../../contract/proto.js'
import type { Needs } from '../../engines/engine.js'
import type { Spec } from './spec.js'

const gigabyte = 1e9

/** What a submission needs to run. */
export function needsOf({ resource_config: resources }: Pick<Spec, 'resource_config'>): Needs {
  return {
    gpuCount: resources.gpu_count,
    gpuType: resources.gpu_type,
    nodes: resources.num_nodes,
    gpuMemoryBytesMin: Math.round(Number(resources.min_gpu_memory_gb) * gigabyte),
    cpusPerNode: resources.cpus_per_node,
    memoryBytesPerNode: Math.round(Number(resources.memory_gb_per_node) * gigabyte),
    nodeSelector: resources.node_selector,
  }
}

/** CPU slots that count as much as one GPU. */
const cpusPerGpu = 8

/** What a job takes of the cluster, in GPUs: without any by its CPU slots, eight of which count as one. */
export const shareOf = ({ gpuCount, cpusPerNode, nodes }: Pick<Needs, 'gpuCount' | 'cpusPerNode' | 'nodes'>): number =>
  gpuCount > 0 ? gpuCount : (cpusPerNode * nodes) / cpusPerGpu

/** The later of the submission's `start_after` and the time that a retry waits for. */
export function earliestStart({ scheduling_config }: Pick<Spec, 'scheduling_config'>, notBefore: Date | null): Date | null {
  const startAfter = fromTimestamp(scheduling_config.start_after)
  if (!startAfter || !notBefore) return startAfter ?? notBefore
  return startAfter > notBefore ? startAfter : notBefore
}

/** Longest run in seconds; null: no limit. */
export function runSecondsMax({ scheduling_config }: Pick<Spec, 'scheduling_config'>): number | null {
  return Number(scheduling_config.max_runtime_seconds) || null
}
