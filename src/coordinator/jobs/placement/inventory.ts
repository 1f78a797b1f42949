import type { Attempt } from '../../../generated/prisma/coordinator/client.js'
import type { Engine, EngineNode } from '../../engines/engine.js'
import type { Database } from '../records/database.js'
import { placementOf } from '../records/record.js'
import { heldReservations } from '../records/reservations.js'
import { readAgents, withUsage } from './node-agents.js'
import type { Holder, Machine } from './place.js'

/** A machine with our record of it: what an operator decided, and which attempts hold what. */
export interface InventoryNode {
  node: EngineNode
  draining: boolean
  reason: string
  /** Whether it was drained for the failures that it is blamed for. */
  cordoned: boolean
  /** Whether only its agent reports it, so that the engine cannot start attempts there. */
  reportedOnly: boolean
  holders: Holder[]
}

type Unfinished = Attempt & { job: { tenantId: string } }

/** The machines that the engine can start attempts on, with what our unfinished attempts hold, and what is reserved. */
export async function readInventory(engine: Engine, database: Database): Promise<InventoryNode[]> {
  const [nodes, withRecord] = await Promise.all([engine.nodes(), recordReader(engine, database)])
  return nodes.map((node) => withRecord(node, false))
}

/** The same with the nodes that only their agents report. An engine with a scheduler of its own knows all nodes itself. */
export async function readWholeInventory(engine: Engine, database: Database, now: Date): Promise<InventoryNode[]> {
  if (engine.scheduler) return await readInventory(engine, database)
  const [nodes, agents, withRecord] = await Promise.all([engine.nodes(), readAgents(database, now), recordReader(engine, database)])
  const others = agents.filter(({ nodeId }) => !nodes.some((node) => node.nodeId === nodeId))
  const agentOf = (nodeId: string) => agents.find((agent) => agent.nodeId === nodeId)
  return [...nodes.map((node) => withRecord(withUsage(node, agentOf(node.nodeId)), false)), ...others.map((node) => withRecord(node, true))]
}

/** The inventory as placement needs it. */
export function toMachines(inventory: InventoryNode[]): Machine[] {
  return inventory.map(({ node, draining, holders }) => {
    const taken = new Set(holders.flatMap(({ gpuIndexes }) => gpuIndexes))
    return {
      nodeId: node.nodeId,
      hostname: node.hostname,
      features: node.features,
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

async function recordReader(engine: Engine, database: Database) {
  const [rows, attempts, reserved] = await Promise.all([
    database.node.findMany({ where: { draining: true } }),
    database.attempt.findMany({ where: { finishedAt: null }, include: { job: { select: { tenantId: true } } } }),
    heldReservations(database),
  ])
  return (node: EngineNode, reportedOnly: boolean): InventoryNode => {
    const row = rows.find(({ nodeId }) => nodeId === node.nodeId)
    // Where the engine keeps drains, its word is the one that counts.
    const draining = node.draining || (row !== undefined && engine.nodeControl === null)
    return {
      node,
      draining,
      reason: row && engine.nodeControl === null ? row.reason : node.reason,
      cordoned: draining && (row?.cordoned ?? false),
      reportedOnly,
      holders: [
        ...attempts.flatMap((attempt) => holdOn(node.nodeId, attempt)),
        ...reserved
          .filter(({ nodeId }) => nodeId === node.nodeId)
          .map(({ jobId, tenantId, gpuIndexes: given }) => {
            const gpuIndexes = given.filter((index) => node.gpus.some((gpu) => gpu.index === index))
            return { jobId, tenantId, gpuIndexes, cpus: 0, memoryBytes: 0 }
          }),
      ],
    }
  }
}

function holdOn(nodeId: string, attempt: Unfinished): Holder[] {
  return placementOf(attempt)
    .filter((slot) => slot.nodeId === nodeId)
    .map(({ gpuIndexes, cpus, memoryBytes }) => ({ jobId: attempt.jobId, tenantId: attempt.job.tenantId, gpuIndexes, cpus, memoryBytes }))
}
