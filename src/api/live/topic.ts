import { compareCursors } from '../../contract/cursor.js'
import type { Failure } from '../../contract/failure.js'
import { type Entry, type Position, Ring } from './ring.js'
import { changeSignal } from './signal.js'

/** One upstream that many read: the ring of what it told lately, and how it ended. */
export interface Topic<Item> {
  readonly ring: Ring<Item>
  /** Appends what the upstream told, once the fastest reader has room for it. */
  push(entries: readonly Entry<Item>[], signal: AbortSignal): Promise<void>
  /** Nothing follows: `last` is the final item, a Failure is thrown to every reader. */
  finish(outcome: { last?: Entry<Item>; failure?: Failure }): void
  /** Forgets the ring; readers go on after their own positions. */
  reset(start: Position): void
  /** Reads from a position on. `catchUp` opens an upstream of the reader's own, for what lies before the ring. */
  read(position: Position, catchUp: CatchUp<Item>, signal: AbortSignal): AsyncGenerator<Entry<Item>[], void, undefined>
}

/** Opens a stream after a position. It ends with the stream's end, when it is left, or when `signal` is aborted. */
export type CatchUp<Item> = (after: Position, signal: AbortSignal) => AsyncGenerator<Entry<Item>[], void, undefined>

const takeCount = 500
const takeBytes = 64 * 1024

const later = (a: Position, b: Position | undefined) => (b && compareCursors(b, a) > 0 ? b : a)

/** Opens a topic whose ring begins after `start`. */
export function createTopic<Item>(start: Position, ringBytes: number): Topic<Item> {
  const ring = new Ring<Item>(start, ringBytes)
  const changed = changeSignal()
  const consumed = changeSignal()
  // The numbers that the readers in the ring will read next.
  const seats = new Set<{ number: number }>()
  let outcome: { last?: Entry<Item>; failure?: Failure } | undefined

  /** Whether even the fastest reader is half a ring behind: reading on would only push it out. Who fell out already counts no more. */
  function mustWait(): boolean {
    const fastest = [...seats].reduce((most, { number }) => Math.max(most, number), -1)
    return fastest >= ring.first && ring.bytesFrom(fastest) > ringBytes / 2
  }

  /** From the ring, until the reader has fallen out of it, or `true` at the end. */
  async function* readRing(place: { position: Position }, signal: AbortSignal): AsyncGenerator<Entry<Item>[], boolean, undefined> {
    const seat = { number: ring.numberAfter(place.position) }
    seats.add(seat)
    // A new reader may be the fastest.
    consumed.notify()
    try {
      while (seat.number >= ring.first) {
        const taken = ring.take(seat.number, takeCount, takeBytes)
        if (taken.length > 0) {
          seat.number += taken.length
          consumed.notify()
          const fresh = taken.filter(({ position, isGap }) => isGap || compareCursors(position, place.position) > 0)
          place.position = later(place.position, taken.at(-1)?.position)
          if (fresh.length > 0) yield fresh
        } else if (outcome?.failure) {
          throw outcome.failure
        } else if (outcome) {
          if (outcome.last) yield [outcome.last]
          return true
        } else {
          await changed.wait(signal)
          if (signal.aborted) return true
        }
      }
      return false
    } finally {
      seats.delete(seat)
      consumed.notify()
    }
  }

  return {
    ring,

    async push(entries, signal) {
      for (const entry of entries) ring.push(entry)
      changed.notify()
      while (mustWait() && !signal.aborted) await consumed.wait(signal)
    },

    finish(how) {
      outcome = how
      changed.notify()
    },

    reset(position) {
      ring.reset(position)
      changed.notify()
    },

    async *read(position, catchUp, signal) {
      const place = { position }
      const isBehind = () => compareCursors(place.position, ring.start) < 0
      while (!signal.aborted) {
        if (isBehind()) {
          let last: Entry<Item> | undefined
          for await (const entries of catchUp(place.position, signal)) {
            yield entries
            last = entries.at(-1) ?? last
            place.position = later(place.position, last?.position)
            if (last?.isLast) return
            if (!isBehind()) break
          }
          // A stream of its own that ended told all there is.
          if (isBehind()) return
        }
        const isOver = yield* readRing(place, signal)
        if (isOver) return
      }
    },
  }
}
