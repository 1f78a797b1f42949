import type { JournalAttempt } from './follow.js'
import type { JournalJob } from './paths.js'
import type { JournalPlace, LogEntry, LogLevel } from './records.js'

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
  /** More lines that match are there now, after `end`. */
  hasMore: boolean
  /** Lines that match are there before the first of the page (known only with `fromEnd`). */
  hasEarlier: boolean
  /** Where to go on from, whether by another page or by following; null where the job has no attempt yet and none was given. */
  end: JournalPlace | null
}

/** Reads a page of a job's logs, over all its attempts. */
export async function readLogs(_options: ReadLogsOptions): Promise<LogPage> {
  throw new Error('not built yet')
}

/** Whether a line is told under a filter. */
export function matchesLogFilter(_filter: LogFilter): (entry: LogEntry) => boolean {
  throw new Error('not built yet')
}
