import type { JournalAttempt } from './follow.js'
import { isOfOneGpu } from './gpu-metrics.js'
import { newline, readAt, withFile } from './lines.js'
import { attemptDirectory, type JournalJob, metricsPath } from './paths.js'
import { type MetricEntry, parseMetric } from './records.js'

/** Reads what many jobs measured last, from the ends of their journals. */
export interface LatestMetrics {
  /** The newest value of each metric, but for those of single GPUs, among the last records of the newest attempt that has any; null where none has. The sequence is not known: -1. */
  of(dataDir: string, job: JournalJob, attempts: readonly Pick<JournalAttempt, 'number' | 'gpuSampled'>[]): Promise<MetricEntry | null>
}

/** Some 500 records. */
const tailBytes = 64 * 1024
const filesMax = 2000

/** One a coordinator. Remembers what it read for as long as the file stays as it is. */
export function latestMetrics(): LatestMetrics {
  const known = new Map<string, { stamp: string; latest: MetricEntry | null }>()

  async function ofAttempt(path: string, attempt: number): Promise<MetricEntry | null> {
    const read = await withFile(path, async (file) => {
      const { size, mtimeMs } = await file.stat()
      const stamp = `${size} ${mtimeMs}`
      const found = known.get(path)
      if (found?.stamp === stamp) return found
      const from = Math.max(0, size - tailBytes)
      return { stamp, latest: newestOf(await readAt(file, from, size - from), from === 0, attempt) }
    })
    if (!read) return null
    known.delete(path)
    known.set(path, read)
    for (const oldest of known.keys()) {
      if (known.size <= filesMax) break
      known.delete(oldest)
    }
    return read.latest
  }

  return {
    async of(dataDir, job, attempts) {
      for (const { number, gpuSampled } of attempts.toSorted((a, b) => b.number - a.number)) {
        const latest = await ofAttempt(metricsPath(attemptDirectory(dataDir, job.tenantId, job.jobId, number), gpuSampled), number)
        if (latest) return latest
      }
      return null
    },
  }
}

function newestOf(buffer: Buffer, isWhole: boolean, attempt: number): MetricEntry | null {
  const begin = isWhole ? 0 : buffer.indexOf(newline) + 1
  const lines = buffer.toString('utf8', begin, buffer.lastIndexOf(newline) + 1).split('\n')
  const entries = lines.flatMap((line) => (line === '' ? [] : (parseMetric(line, { attempt, sequence: -1 }) ?? [])))
  const newest = entries.at(-1)
  const values: Record<string, number> = Object.assign({}, ...entries.map((entry) => entry.values))
  return newest ? { ...newest, values: Object.fromEntries(Object.entries(values).filter(([name]) => !isOfOneGpu(name))) } : null
}
