import { Failure } from '../../contract/failure.js'
import type { JobStatus } from '../../contract/statuses.js'
import type { OpenStream } from '../coordinator-client/stream.js'
import type { StreamCounts } from './counts.js'
import type { LiveMessage, RecordPlaces } from './record-kind.js'
import type { Chunk, Position } from './ring.js'

/** A message of StreamJobMetrics or StreamJobLogs. */
interface StreamMessage<Item> {
  cursor: string
  batch?: { records: Item[] } | null
  gap?: { from: string; to: string; reason: string } | null
  end?: { status: string; reason: string } | null
}

interface UpstreamOptions {
  kind: 'metrics' | 'logs'
  openStream: OpenStream
  counts: StreamCounts
  places: RecordPlaces
  jobId: string
  context: { tenantId: string; requestId: string }
}

/**
 * A job's records from the coordinator after a cursor. A cursor that is older than what is kept does not end it: what is gone is told as a gap, up to
 * the first record that there is.
 */
export async function* recordUpstream<Item extends { cursor: string }>(
  { kind, openStream, counts, places: { positionOf, cursorOf }, jobId, context }: UpstreamOptions,
  after: string,
  signal: AbortSignal,
): AsyncGenerator<LiveMessage<Item>, void, undefined> {
  const method = kind === 'metrics' ? 'StreamJobMetrics' : 'StreamJobLogs'
  let head = after
  let gone: { from: string; reason: string } | undefined
  let begin = after
  counts.upstreams[kind]++
  try {
    for (;;) {
      try {
        const request = { job_id: jobId, after: begin }
        for await (const received of openStream({ method, request, context, signal, isLast: ({ end }) => Boolean(end) })) {
          counts.messagesIn[kind]++
          const message = toMessage(received as unknown as StreamMessage<Item>, head)
          if (gone) {
            const to =
              message.type === 'batch'
                ? cursorBefore(positionOf(message.records[0]?.cursor ?? message.cursor))
                : received.cursor || message.cursor
            yield { type: 'gap', cursor: to || head, from: gone.from, to, reason: gone.reason }
            gone = undefined
            if (message.type === 'end') message.cursor = to
          }
          head = message.cursor || head
          yield message
        }
        return
      } catch (failure) {
        if (!(failure instanceof Failure) || failure.code !== 'CURSOR_EXPIRED' || head === '') throw failure
        gone = { from: head, reason: failure.message }
        begin = ''
      }
    }
  } finally {
    counts.upstreams[kind]--
  }

  function cursorBefore({ attempt, sequence }: Position): string {
    return cursorOf({ attempt, sequence: sequence - 1 })
  }
}

function toMessage<Item extends { cursor: string }>({ cursor, batch, gap, end }: StreamMessage<Item>, head: string): LiveMessage<Item> {
  if (gap) return { type: 'gap', ...gap, cursor: gap.to || cursor || head }
  if (end) return { type: 'end', cursor: head, status: end.status as JobStatus, reason: end.reason }
  const records = batch?.records ?? []
  return { type: 'batch', cursor: records.at(-1)?.cursor || cursor || head, records, thinned: 0 }
}

/** Messages with their places, each beginning where the one before it ended. */
export async function* inChunks<Item>(
  messages: AsyncIterable<LiveMessage<Item>>,
  { start, positionOf, sizeOf }: { start: Position; positionOf(cursor: string): Position; sizeOf(record: Item): number },
): AsyncGenerator<Chunk<LiveMessage<Item>>, undefined, undefined> {
  let from = start
  for await (const message of messages) {
    const isLast = message.type === 'end'
    const to = isLast ? from : positionOf(message.cursor)
    const bytes = message.type === 'batch' ? message.records.reduce((sum, record) => sum + sizeOf(record), 64) : 64
    yield { from, to, bytes, message, at: Date.now(), isLast }
    from = to
  }
  return undefined
}
