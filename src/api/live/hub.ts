/*
 * Live records (metrics, logs) of jobs, for any number of readers.
 *
 *        coordinator                                      API
 *   ┌──────────────────┐  one gRPC stream a topic   ┌─────────────────────────────┐
 *   │ journal of job J │ ─────────────────────────> │ topic J                     │
 *   └──────────────────┘                            │   ring: the newest entries  │──> reader in the ring
 *            │                                      │   [ start ······ head ]     │──> reader in the ring
 *            │  a stream of its own, only while     └─────────────────────────────┘
 *            │  it is before `start`                               ^ joins
 *            └──────────────────────────────────────> reader that catches up ──> …
 *
 * A topic is opened by its first reader, after that reader's cursor, and closed a little after its last one has left. Its stream
 * survives lost connections (coordinator-client/stream.ts): it is opened again after the last cursor.
 *
 * Nobody has a buffer of their own. A reader is a position; it takes what lies after it from the ring, which is bounded in bytes.
 * A reader whose position lies before the ring (it came late, it asked from the start, it was too slow) reads a stream of its own,
 * from its position, as fast as it takes the messages, until it stands in the ring again. Positions are ordered (attempt, then
 * sequence) and every entry carries one, so that the change from one to the other neither loses a record nor tells it twice:
 * in the ring an entry counts only when it lies after the reader's position, and the ring holds everything after `start`.
 *
 * The topic runs at the pace of its fastest reader in the ring: when even that one is half a ring behind, the upstream is not read
 * on, and gRPC's flow control reaches the coordinator. So a single reader of a long history costs one stream, and a reader that is
 * slower than others costs one more, never memory.
 *
 * A cursor that is older than what is kept does not end a live stream: the reader is told a gap and goes on with the oldest there is.
 */
import type { Logger } from 'pino'
import { parseCursor } from '../../contract/cursor.js'
import { Failure } from '../../contract/failure.js'
import type { JobStatus } from '../../contract/statuses.js'
import type { OpenStream } from '../coordinator-client/stream.js'
import { type Live, liveStream } from './live-stream.js'
import { beginning, type Entry, type Position } from './ring.js'
import { createTopic, type Topic } from './topic.js'

/** What a stream of records tells. */
export type LiveItem<Item> =
  | { type: 'record'; cursor: string; record: Item }
  | { type: 'gap'; cursor: string; from: string; to: string; reason: string }
  | { type: 'end'; cursor: string; status: JobStatus; reason: string }

/** A message of StreamJobMetrics or StreamJobLogs. */
interface StreamMessage<Item> {
  cursor: string
  batch?: { records: Item[] } | null
  gap?: { from: string; to: string; reason: string } | null
  end?: { status: string; reason: string } | null
}

/** What one reader wants. */
export interface Reading {
  tenantId: string
  jobId: string
  /** Empty: from the first record. */
  after: string
  requestId: string
  /** Aborted when the reader's key stops working. */
  ended: AbortSignal
}

/** The live records of one kind, of all jobs. */
export interface Hub<Item> {
  /** Follows a job's records. Throws CURSOR_INVALID at once where `after` is not a cursor of this stream. */
  follow(reading: Reading): Live<LiveItem<Item>[]>
  /** How many upstream streams of topics are open. */
  topicCount(): number
  /** Ends all streams. */
  close(): void
}

interface HubOptions<Item> {
  kind: 'metrics' | 'logs'
  openStream: OpenStream
  log: Logger
  /** Bytes that a record takes in the ring, roughly. */
  sizeOf(record: Item): number
  /** Bytes of a topic's ring. */
  ringBytes?: number
  /** How long a topic without readers stays open. */
  lingerMs?: number
}

interface OpenTopic<Item> {
  topic: Topic<LiveItem<Item>>
  stop: AbortController
  readers: number
  timer?: NodeJS.Timeout | undefined
}

/** The hub of one kind of records. */
export function recordHub<Item extends { cursor: string }>({
  kind,
  openStream,
  log,
  sizeOf,
  ringBytes = 1024 * 1024,
  lingerMs = 3000,
}: HubOptions<Item>): Hub<Item> {
  const topics = new Map<string, OpenTopic<Item>>()
  const closing = new AbortController()

  /** The upstream from a cursor on; a cursor that is too old becomes a gap. */
  async function* upstream({ tenantId, jobId, requestId }: Reading, after: string, signal: AbortSignal) {
    let from = after
    const request = { job_id: jobId, after }
    for (;;) {
      try {
        const method = kind === 'metrics' ? 'StreamJobMetrics' : 'StreamJobLogs'
        const messages = openStream({
          method,
          request,
          context: { tenantId, requestId },
          signal,
          isLast: (message) => Boolean(message.end),
        })
        for await (const message of messages) {
          from = message.cursor || from
          yield entriesOf(message as unknown as StreamMessage<Item>, jobId, from)
        }
        return
      } catch (failure) {
        if (!(failure instanceof Failure) || failure.code !== 'CURSOR_EXPIRED' || from === '') throw failure
        yield [
          {
            position: positionOf(from, jobId),
            bytes: 0,
            isGap: true,
            item: { type: 'gap' as const, cursor: from, from, to: '', reason: failure.message },
          },
        ]
        from = ''
        request.after = ''
      }
    }
  }

  const positionOf = (cursor: string, jobId: string): Position => (cursor ? parseCursor(cursor, kind, jobId) : beginning)

  function entriesOf(message: StreamMessage<Item>, jobId: string, head: string): Entry<LiveItem<Item>>[] {
    const { cursor, batch, gap, end } = message
    if (gap) {
      const to = gap.to || cursor || head
      return [{ position: positionOf(to, jobId), bytes: 0, isGap: true, item: { type: 'gap', ...gap, cursor: to } }]
    }
    if (end) {
      const status = end.status as JobStatus
      return [
        { position: positionOf(head, jobId), bytes: 0, isLast: true, item: { type: 'end', cursor: head, status, reason: end.reason } },
      ]
    }
    return (batch?.records ?? []).map((record) => ({
      position: positionOf(record.cursor, jobId),
      bytes: sizeOf(record),
      item: { type: 'record', cursor: record.cursor, record },
    }))
  }

  async function pump(key: string, open: OpenTopic<Item>, reading: Reading): Promise<void> {
    const { topic, stop } = open
    try {
      for await (const entries of upstream({ ...reading, requestId: `hub_${reading.requestId}` }, reading.after, stop.signal)) {
        const last = entries.find(({ isLast }) => isLast)
        if (last) {
          // A later reader gets a new stream: the job may be retried.
          topics.delete(key)
          topic.finish({ last })
          return
        }
        await topic.push(entries, stop.signal)
      }
      topic.finish({})
    } catch (error) {
      topics.delete(key)
      const failure = error instanceof Failure ? error : new Failure('INTERNAL_ERROR', 'The stream broke.', { cause: error })
      if (failure !== error) log.error({ err: error, topic: key }, 'a live stream broke')
      topic.finish({ failure })
    }
  }

  function openTopic(key: string, reading: Reading): OpenTopic<Item> {
    const known = topics.get(key)
    if (known) return known
    const opened: OpenTopic<Item> = {
      topic: createTopic(positionOf(reading.after, reading.jobId), ringBytes),
      stop: new AbortController(),
      readers: 0,
    }
    topics.set(key, opened)
    void pump(key, opened, reading)
    return opened
  }

  function leave(key: string, open: OpenTopic<Item>): void {
    open.readers--
    if (open.readers > 0) return
    open.timer = setTimeout(() => {
      if (topics.get(key) === open) topics.delete(key)
      open.stop.abort()
    }, lingerMs)
    open.timer.unref()
  }

  return {
    follow(reading) {
      const position = positionOf(reading.after, reading.jobId)
      const key = `${reading.tenantId}/${reading.jobId}`
      async function* read(signal: AbortSignal): AsyncGenerator<LiveItem<Item>[], void, undefined> {
        const open = openTopic(key, reading)
        open.readers++
        clearTimeout(open.timer)
        // The first own stream begins with the caller's cursor itself; later ones with the last that was told.
        let cursor = reading.after
        try {
          for await (const entries of open.topic.read(position, (_after, within) => upstream(reading, cursor, within), signal)) {
            cursor = entries.at(-1)?.item.cursor ?? cursor
            yield entries.map(({ item }) => item)
          }
        } finally {
          leave(key, open)
        }
      }
      return liveStream(read, { ended: reading.ended, closing: closing.signal })
    },
    topicCount: () => topics.size,
    close() {
      closing.abort()
      for (const { stop, timer } of topics.values()) {
        clearTimeout(timer)
        stop.abort()
      }
      topics.clear()
    },
  }
}
