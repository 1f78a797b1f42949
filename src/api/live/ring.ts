import { compareCursors } from '../../contract/cursor.js'

/** The place of a record in its stream. */
export interface Position {
  attempt: number
  sequence: number
}

/** Before the first record of any stream. */
export const beginning: Position = { attempt: 0, sequence: -1 }

/** Something that a stream told, at its place. */
export interface Entry<Item> {
  position: Position
  bytes: number
  item: Item
  /** Nothing follows it. */
  isLast?: boolean
  /** Records are missing before it: told to readers that stand at its place, too. */
  isGap?: boolean
}

/**
 * The newest entries of a stream, at most `bytesMax` of them, each under a number that only rises. What lies after `start` is all here:
 * a reader whose position is not before `start` misses nothing by going on from the ring.
 */
export class Ring<Item> {
  // `before`: bytes of everything that was ever pushed before the entry.
  private entries: (Entry<Item> & { before: number })[] = []
  private offset = 0
  private bytes = 0
  private pushed = 0
  /** The number of the oldest entry. */
  first = 0

  constructor(
    public start: Position,
    private readonly bytesMax: number,
  ) {}

  /** The number that the next entry will have. */
  get next(): number {
    return this.first + this.entries.length - this.offset
  }

  /** The place of the newest entry. */
  get head(): Position {
    return this.entries.at(-1)?.position ?? this.start
  }

  push(entry: Entry<Item>): void {
    this.entries.push({ ...entry, before: this.pushed })
    this.bytes += entry.bytes
    this.pushed += entry.bytes
    while (this.bytes > this.bytesMax && this.next - this.first > 1) this.evict()
    if (this.offset > 1024 && this.offset * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.offset)
      this.offset = 0
    }
  }

  /** Forgets everything; the stream goes on after `start`. Readers that stood in the ring are behind it now. */
  reset(start: Position): void {
    this.first = this.next + 1
    this.entries = []
    this.offset = 0
    this.bytes = 0
    this.start = start
  }

  /** The entries from a number on, at most so many and so many bytes, but at least one where there is one. */
  take(from: number, countMax: number, bytesMax: number): Entry<Item>[] {
    const taken: Entry<Item>[] = []
    let bytes = 0
    for (let at = this.offset + from - this.first; at < this.entries.length && taken.length < countMax; at++) {
      const entry = this.entries[at]
      if (!entry || (taken.length > 0 && bytes + entry.bytes > bytesMax)) break
      taken.push(entry)
      bytes += entry.bytes
    }
    return taken
  }

  /** The number of the first entry after a position. */
  numberAfter(position: Position): number {
    let low = this.offset
    let high = this.entries.length
    while (low < high) {
      const middle = (low + high) >> 1
      const entry = this.entries[middle]
      if (entry && compareCursors(entry.position, position) <= 0) low = middle + 1
      else high = middle
    }
    return this.first + low - this.offset
  }

  /** Bytes of the entries from a number on. */
  bytesFrom(from: number): number {
    const entry = this.entries[this.offset + Math.max(0, from - this.first)]
    return entry ? this.pushed - entry.before : 0
  }

  private evict(): void {
    const entry = this.entries[this.offset]
    if (!entry) return
    this.entries[this.offset] = { ...entry, item: undefined as Item }
    this.offset++
    this.first++
    this.bytes -= entry.bytes
    this.start = entry.position
  }
}
