import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { EngineGpu } from '../engine.js'

const query = ['--query-gpu=index,name,memory.total,memory.used,utilization.gpu', '--format=csv,noheader,nounits']
const freshMs = 3000
/** A machine without the program will not get it soon. */
const absentMs = 60_000

/** Asks for this machine's GPUs; an answer is kept for some seconds. A failure means none. */
export function gpuReader(program: string, clock: () => Date): () => Promise<EngineGpu[]> {
  let answer: Promise<EngineGpu[]> | undefined
  let staleAt = 0
  return () => {
    const now = clock().getTime()
    if (answer && now < staleAt) return answer
    staleAt = now + freshMs
    answer = promisify(execFile)(program, query, { timeout: 10_000 }).then(
      ({ stdout }) => parseGpus(stdout),
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') staleAt = now + absentMs
        return []
      },
    )
    return answer
  }
}

/** Reads the answer of nvidia-smi: a line a GPU, memory in MiB, utilization in percent, `[N/A]` for what it cannot tell. */
export function parseGpus(csv: string): EngineGpu[] {
  return csv.split('\n').flatMap((line) => {
    const [index = '', name = '', total, used, utilization] = line.split(',').map((cell) => cell.trim())
    const totalMiB = toNumber(total)
    if (!/^\d+$/.test(index) || totalMiB === null) return []
    const usedMiB = toNumber(used)
    const percent = toNumber(utilization)
    return {
      index: Number(index),
      type: gpuType(name),
      memoryBytes: totalMiB * 2 ** 20,
      memoryUsedBytes: usedMiB === null ? null : usedMiB * 2 ** 20,
      utilization: percent === null ? null : percent / 100,
    }
  })
}

/** A product name as a GPU type, of `A-Z a-z 0-9 _ . : -`: `NVIDIA A100-SXM4-80GB` → `A100-SXM4-80GB`. */
export function gpuType(name: string): string {
  return name
    .replace(/^(NVIDIA|Tesla)\s+/i, '')
    .replace(/[^A-Za-z0-9_.:-]+/g, '-')
    .replace(/^-+|-+$/g, '')
}

function toNumber(cell: string | undefined): number | null {
  return cell !== undefined && /^\d+(\.\d+)?$/.test(cell) ? Number(cell) : null
}
