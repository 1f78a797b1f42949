import type { JournalJob } from './paths.js'
import type { JournalPlace, LogEntry, MetricEntry } from './records.js'

/** An attempt as readers of its journal need it. */
export interface JournalAttempt {
  number: number
  /** Its processes are proven dead: nothing is written any more. */
  closed: boolean
  /** Launchers that write logs, one a node. Default 1. */
  ranks?: number
}

/** The state of a job, as far as following its journal goes; given by the owner of the job's record. */
export interface JobWatch {
  /** All attempts so far; `over`: the job is terminal, and no attempt follows. */
  state(): { attempts: JournalAttempt[]; over: boolean }
  /** Resolves at the next change of the job; also, or with a rejection, when the signal aborts. */
  changed(signal: AbortSignal): Promise<void>
}

/** What a follower is told: records in order, or that the records after `from`, up to and with `to`, are gone. */
export type JournalItem<Entry> = { type: 'batch'; records: Entry[] } | { type: 'gap'; from: JournalPlace; to: JournalPlace; reason: string }

/** What to follow, and how. */
export interface FollowOptions<Entry> {
  dataDir: string
  job: JournalJob
  /** The record after which to begin; null: with the first of the first attempt. */
  after: JournalPlace | null
  watch: JobWatch
  signal: AbortSignal
  /** Only these records are told. Changes no sequence number. */
  filter?: (entry: Entry) => boolean
}

/**
 * A job's metrics as they are written, over all its attempts: each record exactly once, in batches of at most 500 records, 64 KB or 50 ms.
 * Waits for what is not there yet. Ends when the job is over and all is told, or, without an error, when the signal aborts.
 */
export async function* followMetrics(_options: FollowOptions<MetricEntry>): AsyncGenerator<JournalItem<MetricEntry>> {
  throw new Error('not built yet')
}

/** A job's log lines; otherwise as `followMetrics`. */
export async function* followLogs(_options: FollowOptions<LogEntry>): AsyncGenerator<JournalItem<LogEntry>> {
  throw new Error('not built yet')
}
