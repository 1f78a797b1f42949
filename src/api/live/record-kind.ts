import { type CursorKind, formatCursor, parseCursor } from '../../contract/cursor.js'
import type { JobStatus } from '../../contract/statuses.js'
import type { StreamCounts } from './counts.js'
import { beginning, type Chunk, isBefore, type Position } from './ring.js'
import { type StepOf, thinBySteps } from './thin.js'
import type { Topic, TopicKind } from './topic.js'

/** A message of a live stream of records. */
export type LiveMessage<Item> =
  | {
      type: 'batch'
      /** Of its last record. */
      cursor: string
      records: Item[]
      /** Records left out since the message before. */
      thinned: number
    }
  | { type: 'gap'; cursor: string; from: string; to: string; reason: string }
  | { type: 'end'; cursor: string; status: JobStatus; reason: string }

/** Places and cursors of one job's records. */
export function recordPlaces(kind: CursorKind, jobId: string) {
  return {
    positionOf: (cursor: string): Position => {
      if (!cursor) return beginning
      const { attempt, sequence } = parseCursor(cursor, kind, jobId)
      return { attempt, sequence }
    },
    cursorOf: ({ attempt, sequence }: Position): string =>
      attempt === 0 && sequence < 0 ? '' : formatCursor({ kind, topic: jobId, attempt, sequence }),
  }
}

export type RecordPlaces = ReturnType<typeof recordPlaces>

// As many as a chart of a reader who was away for a while can use.
const windowsMax = 100

interface RecordKindOptions<Item> {
  /** The topic for who is behind the ring. */
  another: (place: Position) => Topic<LiveMessage<Item>>
  /** Where a record belongs that may be left out; without it none is. */
  stepOf: StepOf<Item> | undefined
  /** Whether what a topic tells was written just now. */
  isNews(newest: Chunk<LiveMessage<Item>>): boolean
  counts: StreamCounts
}

/** What a topic of records knows of its messages. Only metrics are thinned for a slow reader; every line of a log is read again from the journal. */
export function recordKind<Item extends { cursor: string }>(
  { positionOf, cursorOf }: RecordPlaces,
  { another, stepOf, isNews, counts }: RecordKindOptions<Item>,
): TopicKind<LiveMessage<Item>> {
  const slice = ({ message }: Chunk<LiveMessage<Item>>, after: Position): LiveMessage<Item> | null => {
    if (message.type !== 'batch') return message
    const records = message.records.filter(({ cursor }) => isBefore(after, positionOf(cursor)))
    return records.length > 0 ? { ...message, records } : null
  }
  if (!stepOf) return { another, slice }
  return {
    another,
    slice,
    isNews,
    condense(chunks, after) {
      const gapAt = chunks.findIndex(({ message }) => message.type !== 'batch')
      const count = gapAt < 0 ? chunks.length : Math.max(1, gapAt)
      const batches = chunks.slice(0, count).flatMap((chunk) => {
        const message = isBefore(chunk.from, after) ? slice(chunk, after) : chunk.message
        return message?.type === 'batch' ? [message] : []
      })
      const first = chunks[0]?.message
      if (batches.length === 0 && first) return { message: first, count: 1 }
      const records = batches.flatMap((batch) => batch.records)
      const kept = thinBySteps(records, windowsMax, stepOf)
      counts.thinned += records.length - kept.length
      const thinned = batches.reduce((sum, batch) => sum + batch.thinned, 0) + records.length - kept.length
      return { message: { type: 'batch', cursor: kept.at(-1)?.cursor ?? '', records: kept, thinned }, count }
    },
    missed(from, to) {
      if (from.attempt === to.attempt) counts.thinned += to.sequence - from.sequence
      const skipped = from.attempt === to.attempt ? `${to.sequence - from.sequence} records` : 'Records'
      const reason = `${skipped} were skipped: they came faster than this reader took them.`
      return { type: 'gap', cursor: cursorOf(to), from: cursorOf(from), to: cursorOf(to), reason }
    },
  }
}
