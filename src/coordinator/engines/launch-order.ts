import { writeOrder } from './attempt-folder.js'
import type { AttemptOrder } from './engine.js'

/** Writes `launch.json`, by which launchers on all nodes know what to run. `environment` wins over the order's. OMP_NUM_THREADS is `cpus`, unless the order has it. */
export async function writeLaunchOrder(order: AttemptOrder, cpus: number, environment: Record<string, string>): Promise<void> {
  const { directory, jobId, number, token, command, metricsFromOutput, gpuSampleSeconds, stopGraceSeconds } = order
  await writeOrder(directory, {
    job_id: jobId,
    attempt: number,
    token,
    command,
    // More threads than slots make each of them slower.
    environment: { OMP_NUM_THREADS: String(Math.max(1, cpus)), ...order.environment, ...environment },
    stop_grace_seconds: stopGraceSeconds,
    metrics_from_output: metricsFromOutput ?? false,
    gpu_sample_seconds: gpuSampleSeconds ?? 0,
  })
}
