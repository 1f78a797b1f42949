import { setTimeout as delay } from 'node:timers/promises'
import { type Bell, newBell, ringOnChange, ringOnEach } from './bell.js'
import { gap, type JournalItem, toItems } from './items.js'
import { seekLine } from './line-index.js'
import { readLines } from './lines.js'
import { isMerged } from './merge.js'
import { areMetricsMerged } from './merge-metrics.js'
import { attemptDirectory, type JournalJob, logsPath, metricsPath } from './paths.js'
import { type JournalPlace, type LogEntry, type MetricEntry, parseLog, parseMetric } from './records.js'

export type { JournalItem } from './items.js'

/** An attempt as readers of its journal need it. */
export interface JournalAttempt {
  number: number
  /** Its processes are proven dead: nothing is written any more. */
  closed: boolean
  /** Launchers that write logs, one a node. Default 1. */
  ranks?: number
  /** Whether its GPUs are sampled: its metrics are then the merged ones. Default false. */
  gpuSampled?: boolean
}

/** The state of a job, as far as following its journal goes; given by the owner of the job's record. */
export interface JobWatch {
  /** All attempts so far; `over`: the job is terminal, and no attempt follows. */
  state(): { attempts: JournalAttempt[]; over: boolean }
  /** Resolves at the next change of the job; also, or with a rejection, when the signal aborts. */
  changed(signal: AbortSignal): Promise<void>
}

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
 * Waits for what is not there yet. Ends when the job is over and all is told, or, without an error, when the signal aborts. Lines that
 * are no record keep their number and are told as a gap.
 */
export function followMetrics(options: FollowOptions<MetricEntry>): AsyncGenerator<JournalItem<MetricEntry>> {
  return followJournal(options, {
    pathOf: (directory, { gpuSampled }) => metricsPath(directory, gpuSampled),
    parse: parseMetric,
    isComplete: (directory, { gpuSampled, ranks = 1 }) => !gpuSampled || areMetricsMerged(directory, ranks),
  })
}

/** A job's log lines; otherwise as `followMetrics`. */
export function followLogs(options: FollowOptions<LogEntry>): AsyncGenerator<JournalItem<LogEntry>> {
  return followJournal(options, {
    pathOf: (directory, { ranks }) => logsPath(directory, ranks),
    parse: parseLog,
    isComplete: (directory, { ranks = 1 }) => ranks === 1 || isMerged(directory),
  })
}

/** One kind of journal: a file an attempt, each line a record. */
interface JournalKind<Entry> {
  pathOf(directory: string, attempt: JournalAttempt): string
  parse(line: string, place: JournalPlace): Entry | null
  /** Whether all that a closed attempt told is in the file. */
  isComplete(directory: string, attempt: JournalAttempt): boolean
}

const windowBytes = 64 * 1024
/** Of a reader who is behind: each read opens the file anew. */
const windowBytesBehind = 4 * windowBytes
const batchMs = 50
/** Notifications can be missed. */
const pollMs = 200

async function* followJournal<Entry>(options: FollowOptions<Entry>, kind: JournalKind<Entry>): AsyncGenerator<JournalItem<Entry>> {
  const { watch, signal } = options
  const bell = newBell()
  const ended = new AbortController()
  ringOnEach((stop) => watch.changed(stop), bell, AbortSignal.any([signal, ended.signal]))
  try {
    let after = options.after
    while (!signal.aborted) {
      // The state is asked before the attempts are looked for: what is not among them when the job is over never comes.
      const { attempts, over } = watch.state()
      const attempt = nextAttempt(attempts, after?.attempt ?? 0)
      if (attempt) {
        yield* followAttempt(options, kind, bell, attempt.number, after?.attempt === attempt.number ? after.sequence : -1)
        after = { attempt: attempt.number + 1, sequence: -1 }
      } else if (over) return
      else await bell.heard(pollMs)
    }
  } finally {
    ended.abort()
  }
}

function nextAttempt(attempts: JournalAttempt[], number: number): JournalAttempt | undefined {
  return attempts.filter((attempt) => attempt.number >= number).sort((a, b) => a.number - b.number)[0]
}

async function* followAttempt<Entry>(
  { dataDir, job, watch, signal, filter }: FollowOptions<Entry>,
  kind: JournalKind<Entry>,
  bell: Bell,
  number: number,
  afterSequence: number,
): AsyncGenerator<JournalItem<Entry>> {
  const directory = attemptDirectory(dataDir, job.tenantId, job.jobId, number)
  const attemptNow = () => watch.state().attempts.find((attempt) => attempt.number === number) ?? { number, closed: true }
  const path = kind.pathOf(directory, attemptNow())
  const changes = ringOnChange(path, bell)
  let place = await seekLine(path, afterSequence + 1)
  let toldAt = 0
  let isBehind = false
  try {
    while (!signal.aborted) {
      // Before the read: what is written before an attempt is closed is then read.
      const attempt = attemptNow()
      const isClosed = attempt.closed && kind.isComplete(directory, attempt)
      const read = await readLines(path, place, isBehind ? windowBytesBehind : windowBytes)
      isBehind = read !== null && !read.atEnd
      if (read) {
        const first = place.line
        place = read.next
        for (const item of toItems(read.lines, { attempt: number, firstSequence: first, afterSequence, parse: kind.parse, filter })) {
          yield item
          toldAt = performance.now()
        }
      }
      if (read && !read.atEnd) continue
      if (isClosed) {
        const sequence = place.line
        if (read && read.restBytes > 0 && sequence > afterSequence) {
          yield gap(number, sequence, sequence, 'The last line was cut short when its writer died.')
        }
        return
      }
      changes.arm()
      await bell.heard(pollMs)
      // A line at a time makes a message a line: what comes within the time goes together.
      const restMs = toldAt + batchMs - performance.now()
      if (restMs > 0 && !signal.aborted) await delay(restMs)
    }
  } finally {
    changes.close()
  }
}
