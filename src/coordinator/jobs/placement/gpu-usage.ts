import { join } from 'node:path'
import type { Attempt } from '../../../generated/prisma/coordinator/client.js'
import { type GpuUse, lastGpuSample } from '../../journal/gpu-metrics.js'
import { attemptDirectory } from '../../journal/paths.js'
import type { Database } from '../records/database.js'
import { placementOf } from '../records/record.js'
import type { InventoryNode } from './inventory.js'

/** What was seen longer ago says nothing of now. */
const freshMs = 60_000

/** An attempt that is not over and whose GPUs are sampled. */
export type SampledAttempt = Pick<Attempt, 'jobId' | 'number' | 'placement'> & { job: { tenantId: string } }

/** Those of all tenants. */
export const sampledAttempts = (database: Database): Promise<SampledAttempt[]> =>
  database.attempt.findMany({ where: { finishedAt: null, gpuSampled: true }, include: { job: { select: { tenantId: true } } } })

/**
 * An inventory with what launchers last saw of the GPUs that their attempts hold, within a minute: for an engine that does not tell how GPUs are used. What it tells itself stays.
 */
export async function withSampledUsage(
  inventory: InventoryNode[],
  attempts: SampledAttempt[],
  { dataDir, now }: { dataDir: string; now: Date },
): Promise<InventoryNode[]> {
  const uses = new Map<string, GpuUse>()
  for (const { jobId, number, job, ...attempt } of attempts) {
    const directory = attemptDirectory(dataDir, job.tenantId, jobId, number)
    for (const [rank, { nodeId, gpuIndexes }] of placementOf(attempt).entries()) {
      const sample = await lastGpuSample(join(directory, `gpu.${rank}.jsonl`))
      // A launcher may count only the GPUs of its own, from 0: the order is the same.
      if (!sample || now.getTime() - sample.timeMs > freshMs || sample.gpus.length !== gpuIndexes.length) continue
      const ascending = gpuIndexes.toSorted((a, b) => a - b)
      for (const [place, use] of sample.gpus.entries()) uses.set(`${nodeId} ${ascending[place]}`, use)
    }
  }
  return inventory.map((entry) => ({ ...entry, node: { ...entry.node, gpus: entry.node.gpus.map((gpu) => used(entry.node.nodeId, gpu)) } }))

  function used(nodeId: string, gpu: InventoryNode['node']['gpus'][number]) {
    const use = uses.get(`${nodeId} ${gpu.index}`)
    return {
      ...gpu,
      memoryUsedBytes: gpu.memoryUsedBytes ?? use?.memoryUsedBytes ?? null,
      utilization: gpu.utilization ?? use?.utilization ?? null,
      powerWatts: gpu.powerWatts ?? use?.powerWatts ?? null,
      temperatureCelsius: gpu.temperatureCelsius ?? use?.temperatureCelsius ?? null,
    }
  }
}
