import { join } from 'node:path'
import { lineAppender } from './append.js'
import type { Fence } from './fence.js'
import { findGpuProgram, readGpus } from './gpu-readings.js'
import { visibleGpus } from './visible-gpus.js'

/** What to sample. */
export interface GpuSamplesOptions {
  /** The attempt's folder. */
  directory: string
  rank: number
  /** Between two samples. 0: none are taken. */
  seconds: number
  /** The trainer's environment, which names its GPUs. */
  environment: NodeJS.ProcessEnv
  /** Where nvidia-smi or rocm-smi is looked for. */
  searchPath: string
  fence: Fence
}

/**
 * Writes what the trainer's GPUs do to `gpu.<rank>.jsonl`, at once and then every so many seconds, until the answered function is called: `{time, gpus: [{index, utilization,
 * memory_used_bytes, power_watts, temperature_celsius}]}`, null for what is not known. Nobody waits for it: it is read by a process of the lowest priority, and a time at which
 * the one before still runs is left out. Nothing is written on a machine without either program, or for a trainer without GPUs.
 */
export function sampleGpus({ directory, rank, seconds, environment, searchPath, fence }: GpuSamplesOptions): () => void {
  const stopped = new AbortController()
  let isReading = false
  let append: ((lines: string) => boolean) | undefined

  async function sample(): Promise<void> {
    const program = await findGpuProgram(searchPath)
    if (!program) return stop()
    const gpus = visibleGpus(await readGpus(program, stopped.signal), program.vendor, environment)
    if (gpus.length === 0 || stopped.signal.aborted) return
    const record = {
      time: new Date().toISOString(),
      gpus: gpus.map(({ index, utilization, memoryUsedBytes, powerWatts, temperatureCelsius }) => ({
        index,
        utilization,
        memory_used_bytes: memoryUsedBytes,
        power_watts: powerWatts,
        temperature_celsius: temperatureCelsius,
      })),
    }
    append ??= lineAppender(join(directory, `gpu.${rank}.jsonl`), fence)
    append(`${JSON.stringify(record)}\n`)
  }

  function take(): void {
    if (isReading) return
    isReading = true
    // A look that failed is a sample less; the trainer's own fate is not touched.
    sample()
      .catch(() => {})
      .finally(() => {
        isReading = false
      })
  }

  function stop(): void {
    clearInterval(timer)
    stopped.abort()
  }

  const timer = seconds > 0 ? setInterval(take, seconds * 1000) : undefined
  if (seconds > 0) take()
  return stop
}
