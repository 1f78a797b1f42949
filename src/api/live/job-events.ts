import { formatCursor, parseCursor } from '../../contract/cursor.js'
import type { JobEvent__Output } from '../../generated/proto/scaimind/v1/JobEvent.js'
import type { OpenStream } from '../coordinator-client/stream.js'
import { type Live, liveStream } from './live-stream.js'
import { beginning, type Entry, type Position } from './ring.js'
import { changeSignal } from './signal.js'
import { createTopic, type Topic } from './topic.js'

/** What one reader of job events wants. */
export interface EventReading {
  tenantId: string
  /** Undefined: from now. */
  after?: string | undefined
  matches(event: JobEvent__Output): boolean
  requestId: string
  /** Aborted when the reader's key stops working. */
  ended: AbortSignal
}

/** The changes of jobs as this process hears them: all tenants' from one upstream, told to readers of one tenant each. */
export interface JobEvents {
  /** Where the upstream begins. */
  begin(cursor: string): void
  /** Tells events that are in the cache by now. */
  publish(events: readonly JobEvent__Output[]): void
  /** The cursor of the newest event that was told, among one tenant's; empty before the first word of the upstream. */
  here(tenantId: string): string
  /** Follows a tenant's events; their cursors are the tenant's. Throws CURSOR_INVALID at once. */
  follow(reading: EventReading): Live<JobEvent__Output>
  /** Follows one job from its first event, or after a cursor, to the one that made it terminal, on a stream of its own. */
  followToEnd(reading: Omit<EventReading, 'matches'> & { jobId: string }): Live<JobEvent__Output>
  close(): void
}

const cursorAt = (tenantId: string, { sequence }: Position): string =>
  sequence < 0 ? '' : formatCursor({ kind: 'events', topic: tenantId, attempt: 0, sequence })

// The numbers of events are one sequence over all tenants, so that the same number is a cursor among one tenant's.
function entryOf(event: JobEvent__Output): Entry<JobEvent__Output> {
  const position = { attempt: 0, sequence: Number(event.sequence) }
  // Bytes: a job's document by its usual size, for measuring it would cost more than it saves.
  return { position, bytes: 4096, item: { ...event, cursor: cursorAt(event.tenant_id, position) } }
}

/** The job events of this process. Readers that lie before the ring read a stream of their own tenant's until they stand in it. */
export function jobEvents({ openStream, ringBytes = 8 * 1024 * 1024 }: { openStream: OpenStream; ringBytes?: number }): JobEvents {
  const topic: Topic<JobEvent__Output> = createTopic(beginning, ringBytes)
  const closing = new AbortController()
  // Who follows from now on before the upstream has begun waits to learn where now is.
  let hasBegun = false
  const begun = changeSignal()

  async function* catchUp({ tenantId, requestId }: EventReading, place: Position, signal: AbortSignal) {
    const after = cursorAt(tenantId, place)
    const request = { after, from_start: after === '' }
    const context = { tenantId, requestId }
    const events = openStream({ method: 'StreamJobEvents', request, context, signal, isLast: () => false })
    for await (const event of events) yield [entryOf(event)]
  }

  return {
    begin(cursor) {
      topic.reset(cursor ? parseCursor(cursor, 'events', '*') : beginning)
      hasBegun = true
      begun.notify()
    },

    publish(events) {
      // Never waits for readers: who falls out of the ring reads on by themselves.
      void topic.push(events.map(entryOf), closing.signal)
    },

    here: (tenantId) => cursorAt(tenantId, topic.ring.head),

    follow(reading) {
      const { after, tenantId } = reading
      const given: Position | undefined = after ? parseCursor(after, 'events', tenantId) : hasBegun ? topic.ring.head : undefined
      async function* read(signal: AbortSignal): AsyncGenerator<JobEvent__Output, void, undefined> {
        if (!given && !hasBegun) await begun.wait(signal)
        const position = given ?? topic.ring.head
        for await (const entries of topic.read(position, (place, within) => catchUp(reading, place, within), signal)) {
          for (const { item } of entries) if (item.tenant_id === tenantId && reading.matches(item)) yield item
        }
      }
      return liveStream(read, { ended: reading.ended, closing: closing.signal })
    },

    followToEnd({ jobId, tenantId, after = '', requestId, ended }) {
      if (after) parseCursor(after, 'events', tenantId)
      const request = { after, job_id: jobId, from_start: after === '' }
      const read = (signal: AbortSignal) => openStream({ method: 'StreamJobEvents', request, context: { tenantId, requestId }, signal })
      return liveStream(read, { ended, closing: closing.signal })
    },

    close: () => closing.abort(),
  }
}
