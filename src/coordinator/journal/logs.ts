import type { JournalAttempt } from './follow.js'
import { marksOf, seekLine } from './line-index.js'
import { type LinePlace, readLines } from './lines.js'
import { type LogFilter, matchesLogFilter } from './log-filter.js'
import { attemptDirectory, type JournalJob, logsPath } from './paths.js'
import { type JournalPlace, type LogEntry, parseLog } from './records.js'
import { newScan, type ScanBudget } from './scan.js'

/** Which page. */
export interface ReadLogsOptions extends LogFilter {
  dataDir: string
  job: JournalJob
  attempts: JournalAttempt[]
  /** The record after which the page begins. Ignored with `fromEnd`. */
  after?: JournalPlace | null | undefined
  /** With `fromEnd`: the record before which the page ends. Default: the end. */
  before?: JournalPlace | null | undefined
  /** 1 to 1,000; the page also ends at 1 MB. */
  limit: number
  /** The last `limit` lines that match instead of the first. */
  fromEnd?: boolean | undefined
  budget?: ScanBudget | undefined
}

/** A page of log lines, oldest first. */
export interface LogPage {
  records: LogEntry[]
  /** More lines are there now, after `end`; under a filter perhaps none that match. */
  hasMore: boolean
  /** With `fromEnd`: more lines are there before `start`; under a filter perhaps none that match. */
  hasEarlier: boolean
  /** With `fromEnd`: the first line that was looked at; the page before this one ends before it. Null where there was none. */
  start: JournalPlace | null
  /** Where to go on from, whether by another page or by following; null where the job has no attempt yet and none was given. */
  end: JournalPlace | null
  /** The page ended because enough lines were looked at, not because it is full. */
  scanSpent: boolean
}

/**
 * Reads a page of a job's logs, over all its attempts, within a budget: where few lines match, a page may be short or empty and still have
 * more after it (with `fromEnd`, before it).
 */
export async function readLogs(options: ReadLogsOptions): Promise<LogPage> {
  const attempts = options.attempts.toSorted((a, b) => a.number - b.number)
  return options.fromEnd ? readLastLogs(options, attempts) : readNextLogs(options, attempts)
}

const windowBytes = 256 * 1024
const pageBytes = 2 ** 20

/** Bytes of a record on the way to a reader, about. */
const sizeOf = (line: string) => line.length + 64

/** Gathers the lines that match, until the page is full. */
function newPage(options: ReadLogsOptions) {
  const matches = matchesLogFilter(options)
  const entries: LogEntry[] = []
  let bytes = 0
  return {
    entries,
    /** Takes a line in where it matches; false where the page is full and it belongs to the next. */
    take(line: string | null, place: JournalPlace): boolean {
      if (entries.length >= options.limit) return false
      const entry = line ? parseLog(line, place) : null
      if (!line || !entry || !matches(entry)) return true
      const size = sizeOf(line)
      if (entries.length > 0 && bytes + size > pageBytes) return false
      entries.push(entry)
      bytes += size
      return true
    },
  }
}

async function readNextLogs(options: ReadLogsOptions, attempts: JournalAttempt[]): Promise<LogPage> {
  const { after } = options
  const scan = newScan(options.budget)
  const page = newPage(options)
  const first = attempts[0]
  let end = after ?? (first ? { attempt: first.number, sequence: -1 } : null)
  const pageSoFar = (more: { hasMore: boolean; scanSpent: boolean }): LogPage => ({
    records: page.entries,
    hasEarlier: false,
    start: null,
    end,
    ...more,
  })
  for (const attempt of attempts.filter(({ number }) => number >= (after?.attempt ?? 0))) {
    const path = pathOf(options, attempt)
    const firstSequence = attempt.number === after?.attempt ? after.sequence + 1 : 0
    let place = await seekLine(path, firstSequence)
    for (;;) {
      const read = await readLines(path, place, windowBytes)
      if (!read) break
      for (const [index, line] of read.lines.entries()) {
        const sequence = place.line + index
        if (sequence < firstSequence) continue
        if (scan.isSpent()) return pageSoFar({ hasMore: true, scanSpent: true })
        const here = { attempt: attempt.number, sequence }
        if (!page.take(line, here)) return pageSoFar({ hasMore: true, scanSpent: false })
        scan.look(line)
        end = here
        await scan.pause()
      }
      if (read.atEnd) break
      place = read.next
    }
  }
  return pageSoFar({ hasMore: false, scanSpent: false })
}

async function readLastLogs(options: ReadLogsOptions, attempts: JournalAttempt[]): Promise<LogPage> {
  const { before } = options
  const scan = newScan(options.budget)
  const page = newPage(options)
  let start: JournalPlace | null = null
  let end: JournalPlace | null = before ? { ...before, sequence: before.sequence - 1 } : null
  const pageSoFar = (more: { hasEarlier: boolean; scanSpent: boolean }): LogPage => ({
    records: page.entries.toReversed(),
    hasMore: before != null,
    start,
    end,
    ...more,
  })
  for (const attempt of attempts.filter(({ number }) => !before || number <= before.attempt).toReversed()) {
    const path = pathOf(options, attempt)
    const { marks, end: fileEnd } = await marksOf(path)
    const beforeLine = attempt.number === before?.attempt ? before.sequence : Number.POSITIVE_INFINITY
    end ??= { attempt: attempt.number, sequence: fileEnd.line - 1 }
    let until = fileEnd
    for (const mark of marks.toReversed()) {
      const lines = mark.line < beforeLine ? await readBetween(path, mark, until) : []
      for (let index = Math.min(lines.length, beforeLine - mark.line) - 1; index >= 0; index--) {
        if (scan.isSpent()) return pageSoFar({ hasEarlier: true, scanSpent: true })
        const line = lines[index] ?? null
        const here = { attempt: attempt.number, sequence: mark.line + index }
        if (!page.take(line, here)) return pageSoFar({ hasEarlier: true, scanSpent: false })
        scan.look(line)
        start = here
        await scan.pause()
      }
      until = mark
    }
  }
  return pageSoFar({ hasEarlier: false, scanSpent: false })
}

async function readBetween(path: string, from: LinePlace, until: LinePlace): Promise<(string | null)[]> {
  const lines: (string | null)[] = []
  for (let place = from; place.line < until.line; ) {
    const read = await readLines(path, place, windowBytes)
    if (!read) break
    lines.push(...read.lines.slice(0, until.line - place.line))
    if (read.atEnd) break
    place = read.next
  }
  return lines
}

function pathOf({ dataDir, job }: ReadLogsOptions, { number, ranks }: JournalAttempt): string {
  return logsPath(attemptDirectory(dataDir, job.tenantId, job.jobId, number), ranks)
}
