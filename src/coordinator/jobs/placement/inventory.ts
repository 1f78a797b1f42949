import type { Attempt } from '../../../generated/prisma/coordinator/client.js'
import type { Engine, EngineNode } from '../../engines/engine.js'
import type { Database } from '../records/database.js'
import { placementOf } from '../records/record.js'
import type { Holder, Machine } from './place.js'

/** A machine with our record of it: what an operator decided, and which attempts hold what. */
export interface InventoryNode {
  node: EngineNode
  draining: boolean
  reason: string
  holders: Holder[]
}

type Unfinished = Attempt & { job: { tenantId: string } }

/** The machines as the engine sees them, with what our unfinished attempts hold. */
export async function readInventory(engine: Engine, database: Database): Promise<InventoryNode[]> {
  const [nodes, rows, attempts] = await Promise.all([
    engine.nodes(),
    database.node.findMany(),
    database.attempt.findMany({ where: { finishedAt: null }, include: { job: { select: { tenantId: true } } } }),
  ])
  return nodes.map((node) => {
    const row = rows.find(({ nodeId }) => nodeId === node.nodeId)
    return {
      node,
      draining: node.draining || (row?.draining ?? false),
      reason: row?.draining ? row.reason : node.reason,
      holders: attempts.flatMap((attempt) => holdOn(node.nodeId, attempt)),
    }
  })
}

/** The inventory as placement needs it. */
export function toMachines(inventory: InventoryNode[]): Machine[] {
  return inventory.map(({ node, draining, holders }) => {
    const taken = new Set(holders.flatMap(({ gpuIndexes }) => gpuIndexes))
    return {
      nodeId: node.nodeId,
      hostname: node.hostname,
      takesWork: node.online && !draining,
      draining: node.online && draining,
      gpus: node.gpus.map(({ index, type, memoryBytes, busy }) => ({ index, type, memoryBytes, free: !busy && !taken.has(index) })),
      cpus: node.cpus,
      cpusFree: node.cpus - holders.reduce((sum, { cpus }) => sum + cpus, 0),
      memoryBytes: node.memoryBytes,
      memoryBytesFree: node.memoryBytes - holders.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
      holders,
    }
  })
}

function holdOn(nodeId: string, attempt: Unfinished): Holder[] {
  return placementOf(attempt)
    .filter((slot) => slot.nodeId === nodeId)
    .map(({ gpuIndexes, cpus, memoryBytes }) => ({ jobId: attempt.jobId, tenantId: attempt.job.tenantId, gpuIndexes, cpus, memoryBytes }))
}
