import { logLevels } from '../../contract/statuses.js'
import type { JournalAttempt } from './follow.js'
import { marksOf, seekLine } from './line-index.js'
import { type LinePlace, readLines } from './lines.js'
import { attemptDirectory, type JournalJob, logsPath } from './paths.js'
import { type JournalPlace, type LogEntry, type LogLevel, parseLog } from './records.js'

/** Which log lines. Filters never change sequence numbers. */
export interface LogFilter {
  /** This level or graver. */
  level?: LogLevel | undefined
  rank?: number | undefined
  stream?: 'stdout' | 'stderr' | undefined
}

/** Which page. */
export interface ReadLogsOptions extends LogFilter {
  dataDir: string
  job: JournalJob
  attempts: JournalAttempt[]
  /** The record after which the page begins. Ignored with `fromEnd`. */
  after?: JournalPlace | null | undefined
  /** 1 to 1,000; the page also ends at 1 MB. */
  limit: number
  /** The last `limit` lines that match instead of the first. */
  fromEnd?: boolean | undefined
}

/** A page of log lines, oldest first. */
export interface LogPage {
  records: LogEntry[]
  /** More lines are there now, after `end`; under a filter perhaps none that match. */
  hasMore: boolean
  /** With `fromEnd`: more lines are there before the page; under a filter perhaps none that match. */
  hasEarlier: boolean
  /** Where to go on from, whether by another page or by following; null where the job has no attempt yet and none was given. */
  end: JournalPlace | null
}

/** Reads a page of a job's logs, over all its attempts. One call looks through at most 64 MB: where few lines match, a page may be short and still have more after it. */
export async function readLogs(options: ReadLogsOptions): Promise<LogPage> {
  const attempts = options.attempts.toSorted((a, b) => a.number - b.number)
  return options.fromEnd ? readLastLogs(options, attempts) : readNextLogs(options, attempts)
}

/** Whether a line is told under a filter. */
export function matchesLogFilter({ level, rank, stream }: LogFilter): (entry: LogEntry) => boolean {
  const gravest = level ? logLevels.indexOf(level) : 0
  return (entry) =>
    logLevels.indexOf(entry.level) >= gravest &&
    (rank === undefined || entry.rank === rank) &&
    (stream === undefined || entry.stream === stream)
}

const windowBytes = 256 * 1024
const pageBytes = 2 ** 20
const searchBytes = 64 * 2 ** 20

/** Bytes of a record on the way to a reader, about. */
const sizeOf = (line: string) => line.length + 64

async function readNextLogs(options: ReadLogsOptions, attempts: JournalAttempt[]): Promise<LogPage> {
  const { after, limit } = options
  const matches = matchesLogFilter(options)
  const first = attempts[0]
  const page: LogPage = {
    records: [],
    hasMore: false,
    hasEarlier: false,
    end: after ?? (first ? { attempt: first.number, sequence: -1 } : null),
  }
  let bytes = 0
  let searched = 0
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
        if (page.records.length >= limit || bytes > pageBytes || searched > searchBytes) return { ...page, hasMore: true }
        page.end = { attempt: attempt.number, sequence }
        searched += line?.length ?? 0
        const entry = line === null ? null : parseLog(line, page.end)
        if (!line || !entry || !matches(entry)) continue
        page.records.push(entry)
        bytes += sizeOf(line)
      }
      if (read.atEnd) break
      place = read.next
    }
  }
  return page
}

async function readLastLogs(options: ReadLogsOptions, attempts: JournalAttempt[]): Promise<LogPage> {
  const matches = matchesLogFilter(options)
  const newestFirst: LogEntry[] = []
  let end: JournalPlace | null = null
  let bytes = 0
  let searched = 0
  const isFull = () => newestFirst.length >= options.limit || bytes > pageBytes || searched > searchBytes
  for (const attempt of attempts.toReversed()) {
    const path = pathOf(options, attempt)
    const { marks, end: fileEnd } = await marksOf(path)
    end ??= { attempt: attempt.number, sequence: fileEnd.line - 1 }
    let until = fileEnd
    for (const mark of marks.toReversed()) {
      const lines = await readBetween(path, mark, until)
      for (let index = lines.length - 1; index >= 0; index--) {
        if (isFull()) return { records: newestFirst.toReversed(), hasMore: false, hasEarlier: true, end }
        const line = lines[index]
        searched += line?.length ?? 0
        const entry = line ? parseLog(line, { attempt: attempt.number, sequence: mark.line + index }) : null
        if (!line || !entry || !matches(entry)) continue
        newestFirst.push(entry)
        bytes += sizeOf(line)
      }
      until = mark
    }
  }
  return { records: newestFirst.toReversed(), hasMore: false, hasEarlier: false, end }
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
