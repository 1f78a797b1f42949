import { toTimestamp } from '../../../contract/proto.js'
import type { NodeStatus } from '../../../contract/statuses.js'
import type { ClusterNode__Output } from '../../../generated/proto/scaimind/v1/ClusterNode.js'
import type { NodeBlame__Output } from '../../../generated/proto/scaimind/v1/NodeBlame.js'
import type { InventoryNode } from './inventory.js'

/** The node as `scaimind.v1` has it, as a tenant may see it; `*` sees all. */
export function toNodeMessage(inventory: InventoryNode, tenantId: string, evidence: NodeBlame__Output[]): ClusterNode__Output {
  const { node, holders, reason, reportedOnly, cordoned } = inventory
  const isOwn = (holder: { tenantId: string }) => tenantId === '*' || holder.tenantId === tenantId
  return {
    node_id: node.nodeId,
    hostname: node.hostname,
    status: statusOf(inventory),
    gpus: node.gpus.map(({ index, type, memoryBytes, memoryUsedBytes, utilization, powerWatts, temperatureCelsius }) => {
      const holder = holders.find(({ gpuIndexes }) => gpuIndexes.includes(index))
      return {
        index,
        type,
        memory_bytes: String(memoryBytes),
        ...(memoryUsedBytes === null ? {} : { memory_used_bytes: String(memoryUsedBytes) }),
        ...(utilization === null ? {} : { utilization }),
        ...(powerWatts === null ? {} : { power_watts: powerWatts }),
        ...(temperatureCelsius === null ? {} : { temperature_celsius: temperatureCelsius }),
        job_id: holder && isOwn(holder) ? holder.jobId : '',
        allocated: holder !== undefined,
      }
    }),
    cpus: node.cpus,
    cpus_allocated: holders.reduce((sum, { cpus }) => sum + cpus, 0),
    memory_bytes: String(node.memoryBytes),
    memory_allocated_bytes: String(holders.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0)),
    last_heartbeat: toTimestamp(node.lastHeartbeat),
    reason,
    job_ids: [...new Set(holders.filter(isOwn).map(({ jobId }) => jobId))],
    reported_only: reportedOnly,
    cordoned,
    evidence,
  }
}

/** Whether the node takes work. */
export function statusOf({ node, draining }: InventoryNode): NodeStatus {
  return !node.online ? 'OFFLINE' : draining ? 'DRAINING' : 'ONLINE'
}
