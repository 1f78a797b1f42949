import { setTimeout as sleep } from 'node:timers/promises'
import { formatCursor, parseCursor } from '../../contract/cursor.js'
import { Failure } from '../../contract/failure.js'
import { isTerminal, type JobStatus } from '../../contract/statuses.js'
import type { JobEvent__Output } from '../../generated/proto/scaimind/v1/JobEvent.js'
import type { OpenStream } from '../coordinator-client/stream.js'
import type { StreamCounts } from './counts.js'
import { Feed, iterate } from './feed.js'
import { feedOf } from './generated-feed.js'
import { beginning, type Chunk, isBefore, type Position, Ring } from './ring.js'
import { changeSignal } from './signal.js'
import { Topic } from './topic.js'

/** What one reader of job events wants. */
export interface EventReading {
  tenantId: string
  /** Only this job's; the stream is over when the job is. Default: all of the tenant's. */
  jobId?: string | undefined
  /** Undefined: from now. Empty: from the first. */
  after?: string | undefined
  requestId: string
}

/** The changes of jobs as this process hears them: all tenants' from one upstream, told to the readers of a tenant and of a job. */
export interface JobEvents {
  /** Where the upstream begins. */
  begin(cursor: string): void
  /** Tells events that are in the cache by now. */
  publish(events: readonly JobEvent__Output[]): void
  /** The cursor of the newest event that was told, among one tenant's; a promise before the upstream has begun. */
  here(tenantId: string): string | Promise<string>
  /** Follows events; their cursors are the tenant's. Throws CURSOR_INVALID at once. */
  follow(reading: EventReading): Feed<JobEvent__Output>
  /** Follows one job from its first event, or after a cursor, to the one that made it terminal, on a stream of its own. */
  followToEnd(reading: EventReading & { jobId: string }): Feed<JobEvent__Output>
  /** The topics that are open. */
  topics(): Iterable<Topic<JobEvent__Output>>
}

interface JobEventsOptions {
  openStream: OpenStream
  counts: StreamCounts
  /** Whether a job, as an event left it, is still the newest that is known of it. */
  isNewest(event: JobEvent__Output): Promise<boolean>
  /** Bytes of the newest events that this process keeps. */
  ringBytes?: number
  /** How long a topic without readers stays open. */
  lingerMs?: number
}

const askAgainMs = 1000
// There may be thousands of them, each of a job that tells its progress twice a second; who is further behind reads the coordinator's.
const jobRingBytes = 256 * 1024
const tenantRingBytes = 2 * 1024 * 1024
// Bytes: a job's document by its usual size, for measuring it would cost more than it saves.
const eventBytes = 4096

const positionOf = (cursor: string, tenantId: string): Position =>
  cursor ? { attempt: 0, sequence: parseCursor(cursor, 'events', tenantId).sequence } : beginning
const cursorAt = (tenantId: string, { sequence }: Position): string =>
  sequence < 0 ? '' : formatCursor({ kind: 'events', topic: tenantId, attempt: 0, sequence })
// The numbers of events are one sequence over all tenants, so that the same number is a cursor among one tenant's.
const told = (event: JobEvent__Output): JobEvent__Output => ({
  ...event,
  cursor: cursorAt(event.tenant_id, { attempt: 0, sequence: Number(event.sequence) }),
})
const expired = () => new Failure('CURSOR_EXPIRED', 'The numbers of events began again; open the stream anew, without `after`.')

/**
 * The job events of this process. What it heard lately is in one ring, from which a topic of a tenant or of a job begins; readers that lie before it read a
 * stream of their own up to there.
 */
export function jobEvents({ openStream, counts, isNewest, ringBytes = 8 * 1024 * 1024, lingerMs = 3000 }: JobEventsOptions): JobEvents {
  const recent = new Ring<JobEvent__Output>(beginning, ringBytes)
  const topics = new Map<string, Topic<JobEvent__Output>>()
  // Who follows before the upstream has begun waits to learn where now is.
  let hasBegun = false
  const begun = changeSignal()
  const keyOf = (tenantId: string, jobId = '') => `${tenantId}/${jobId}`
  const chunkOf = (event: JobEvent__Output, from: Position): Chunk<JobEvent__Output> => {
    const to = { attempt: 0, sequence: Number(event.sequence) }
    return { from, to, bytes: eventBytes, message: event, at: Date.now() }
  }

  async function* upstream({ tenantId, jobId = '', requestId }: EventReading, after: string, until: string, signal: AbortSignal) {
    const request = { after, job_id: jobId, from_start: after === '', until }
    counts.upstreams.events++
    try {
      for await (const event of openStream({ method: 'StreamJobEvents', request, context: { tenantId, requestId }, signal })) {
        counts.messagesIn.events++
        yield event
      }
    } finally {
      counts.upstreams.events--
    }
  }

  function topicFor(reading: EventReading): Topic<JobEvent__Output> {
    const { tenantId, jobId } = reading
    const key = keyOf(tenantId, jobId)
    const known = topics.get(key)
    if (known) return known
    async function* history(after: Position, until: Position, signal: AbortSignal) {
      let from = after
      for await (const event of upstream(reading, cursorAt(tenantId, after), cursorAt(tenantId, until), signal)) {
        const chunk = chunkOf(event, from)
        yield chunk
        from = chunk.to
      }
      return until
    }
    const topic = new Topic<JobEvent__Output>({
      start: recent.start,
      ringBytes: Math.min(ringBytes, jobId ? jobRingBytes : tenantRingBytes),
      lingerMs,
      kind: { history, slice: ({ message }) => message },
      onUnread: () => forget(key, topic),
    })
    for (let number = recent.first; number < recent.next; number++) {
      const event = recent.at(number)?.message
      if (event?.tenant_id === tenantId && (!jobId || event.job_id === jobId)) topic.push(chunkOf(event, topic.ring.head))
    }
    topics.set(key, topic)
    const newest = topic.ring.newest?.message
    if (jobId && newest) void endWhereOver(topic, newest)
    return topic
  }

  function forget(key: string, topic: Topic<JobEvent__Output>): void {
    if (topics.get(key) === topic) topics.delete(key)
  }

  function tellJob(event: JobEvent__Output): void {
    const topic = topics.get(keyOf(event.tenant_id, event.job_id))
    if (!topic) return
    topic.push(chunkOf(event, topic.ring.head))
    void endWhereOver(topic, event)
  }

  /** Ends a job's topic where nothing follows its newest event: one that was retried since goes on. */
  async function endWhereOver(topic: Topic<JobEvent__Output>, event: JobEvent__Output): Promise<void> {
    const isNoMore = event.type === 'DELETED'
    if (!isNoMore && !isTerminal(event.to_status as JobStatus)) return
    const isOver = isNoMore || (await isNewestOnceKnown(event))
    if (!isOver || topic.outcome || topic.ring.head.sequence !== Number(event.sequence)) return
    forget(keyOf(event.tenant_id, event.job_id), topic)
    topic.finish({ type: 'over' })
  }

  async function isNewestOnceKnown(event: JobEvent__Output): Promise<boolean> {
    for (;;) {
      try {
        return await isNewest(event)
      } catch {
        // The database is away; until it is back nobody is told that nothing follows.
        await sleep(askAgainMs, undefined, { ref: false })
      }
    }
  }

  function follow(reading: EventReading): Feed<JobEvent__Output> {
    const { after, tenantId } = reading
    const given = after === undefined ? undefined : positionOf(after, tenantId)
    if (!hasBegun) {
      return feedOf(async function* (signal) {
        await begun.wait(signal)
        if (!signal.aborted) yield* iterate(follow(reading), signal)
      })
    }
    const place = given ?? recent.head
    const feed = new Feed(
      (listener) => topicFor(reading).join(place, listener),
      (taken) => taken as JobEvent__Output,
    )
    if (!after || !isBefore(recent.head, place)) return feed
    return feedOf(async function* (signal) {
      // Another instance may have heard it earlier. Of a number that no event has, the coordinator says so.
      for await (const _event of upstream({ tenantId, requestId: reading.requestId }, after, after, signal)) break
      if (!signal.aborted) yield* iterate(feed, signal)
    })
  }

  return {
    begin(cursor) {
      const start = positionOf(cursor, '*')
      // Numbers begin again in a database that was restored: places of before say nothing there.
      const isRestored = isBefore(start, recent.head)
      recent.reset(start)
      for (const [key, topic] of topics) {
        if (isRestored) {
          forget(key, topic)
          topic.finish({ type: 'failed', failure: expired() })
        } else topic.reset(start)
      }
      hasBegun = true
      begun.notify()
    },

    publish(events) {
      counts.messagesIn.events += events.length
      for (const heard of events) {
        const event = told(heard)
        recent.push(chunkOf(event, recent.head))
        const tenant = topics.get(keyOf(event.tenant_id))
        tenant?.push(chunkOf(event, tenant.ring.head))
        tellJob(event)
      }
    },

    here(tenantId) {
      const now = () => formatCursor({ kind: 'events', topic: tenantId, attempt: 0, sequence: recent.head.sequence })
      return hasBegun ? now() : begun.wait(new AbortController().signal).then(now)
    },
    follow,

    followToEnd(reading) {
      const { after = '', tenantId } = reading
      positionOf(after, tenantId)
      return feedOf((signal) => upstream(reading, after, '', signal))
    },

    topics: () => topics.values(),
  }
}
