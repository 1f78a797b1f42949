import { compareCursors } from '../../contract/cursor.js'

/** The place of a record in its stream. */
export interface Position {
  attempt: number
  sequence: number
}

/** Before the first record of any stream. */
export const beginning: Position = { attempt: 0, sequence: -1 }

/** A message of a stream: what lies after `from`, up to and with `to`. Each begins where the one before it ended. */
export interface Chunk<Message> {
  from: Position
  to: Position
  bytes: number
  message: Message
  /** When it came, in ms of the process's clock. */
  at: number
  /** Nothing follows it. */
  isLast?: boolean
}

/** Whether a place lies before another. */
export const isBefore = (a: Position, b: Position): boolean => compareCursors(a, b) < 0

/**
 * The newest chunks of a stream, at most `bytesMax` of them, each under a number that only rises. What lies after `start` is all here:
 * a reader whose place is not before `start` misses nothing by going on from the ring.
 */
export class Ring<Message> {
  private chunks: (Chunk<Message> | undefined)[] = []
  private offset = 0
  /** Bytes that are held. */
  bytes = 0
  /** The number of the oldest chunk. */
  first = 0

  constructor(
    public start: Position,
    private readonly bytesMax: number,
  ) {}

  /** The number that the next chunk will have. */
  get next(): number {
    return this.first + this.chunks.length - this.offset
  }

  /** The place after the newest chunk. */
  get head(): Position {
    return this.newest?.to ?? this.start
  }

  get newest(): Chunk<Message> | undefined {
    return this.chunks.at(-1)
  }

  push(chunk: Chunk<Message>): void {
    this.chunks.push(chunk)
    this.bytes += chunk.bytes
    while (this.bytes > this.bytesMax && this.next - this.first > 1) this.evict()
    if (this.offset > 1024 && this.offset * 2 > this.chunks.length) {
      this.chunks = this.chunks.slice(this.offset)
      this.offset = 0
    }
  }

  /** Forgets everything; the stream goes on after `start`. Readers that stood in the ring are behind it now. */
  reset(start: Position): void {
    this.first = this.next + 1
    this.chunks = []
    this.offset = 0
    this.bytes = 0
    this.start = start
  }

  /** The chunk of a number; undefined where it is gone or not there yet. */
  at(number: number): Chunk<Message> | undefined {
    return number < this.first ? undefined : this.chunks[this.offset + number - this.first]
  }

  /** The number of the first chunk that ends after a place. */
  numberAfter(place: Position): number {
    let low = this.offset
    let high = this.chunks.length
    while (low < high) {
      const middle = (low + high) >> 1
      const chunk = this.chunks[middle]
      if (chunk && !isBefore(place, chunk.to)) low = middle + 1
      else high = middle
    }
    return this.first + low - this.offset
  }

  /** Whether more than half of what may be held lies from a number on. */
  isHalfFullFrom(number: number): boolean {
    if (this.bytes * 2 <= this.bytesMax) return false
    let bytes = 0
    for (let at = this.next - 1; at >= number && at >= this.first; at--) {
      bytes += this.at(at)?.bytes ?? 0
      if (bytes * 2 > this.bytesMax) return true
    }
    return false
  }

  private evict(): void {
    const chunk = this.chunks[this.offset]
    if (!chunk) return
    this.chunks[this.offset] = undefined
    this.offset++
    this.first++
    this.bytes -= chunk.bytes
    this.start = chunk.to
  }
}
