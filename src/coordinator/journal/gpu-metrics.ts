import { readAt, withFile } from './lines.js'

/** One line of `gpu.<rank>.jsonl`: what a launcher saw of its trainer's GPUs. */
export interface GpuSample {
  timeMs: number
  gpus: GpuUse[]
}

/** A GPU at a moment; null where it could not tell. */
export interface GpuUse {
  utilization: number | null
  memoryUsedBytes: number | null
  powerWatts: number | null
  temperatureCelsius: number | null
}

/** Attempts of more GPUs have no metrics of each: they would be a flood that nobody charts. */
const gpusMax = 16

/** How each metric is read of a GPU, and what it is of all of them. */
const gpuMetrics: { name: string; of: (gpu: GpuUse) => number | null; together: (values: number[]) => number }[] = [
  { name: 'gpu_utilization', of: (gpu) => gpu.utilization, together: (values) => sum(values) / values.length },
  { name: 'gpu_memory_bytes', of: (gpu) => gpu.memoryUsedBytes, together: (values) => Math.max(...values) },
  { name: 'gpu_power_watts', of: (gpu) => gpu.powerWatts, together: sum },
  { name: 'gpu_temperature_celsius', of: (gpu) => gpu.temperatureCelsius, together: (values) => Math.max(...values) },
]

/** The metrics of a job's GPUs at a moment, in the order of nodes and indexes: of all together, and of 2 to 16 GPUs each by its place, `gpu_utilization.<n>`. */
export function gpuMetricsOf(gpus: GpuUse[]): Record<string, number> {
  const metrics: Record<string, number> = {}
  for (const { name, of, together } of gpuMetrics) {
    const known = gpus.flatMap((gpu) => of(gpu) ?? [])
    if (known.length > 0) metrics[name] = together(known)
    if (gpus.length < 2 || gpus.length > gpusMax) continue
    for (const [place, gpu] of gpus.entries()) {
      const value = of(gpu)
      if (value !== null) metrics[`${name}.${place}`] = value
    }
  }
  return metrics
}

/** Whether a metric is of a single GPU of several. */
export const isOfOneGpu = (name: string): boolean => /^gpu_[a-z_]+\.\d{1,3}$/.test(name)

/** Reads a line of `gpu.<rank>.jsonl`; null where it is none. */
export function parseGpuSample(line: string): GpuSample | null {
  try {
    const { time, gpus } = JSON.parse(line) as { time?: unknown; gpus?: unknown }
    const timeMs = typeof time === 'string' ? Date.parse(time) : Number.NaN
    if (Number.isNaN(timeMs) || !Array.isArray(gpus)) return null
    return { timeMs, gpus: gpus.map((gpu) => toUse((gpu ?? {}) as Record<string, unknown>)) }
  } catch {
    return null
  }
}

/** Of the largest sample more than one. */
const tailBytes = 32 * 1024

/** The newest sample in a `gpu.<rank>.jsonl`; null where there is none. */
export async function lastGpuSample(path: string): Promise<GpuSample | null> {
  return await withFile(path, async (file) => {
    const { size } = await file.stat()
    const from = Math.max(0, size - tailBytes)
    const lines = (await readAt(file, from, size - from)).toString('utf8').split('\n')
    // What follows the last newline is not whole yet.
    return parseGpuSample(lines.at(-2) ?? '')
  })
}

const toUse = ({ utilization, memory_used_bytes, power_watts, temperature_celsius }: Record<string, unknown>): GpuUse => ({
  utilization: toNumber(utilization),
  memoryUsedBytes: toNumber(memory_used_bytes),
  powerWatts: toNumber(power_watts),
  temperatureCelsius: toNumber(temperature_celsius),
})

const toNumber = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null)

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
