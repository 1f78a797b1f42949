/*
 * Live records (metrics, logs) of jobs, for any number of readers.
 *
 *        coordinator                                      API
 *   ┌──────────────────┐  one gRPC stream a topic   ┌─────────────────────────────┐
 *   │ journal of job J │ ─────────────────────────> │ topic J                     │
 *   └──────────────────┘                            │   ring: the newest messages │──> reader in the ring
 *            │                                      │   [ start ······ head ]     │──> reader in the ring
 *            │  another, only while somebody is     └─────────────────────────────┘
 *            │  before `start`                                     ^ go over
 *            └──────────────────────────────────────> topic of those who catch up ──> …
 *
 * A topic is opened by its first reader, after that reader's cursor, and closed a little after its last one has left. Its stream
 * survives lost connections (coordinator-client/stream.ts): it is opened again after the last cursor.
 *
 * Nobody has a buffer of their own. A reader is a place; it takes what lies after it from the ring, which is bounded in bytes, and
 * all readers at one place take the same object, so that what is made of it is made once. A reader whose place lies before the ring
 * (it came late, it asked from the start, it was too slow) opens another topic of the same records, from its place, with a small
 * ring of its own; whoever stands near it reads that one, too. It ends where another topic has come as far, and its readers go over.
 * Places are ordered (attempt, then sequence) and every message says after which it begins and at which it ends, so that the change
 * from one to the other neither loses a record nor tells it twice: of a message that lies across the reader's place the reader gets
 * the later part.
 *
 * Who takes too little at a time is not let down in silence. Lines of a log are read again from the journal. Metrics that wait for
 * such a reader are told as one message, the newest of each window of steps, with the number of those left out; what fell out of
 * the ring is told as a gap. A reader who wants fewer records to begin with reads a topic of its own kind, that is fed by the whole one.
 *
 * A topic runs at the pace of its fastest reader in the ring: when even that one is half a ring behind, the upstream is not read
 * on, and gRPC's flow control reaches the coordinator. So a single reader of a long history costs one stream, a thousand who ask
 * from the first record on cost few, and a reader that is slower than others costs one more, never memory. A reader who begins far
 * beyond a topic that still reads a history does not wait for it either: it opens a topic further on, which the other will reach.
 *
 * A cursor that is older than what is kept does not end a live stream: the reader is told a gap and goes on with the oldest there is.
 */
import type { Logger } from 'pino'
import { compareCursors } from '../../contract/cursor.js'
import { Failure } from '../../contract/failure.js'
import { fromTimestamp } from '../../contract/proto.js'
import type { Timestamp__Output } from '../../generated/proto/google/protobuf/Timestamp.js'
import type { OpenStream } from '../coordinator-client/stream.js'
import type { StreamCounts } from './counts.js'
import { Feed, iterate } from './feed.js'
import { type LiveMessage, recordKind, recordPlaces } from './record-kind.js'
import { type Chunk, isBefore, type Position } from './ring.js'
import { type StepOf, thinMessages } from './thin.js'
import { Topic } from './topic.js'
import { inChunks, recordUpstream } from './upstream.js'

/** What one reader wants. */
export interface Reading {
  tenantId: string
  jobId: string
  /** Empty: from the first record. */
  after: string
  requestId: string
}

/** A thinner stream of the same records. */
export interface Thinning<Item> {
  /** At most so many records a second, the newest. */
  maxPerSecond: number
  /** Of which records; null for those that are not among them. */
  choose(record: Item): Item | null
  /** Names what `choose` chooses: readers of the same name share. */
  name: string
}

/** The live records of one kind, of all jobs. */
export interface Hub<Item> {
  /** Follows a job's records. Throws CURSOR_INVALID at once where `after` is not a cursor of this stream. */
  follow(reading: Reading, thinning?: Thinning<Item>): Feed<LiveMessage<Item>>
  /** The topics that are open. */
  topics(): Iterable<Topic<LiveMessage<Item>>>
  /** Ends all upstreams. */
  close(): void
}

interface Timed {
  cursor: string
  time: Timestamp__Output | null
}

interface HubOptions<Item> {
  kind: 'metrics' | 'logs'
  openStream: OpenStream
  log: Logger
  counts: StreamCounts
  /** Bytes that a record takes in the ring, roughly. */
  sizeOf(record: Item): number
  /** Where a record belongs that may be left out for a reader who is slow; without it none is. */
  stepOf?: StepOf<Item>
  /** Bytes of a topic's ring. */
  ringBytes?: number
  /** How long a topic without readers stays open. */
  lingerMs?: number
}

interface OpenTopic<Item> {
  topic: Topic<LiveMessage<Item>>
  stop: AbortController
}

// Of a topic that only catches up with another: its readers are a moment behind it, or soon read yet another.
const catchUpRingBytes = 256 * 1024

// A topic that tells records of so long ago reads a history: who begins beyond it does not wait for it, and nothing of it is thinned for who is slow.
const historyMs = 2000

/** The hub of one kind of records. */
export function recordHub<Item extends Timed>({
  kind,
  openStream,
  log,
  counts,
  sizeOf,
  stepOf,
  ringBytes = 1024 * 1024,
  lingerMs = 3000,
}: HubOptions<Item>): Hub<Item> {
  /** By what they tell; each has another part of it. */
  const open = new Map<string, Set<OpenTopic<Item>>>()
  const timeOf = ({ time }: Item) => fromTimestamp(time)?.getTime() ?? 0

  /** The records after a place: from the coordinator or, thinned, from the topic that has all of them. */
  function source(reading: Reading, thinning: Thinning<Item> | undefined, signal: AbortSignal) {
    if (!thinning) return upstream(reading, reading.after, signal)
    return thinMessages(iterate(follow(reading), signal), { ...thinning, timeOf })
  }

  function upstream({ tenantId, jobId, requestId }: Reading, after: string, signal: AbortSignal) {
    const context = { tenantId, requestId: `hub_${requestId}` }
    return recordUpstream<Item>({ kind, openStream, counts, places: recordPlaces(kind, jobId), jobId, context }, after, signal)
  }

  function openTopic(key: string, reading: Reading, start: Position, thinning: Thinning<Item> | undefined): OpenTopic<Item> {
    const places = recordPlaces(kind, reading.jobId)
    const stop = new AbortController()
    const others = open.get(key) ?? new Set()
    open.set(key, others)
    const another = (place: Position) => topicFor(reading, place, thinning)
    const catchesUp = [...others].some((other) => isBefore(start, other.topic.ring.head))
    const topic = new Topic<LiveMessage<Item>>({
      start,
      ringBytes: catchesUp ? Math.min(ringBytes, catchUpRingBytes) : ringBytes,
      lingerMs,
      kind: recordKind<Item>(places, { another, stepOf, isNews, counts }),
      onUnread() {
        forget()
        stop.abort()
      },
    })
    const opened = { topic, stop }
    others.add(opened)
    void pump()
    return opened

    function forget(): void {
      others.delete(opened)
      if (others.size === 0 && open.get(key) === others) open.delete(key)
    }

    /** Whether another topic has come as far, and tells from here on what this one would. */
    function isToldFrom(place: Position): boolean {
      return [...others].some((other) => other !== opened && holds(other, place))
    }

    async function pump(): Promise<void> {
      try {
        const messages = source({ ...reading, after: places.cursorOf(start) }, thinning, stop.signal)
        for await (const chunk of inChunks(messages, { ...places, start, sizeOf })) {
          if (chunk.isLast) {
            // A later reader gets a new stream: the job may be retried.
            forget()
            return topic.finish({ type: 'over' }, chunk)
          }
          if (chunk.message.type === 'batch') counts.thinned += chunk.message.thinned
          topic.push(chunk)
          if (isToldFrom(chunk.to)) {
            forget()
            return topic.continueIn(another)
          }
          await topic.room(stop.signal)
        }
        forget()
        topic.finish({ type: 'over' })
      } catch (error) {
        forget()
        const failure = error instanceof Failure ? error : new Failure('INTERNAL_ERROR', 'The stream broke.', { cause: error })
        if (failure !== error) log.error({ err: error, topic: key }, 'a live stream broke')
        topic.finish({ type: 'failed', failure })
      }
    }
  }

  const holds = ({ topic: { ring } }: OpenTopic<Item>, place: Position) => !isBefore(place, ring.start) && !isBefore(ring.head, place)

  /** The topic that a reader at a place belongs to: one that has what follows it, or a new one. */
  function topicFor(reading: Reading, place: Position, thinning: Thinning<Item> | undefined): Topic<LiveMessage<Item>> {
    const { tenantId, jobId } = reading
    const key = `${tenantId}/${jobId}${thinning ? `/${thinning.maxPerSecond}/${thinning.name}` : ''}`
    const furthestFirst = [...(open.get(key) ?? [])].sort((a, b) => compareCursors(b.topic.ring.head, a.topic.ring.head))
    const holding = furthestFirst.find((one) => holds(one, place))
    const [furthest] = furthestFirst
    if (holding) return holding.topic
    // Who is a moment ahead of a topic that tells news, or nothing yet, waits for it.
    if (furthest && isBefore(furthest.topic.ring.head, place) && tellsNews(furthest.topic)) return furthest.topic
    return openTopic(key, reading, place, thinning).topic
  }

  const tellsNews = ({ ring: { newest } }: Topic<LiveMessage<Item>>) => newest === undefined || isNews(newest)

  function isNews({ message }: Chunk<LiveMessage<Item>>): boolean {
    const record = message.type === 'batch' ? message.records.at(-1) : undefined
    return record === undefined || Date.now() - timeOf(record) <= historyMs
  }

  function follow(reading: Reading, thinning?: Thinning<Item>): Feed<LiveMessage<Item>> {
    const place = recordPlaces(kind, reading.jobId).positionOf(reading.after)
    return new Feed(
      (listener) => topicFor(reading, place, thinning).join(place, listener),
      (taken) => taken as LiveMessage<Item>,
    )
  }

  return {
    follow,
    *topics() {
      for (const topics of open.values()) for (const { topic } of topics) yield topic
    },
    close() {
      for (const topics of open.values()) {
        for (const { topic, stop } of topics) {
          stop.abort()
          topic.taken()
        }
      }
      open.clear()
    },
  }
}
