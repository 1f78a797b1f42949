import { existsSync } from 'node:fs'
import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type GpuSample, gpuMetricsOf, parseGpuSample } from './gpu-metrics.js'
import { seekLine } from './line-index.js'
import { type LinePlace, readLines, startOfFile } from './lines.js'
import type { MergeRanksOptions } from './merge.js'
import { metricsPath } from './paths.js'
import { parseMetric } from './records.js'
import { tailFiles } from './tail-files.js'

const scanBytes = 2 ** 20
const endFile = (directory: string) => join(directory, 'metrics.merged.end')
/** The trainer's file, then each rank's. */
const sourcesOf = (directory: string, ranks: number) => [
  metricsPath(directory),
  ...Array.from({ length: ranks }, (_, rank) => join(directory, `gpu.${rank}.jsonl`)),
]

/** What begins a line that is the GPUs' own; a trainer's that begins so gets a space before it. */
const ownPrefix = '{"gpu_lines":'
/** Stands for a trainer's last line that was cut short, which readers are told of as a gap. */
const cutShort = '{"cut_short":true}'

/** Whether all that the trainer and the launchers wrote is in the merged metrics; so it is where nobody wrote anything. */
export function areMetricsMerged(directory: string, ranks: number): boolean {
  return existsSync(endFile(directory)) || !sourcesOf(directory, ranks).some((path) => existsSync(path))
}

/**
 * Merges a trainer's metrics and what its launchers saw of its GPUs into one sequence, `metrics.merged.jsonl`, as they are written; goes on where an earlier life stopped. A
 * trainer's lines stay as they are. What the GPUs do is a record once every node has told of its own, or one of them a second time; it bears the trainer's newest step, before
 * its first the one that the attempt resumed from, and no metric that the trainer itself has written by then. One at a time an attempt. Ends when the attempt is closed and all is merged, or the
 * signal aborts.
 */
export async function mergeMetrics({ directory, ranks, closed, signal }: MergeRanksOptions): Promise<void> {
  if (closed() && areMetricsMerged(directory, ranks)) return
  const merged = metricsPath(directory, true)
  const state = await readMerged(merged, ranks, await stepResumedFrom(directory))
  const paths = sourcesOf(directory, ranks)
  const places = await Promise.all(paths.map((path, index) => seekLine(path, index === 0 ? state.lines : (state.gpuLines[index - 1] ?? 0))))
  const queues = paths.map((): QueuedLine[] => [])
  /** Whether a file goes on after what is queued of it. */
  const hasMore = paths.map(() => false)
  const fresh: (GpuSample | null)[] = Array.from({ length: ranks }, () => null)
  let cutBytes = 0

  function takeLine(index: number, { text, timeMs }: QueuedLine): string[] {
    if (index === 0) {
      state.lines++
      note(state, text)
      return [text.startsWith(ownPrefix) ? ` ${text}` : text]
    }
    const rank = index - 1
    const sample = parseGpuSample(text)
    const told = sample && fresh[rank] ? tell() : []
    state.gpuLines[rank] = (state.gpuLines[rank] ?? 0) + 1
    if (sample) fresh[rank] = { ...sample, timeMs }
    return fresh.includes(null) ? told : [...told, ...tell()]
  }

  /** What is known of the GPUs as one record. Counts the lines that it is made of, so that a later life goes on after them. */
  function tell(): string[] {
    const known = fresh.flatMap((sample) => sample ?? [])
    const all = Object.entries(gpuMetricsOf(known.flatMap(({ gpus }) => gpus)))
    const values = Object.fromEntries(all.filter(([name]) => !state.names.has(name)))
    const time = new Date(Math.max(...known.map(({ timeMs }) => timeMs)))
    fresh.fill(null)
    if (Object.keys(values).length === 0) return []
    const { step, epoch, gpuLines } = state
    return [`${ownPrefix}${JSON.stringify(gpuLines)},${JSON.stringify({ step, epoch, time, values }).slice(1)}`]
  }

  const isAll = await tailFiles({
    paths,
    places,
    closed,
    signal,
    wants: (index) => queues[index]?.length === 0,
    async take(reads) {
      for (const [index, read] of reads.entries()) {
        const queue = queues[index]
        if (!queue || queue.length > 0) continue
        hasMore[index] = read !== null && !read.atEnd
        for (const text of read?.lines ?? []) enqueue(queue, text ?? '')
      }
      cutBytes = reads[0]?.restBytes ?? 0
      const lines: string[] = []
      // The earliest line first, as long as it is known which one that is.
      while (!queues.some((queue, index) => queue.length === 0 && hasMore[index])) {
        const index = earliest(queues)
        const line = queues[index]?.shift()
        if (!line) break
        lines.push(...takeLine(index, line))
      }
      await append(merged, lines)
    },
  })
  if (!isAll) return
  const isCut = cutBytes > 0 && state.lines === places[0]?.line
  await append(merged, [...(fresh.some((sample) => sample) ? tell() : []), ...(isCut ? [cutShort] : [])])
  await writeFile(endFile(directory), '')
}

interface QueuedLine {
  text: string
  /** By which it is ordered: never before the line before it, whatever its writer's clock did. */
  timeMs: number
}

function enqueue(queue: QueuedLine[], text: string): void {
  const before = queue.at(-1)?.timeMs ?? 0
  // A regular expression, since Python's NaN is no JSON.
  const timeMs = Date.parse(/"time"\s*:\s*"([^"]{1,40})"/.exec(text)?.[1] ?? '')
  queue.push({ text, timeMs: Number.isNaN(timeMs) ? before : Math.max(before, timeMs) })
}

/** The queue whose first line is the earliest; of equals the first. -1 where all are empty. */
function earliest(queues: QueuedLine[][]): number {
  const times = queues.map((queue) => queue[0]?.timeMs ?? Number.POSITIVE_INFINITY)
  const time = Math.min(...times)
  return Number.isFinite(time) ? times.indexOf(time) : -1
}

async function append(path: string, lines: string[]): Promise<void> {
  if (lines.length > 0) await appendFile(path, lines.map((line) => `${line}\n`).join(''))
}

/** How far the merging is. */
interface Merged {
  /** Lines of the trainer that are merged. */
  lines: number
  /** Lines of each rank that are merged. */
  gpuLines: number[]
  /** The trainer's newest. */
  step: number
  epoch: number
  /** Metrics that the trainer has written. */
  names: Set<string>
}

/** Reads how far an earlier life came. A line that it was writing when it ended is taken back: no reader has seen it. */
async function readMerged(path: string, ranks: number, step: number): Promise<Merged> {
  const state: Merged = { lines: 0, gpuLines: Array.from({ length: ranks }, () => 0), step, epoch: 0, names: new Set() }
  for (let place: LinePlace = startOfFile; ; ) {
    const read = await readLines(path, place, scanBytes)
    if (!read) return state
    for (const line of read.lines) {
      if (line?.startsWith(ownPrefix)) state.gpuLines = (JSON.parse(line) as { gpu_lines: number[] }).gpu_lines
      else {
        state.lines++
        note(state, line ?? '')
      }
    }
    place = read.next
    if (!read.atEnd) continue
    if (read.restBytes > 0) await truncate(path, place.offset)
    return state
  }
}

function note(state: Merged, line: string): void {
  const entry = parseMetric(line, { attempt: 0, sequence: 0 })
  if (!entry) return
  state.step = entry.step
  state.epoch = entry.epoch
  for (const name of Object.keys(entry.values)) state.names.add(name)
}

/** The step of the checkpoint that an attempt goes on from; 0 where there is none. */
async function stepResumedFrom(directory: string): Promise<number> {
  const { resume_from: folder } = await readFields(join(directory, 'job.json'))
  if (typeof folder !== 'string') return 0
  const { step } = await readFields(join(folder, 'manifest.json'))
  return Number.isSafeInteger(step) ? Number(step) : 0
}

async function readFields(path: string): Promise<Record<string, unknown>> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
  } catch {
    // Without it the first records are at step 0.
    return {}
  }
}
