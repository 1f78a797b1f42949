import { existsSync } from 'node:fs'
import { appendFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { seekLine } from './line-index.js'
import { type LinePlace, readLines, startOfFile } from './lines.js'
import { logsPath } from './paths.js'
import { parseLog } from './records.js'
import { tailFiles } from './tail-files.js'

/** Which logs are merged. */
export interface MergeRanksOptions {
  /** The attempt's folder. */
  directory: string
  /** Launchers that write logs there, one a node. */
  ranks: number
  /** Whether the attempt's processes are proven dead; asked before each read. */
  closed: () => boolean
  signal: AbortSignal
}

const windowBytes = 2 ** 20
const endFile = (directory: string) => join(directory, 'logs.merged.end')

/** Whether all that the ranks wrote is in the merged log. */
export function isMerged(directory: string): boolean {
  return existsSync(endFile(directory))
}

/**
 * Merges the logs of several ranks into one sequence, `logs.merged.jsonl`, as they are written; goes on where an earlier life stopped.
 * One at a time an attempt, and none for an attempt of one rank. Ends when the attempt is closed and all is merged, or the signal aborts.
 */
export async function mergeRanks({ directory, ranks, closed, signal }: MergeRanksOptions): Promise<void> {
  if (isMerged(directory)) return
  const merged = logsPath(directory, ranks)
  const paths = Array.from({ length: ranks }, (_, rank) => join(directory, `logs.${rank}.jsonl`))
  const counts = await countMerged(merged, ranks)
  const places = await Promise.all(paths.map((path, rank) => seekLine(path, counts[rank] ?? 0)))
  const isAll = await tailFiles({
    paths,
    places,
    closed,
    signal,
    async take(reads) {
      const lines = reads.flatMap((read, rank) => toMerged(read?.lines ?? [], rank, places[rank]?.line ?? 0))
      lines.sort((a, b) => a.time - b.time)
      if (lines.length > 0) await appendFile(merged, lines.map(({ text }) => `${text}\n`).join(''))
    },
  })
  if (isAll) await writeFile(endFile(directory), '')
}

/** How many lines of each rank are merged already. A line that was being merged when an earlier life ended is taken back: no reader has seen it. */
async function countMerged(path: string, ranks: number): Promise<number[]> {
  const counts = Array.from({ length: ranks }, () => 0)
  let place: LinePlace = startOfFile
  for (;;) {
    const read = await readLines(path, place, windowBytes)
    if (!read) return counts
    for (const line of read.lines) {
      const { rank } = JSON.parse(line ?? '{}') as { rank?: number }
      if (rank !== undefined) counts[rank] = (counts[rank] ?? 0) + 1
    }
    place = read.next
    if (!read.atEnd) continue
    if (read.restBytes > 0) await truncate(path, place.offset)
    return counts
  }
}

/** Lines with the times to order them by. Those of one rank never go back, whatever its clock did: their order is what is counted by. */
function toMerged(lines: (string | null)[], rank: number, firstSeq: number): { time: number; text: string }[] {
  let time = 0
  return lines.map((line, index) => {
    const seq = firstSeq + index
    const entry = line === null ? null : parseLog(line, { attempt: 0, sequence: seq })
    // A line that is no record keeps its place.
    if (!line || !entry) return { time, text: JSON.stringify({ rank, seq, unreadable: true }) }
    time = Math.max(time, entry.time.getTime())
    return { time, text: entry.rank === rank ? line : JSON.stringify({ ...JSON.parse(line), rank }) }
  })
}
