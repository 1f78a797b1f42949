import { Failure, type FieldProblem, InvalidInput } from '../../../contract/failure.js'
import type { Gpu__Output } from '../../../generated/proto/scaimind/v1/Gpu.js'
import type { HeartbeatRequest__Output } from '../../../generated/proto/scaimind/v1/HeartbeatRequest.js'
import type { RegisterNodeRequest__Output } from '../../../generated/proto/scaimind/v1/RegisterNodeRequest.js'
import type { EngineGpu, EngineNode } from '../../engines/engine.js'
import { type Database, transact } from '../records/database.js'

/** A node whose agent says nothing for so long is OFFLINE. */
const silentAfterMs = 30_000
/** A node whose agent says nothing for so long is none any more. */
const forgottenAfterMs = 7 * 24 * 3600 * 1000
/** Between two words of an agent: one or two may be lost. */
const intervalSeconds = 10
const gpusMax = 64
const gpuIndexMax = 65_535
/** Totals over a cluster's nodes are 32-bit numbers at some doors. */
const cpusMax = 65_536

/** What node agents tell of their nodes. */
export function nodeAgents({ database, announce, clock }: { database: Database; announce: () => void; clock: () => Date }) {
  return {
    /** Takes the node in, or what is new about it. Throws InvalidInput. */
    async register(request: RegisterNodeRequest__Output): Promise<void> {
      const { node_id: nodeId, hostname, gpus, cpus, memory_bytes: memoryBytes } = request
      const problems = [
        ...(/^[\x21-\x7e]{1,255}$/.test(nodeId)
          ? []
          : [{ path: 'node_id', message: 'An id is 1 to 255 printable characters without spaces.' }]),
        ...(/^[\x21-\x7e]{0,255}$/.test(hostname)
          ? []
          : [{ path: 'hostname', message: 'A name has at most 255 printable characters, none of them a space.' }]),
        ...(cpus <= cpusMax ? [] : [{ path: 'cpus', message: `At most ${cpusMax}.` }]),
        ...(Number.isSafeInteger(Number(memoryBytes)) ? [] : [{ path: 'memory_bytes', message: 'Too many.' }]),
        ...gpuProblems(gpus),
      ]
      if (problems.length > 0) throw new InvalidInput(problems, 'INVALID_ARGUMENT')
      const row = { hostname, gpus: storeGpus(gpus.map(toGpu)), cpus, memoryBytes: BigInt(memoryBytes), lastHeartbeat: clock() }
      await transact(database, async (tx) => {
        await tx.nodeAgent.upsert({ where: { nodeId }, create: { nodeId, ...row }, update: row })
        await tx.nodeAgent.deleteMany({ where: { lastHeartbeat: { lte: forgottenBefore(row.lastHeartbeat) } } })
      })
      announce()
    },

    /** The node lives. Answers seconds until the next word is expected. Throws NODE_NOT_FOUND, InvalidInput. */
    async heartbeat({ node_id: nodeId, gpus }: HeartbeatRequest__Output): Promise<number> {
      const row = await database.nodeAgent.findUnique({ where: { nodeId: nodeId.slice(0, 255) } })
      if (!row) throw unregistered(nodeId)
      const known = readGpus(row.gpus)
      const problems = [
        ...gpuProblems(gpus).filter(({ path }) => !path.endsWith('.type')),
        ...gpus.flatMap(({ index }, at) =>
          known.some((gpu) => gpu.index === index)
            ? []
            : [{ path: `gpus[${at}].index`, message: `The node was registered without GPU ${index}; register it again.` }],
        ),
      ]
      if (problems.length > 0) throw new InvalidInput(problems, 'INVALID_ARGUMENT')
      const now = known.map((gpu) => {
        const told = gpus.find(({ index }) => index === gpu.index)
        return told ? { ...gpu, ...usageOf(told) } : gpu
      })
      const data = { gpus: storeGpus(now), lastHeartbeat: clock() }
      await transact(database, (tx) => tx.nodeAgent.updateMany({ where: { nodeId: row.nodeId }, data }))
      return intervalSeconds
    },
  }
}

/** The refusal of an agent whose node never registered. */
export const unregistered = (nodeId: string): Failure =>
  new Failure('NODE_NOT_FOUND', `Node ${JSON.stringify(nodeId.slice(0, 255))} is not registered; its agent calls RegisterNode first.`)

/** The nodes as their agents reported them, those aside that said nothing for 7 days. */
export async function readAgents(database: Database, now: Date): Promise<EngineNode[]> {
  const rows = await database.nodeAgent.findMany({ where: { lastHeartbeat: { gt: forgottenBefore(now) } }, orderBy: { nodeId: 'asc' } })
  return rows.map(({ nodeId, hostname, gpus, cpus, memoryBytes, lastHeartbeat }) => ({
    nodeId,
    hostname,
    features: [],
    online: now.getTime() - lastHeartbeat.getTime() < silentAfterMs,
    draining: false,
    reason: '',
    gpus: readGpus(gpus),
    cpus,
    memoryBytes: Number(memoryBytes),
    lastHeartbeat,
  }))
}

const forgottenBefore = (now: Date): Date => new Date(now.getTime() - forgottenAfterMs)

/** A node of the engine with what its agent says of its GPUs' use; one that is silent says nothing. */
export function withUsage(node: EngineNode, agent: EngineNode | undefined): EngineNode {
  if (!agent?.online) return node
  const gpus = node.gpus.map((gpu) => {
    const told = agent.gpus.find(({ index }) => index === gpu.index)
    return {
      ...gpu,
      memoryUsedBytes: told?.memoryUsedBytes ?? gpu.memoryUsedBytes,
      utilization: told?.utilization ?? gpu.utilization,
      powerWatts: told?.powerWatts ?? gpu.powerWatts,
      temperatureCelsius: told?.temperatureCelsius ?? gpu.temperatureCelsius,
    }
  })
  return { ...node, gpus }
}

/** GPUs as the agent's row holds them. */
export const readGpus = (json: string): EngineGpu[] =>
  (JSON.parse(json) as StoredGpu[]).map(
    ({ index, type, memory_bytes, memory_used_bytes, utilization, power_watts, temperature_celsius }) => ({
      index,
      type,
      memoryBytes: memory_bytes,
      memoryUsedBytes: memory_used_bytes,
      utilization,
      powerWatts: power_watts ?? null,
      temperatureCelsius: temperature_celsius ?? null,
    }),
  )

interface StoredGpu {
  index: number
  type: string
  memory_bytes: number
  memory_used_bytes: number | null
  utilization: number | null
  // Agents of an earlier coordinator's life did not tell these.
  power_watts?: number | null
  temperature_celsius?: number | null
}

function storeGpus(gpus: EngineGpu[]): string {
  const stored: StoredGpu[] = gpus.map((gpu) => ({
    index: gpu.index,
    type: gpu.type,
    memory_bytes: gpu.memoryBytes,
    memory_used_bytes: gpu.memoryUsedBytes,
    utilization: gpu.utilization,
    power_watts: gpu.powerWatts,
    temperature_celsius: gpu.temperatureCelsius,
  }))
  return JSON.stringify(stored)
}

type GpuUsage = Pick<EngineGpu, 'memoryUsedBytes' | 'utilization' | 'powerWatts' | 'temperatureCelsius'>

const usageOf = ({ memory_used_bytes: used, utilization, power_watts, temperature_celsius }: Gpu__Output): GpuUsage => ({
  memoryUsedBytes: used === undefined ? null : Number(used),
  utilization: utilization ?? null,
  powerWatts: power_watts ?? null,
  temperatureCelsius: temperature_celsius ?? null,
})

const toGpu = (gpu: Gpu__Output): EngineGpu => ({
  index: gpu.index,
  type: gpu.type,
  memoryBytes: Number(gpu.memory_bytes),
  ...usageOf(gpu),
})

function gpuProblems(gpus: Gpu__Output[]): FieldProblem[] {
  if (gpus.length > gpusMax) return [{ path: 'gpus', message: `At most ${gpusMax} GPUs, not ${gpus.length}.` }]
  return gpus.flatMap(({ index, type, utilization, memory_bytes, memory_used_bytes = '0' }, at) => [
    ...(gpus.findIndex((other) => other.index === index) === at
      ? []
      : [{ path: `gpus[${at}].index`, message: `There are two GPUs ${index}.` }]),
    ...(index <= gpuIndexMax ? [] : [{ path: `gpus[${at}].index`, message: `At most ${gpuIndexMax}.` }]),
    ...(/^[A-Za-z0-9_.:-]{1,64}$/.test(type)
      ? []
      : [{ path: `gpus[${at}].type`, message: 'A type is 1 to 64 letters, digits and _ . : -' }]),
    ...(utilization === undefined || (utilization >= 0 && utilization <= 1)
      ? []
      : [{ path: `gpus[${at}].utilization`, message: 'A fraction, 0 to 1.' }]),
    ...(['power_watts', 'temperature_celsius'] as const).flatMap((field) =>
      Number.isFinite(gpus[at]?.[field] ?? 0) ? [] : [{ path: `gpus[${at}].${field}`, message: 'A finite number.' }],
    ),
    ...([memory_bytes, memory_used_bytes].every((bytes) => Number.isSafeInteger(Number(bytes)))
      ? []
      : [{ path: `gpus[${at}].memory_bytes`, message: 'Too many.' }]),
  ])
}
