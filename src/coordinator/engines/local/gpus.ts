import { findGpuProgram, readGpus } from '../../../launcher/gpu-readings.js'
import type { EngineGpu } from '../engine.js'

const freshMs = 3000

/** Asks for this machine's GPUs; an answer is kept for some seconds. No program on the search path, or one that fails, means none. */
export function gpuReader(searchPath: string, clock: () => Date): () => Promise<EngineGpu[]> {
  let answer: Promise<EngineGpu[]> | undefined
  let staleAt = 0
  return () => {
    const now = clock().getTime()
    if (answer && now < staleAt) return answer
    staleAt = now + freshMs
    answer = readMachine(searchPath).catch(() => [])
    return answer
  }
}

async function readMachine(searchPath: string): Promise<EngineGpu[]> {
  const program = await findGpuProgram(searchPath)
  const gpus = program ? await readGpus(program) : []
  return gpus.flatMap(({ uuid: _, name, memoryBytes, ...gpu }) =>
    memoryBytes === null ? [] : [{ ...gpu, type: gpuType(name), memoryBytes }],
  )
}

/** A product name as a GPU type, of `A-Z a-z 0-9 _ . : -`: `NVIDIA A100-SXM4-80GB` → `A100-SXM4-80GB`, `AMD Instinct MI300X` → `MI300X`. */
export function gpuType(name: string): string {
  return name
    .replace(/^(NVIDIA|Tesla|AMD Instinct|AMD)\s+/i, '')
    .replace(/[^A-Za-z0-9_.:-]+/g, '-')
    .replace(/^-+|-+$/g, '')
}
