import { compareCursors } from '../../contract/cursor.js'
import type { Listener, Outcome, Reader } from './feed.js'
import { type Chunk, isBefore, type Position, Ring } from './ring.js'

/** What a topic knows of its messages. */
export interface TopicKind<Message extends object> {
  /**
   * Opens an upstream of a reader's own after a place, for what lies before the ring, until `until` or further. It ends where nothing follows at all, or
   * answers the place up to which it told everything.
   */
  history?(after: Position, until: Position, signal: AbortSignal): AsyncGenerator<Chunk<Message>, Position | undefined, undefined>
  /** Instead: another topic of the same messages, in whose ring a reader finds what follows a place. */
  another?(place: Position): Topic<Message>
  /** The part of a chunk after a place within it; null where there is none. */
  slice(chunk: Chunk<Message>, after: Position): Message | null
  /** Whether what comes is news, which a reader that was held up may be told less of; not for what is read from a history. */
  isNews?(newest: Chunk<Message>): boolean
  /** Makes one message of what waits for a reader that was held up, and says how many chunks are in it. Without it such a reader gets them one by one. */
  condense?(chunks: Chunk<Message>[], after: Position): { message: Message; count: number }
  /** Says that a reader that was held up misses what lies between two places. Without it such a reader reads it from the history. */
  missed?(from: Position, to: Position): Message
}

/** How a topic begins and ends. */
interface TopicOptions<Message extends object> {
  /** The ring begins after it. */
  start: Position
  /** Bytes of the ring. */
  ringBytes: number
  kind: TopicKind<Message>
  /** How long it stays open without readers. */
  lingerMs: number
  /** Nobody reads it any more. */
  onUnread(): void
}

/** One upstream that many read: the ring of what it told lately, its readers, and how it ended. */
export class Topic<Message extends object> {
  readonly ring: Ring<Message>
  readonly readers = new Set<TopicReader<Message>>()
  outcome: Outcome | undefined
  /** The final message, which no ring evicts. */
  last: Chunk<Message> | undefined
  /** The topic of the same records that goes on where this one ends, for a reader at a place. */
  next: ((place: Position) => Topic<Message>) | undefined
  readonly kind: TopicKind<Message>
  private readonly options: TopicOptions<Message>
  private roomFor: (() => void) | undefined
  private lingering: NodeJS.Timeout | undefined

  constructor(options: TopicOptions<Message>) {
    this.options = options
    this.kind = options.kind
    this.ring = new Ring(options.start, options.ringBytes)
  }

  /** Bytes of recent messages that it holds, roughly. */
  get bytes(): number {
    return this.ring.bytes
  }

  /** Begins to read after a place. */
  join(place: Position, listener: Listener): Reader {
    const reader = new TopicReader(this, place, listener)
    this.add(reader)
    reader.enter()
    return reader
  }

  add(reader: TopicReader<Message>): void {
    clearTimeout(this.lingering)
    this.readers.add(reader)
    // A new reader may be the fastest.
    this.taken()
  }

  remove(reader: TopicReader<Message>): void {
    if (!this.readers.delete(reader)) return
    this.taken()
    if (this.readers.size > 0) return
    this.lingering = setTimeout(this.options.onUnread, this.options.lingerMs)
    this.lingering.unref()
  }

  /** Whether its newest message is news. */
  tellsNews(): boolean {
    const { newest } = this.ring
    return newest !== undefined && (this.kind.isNews?.(newest) ?? false)
  }

  /** Appends what the upstream told, and tells the readers. */
  push(chunk: Chunk<Message>): void {
    this.ring.push(chunk)
    this.wakeAll()
  }

  /** Resolves when the fastest reader has room for more, or when told so after the signal aborted. Who fell out of the ring counts no more; without readers there is room. */
  async room(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.isFull()) {
      await new Promise<void>((resolve) => {
        this.roomFor = resolve
      })
      this.roomFor = undefined
    }
  }

  /** A reader took something or left, or nothing more is wanted. */
  taken(): void {
    this.roomFor?.()
  }

  /** Nothing follows; a failure is told to every reader. */
  finish(outcome: Outcome, last?: Chunk<Message>): void {
    this.outcome = outcome
    this.last = last
    this.wakeAll()
  }

  /** Ends here; readers go over to another topic of the same records when they have come so far, which may be after that one has closed, too. */
  continueIn(next: (place: Position) => Topic<Message>): void {
    this.next = next
    this.wakeAll()
  }

  /** Forgets the ring; readers go on after their own places. */
  reset(start: Position): void {
    this.ring.reset(start)
    this.wakeAll()
  }

  wakeAll(): void {
    for (const reader of this.readers) reader.wake()
  }

  private isFull(): boolean {
    if (this.ring.bytes * 2 <= this.options.ringBytes) return false
    let fastest = -1
    for (const { number } of this.readers) if (number > fastest) fastest = number
    return fastest >= this.ring.first && this.ring.isHalfFullFrom(fastest)
  }
}

/** A reader of a topic: a number in the ring or, while it is behind it, an upstream of its own. */
export class TopicReader<Message extends object> implements Reader {
  /** Of the next chunk in the ring; -1 while it is behind. */
  number = -1
  outcome: Outcome | undefined
  private catchingUp: AbortController | undefined
  private pending: Chunk<Message> | undefined
  private pendingTaken: (() => void) | undefined
  private hasLeft = false

  constructor(
    private topic: Topic<Message>,
    private place: Position,
    private readonly listener: Listener,
  ) {}

  take(isLate = false): object | undefined {
    for (;;) {
      if (this.catchingUp) return this.takeOwn()
      if (this.outcome || this.hasLeft) return undefined
      const { ring } = this.topic
      const mayMiss = isLate && this.topic.tellsNews()
      if (this.number < ring.first) {
        const missed = mayMiss && this.topic.kind.missed?.(this.place, ring.start)
        if (!missed) this.enter()
        else {
          this.place = ring.start
          this.number = ring.first
          return missed
        }
      } else if (mayMiss && this.topic.kind.condense && ring.next - this.number > 1) return this.takeCondensed()
      else {
        const chunk = ring.at(this.number)
        if (!chunk) {
          if (!this.topic.next) return this.takeLast()
          this.moveTo(this.topic.next(this.place))
          continue
        }
        this.number++
        this.topic.taken()
        const message = this.messageOf(chunk)
        if (message) return message
      }
    }
  }

  waitedMs(now: number): number {
    const { ring } = this.topic
    const next = this.catchingUp ? this.pending : ring.at(Math.max(this.number, ring.first))
    return next ? Math.max(0, now - next.at) : 0
  }

  leave(): void {
    if (this.hasLeft) return
    this.hasLeft = true
    this.catchingUp?.abort()
    this.pendingTaken?.()
    this.topic.remove(this)
  }

  /** There may be more in the ring. */
  wake(): void {
    if (!this.catchingUp) this.listener.wake()
  }

  /** Takes its seat in the ring, or begins to catch up with it. */
  enter(): void {
    const { ring, kind } = this.topic
    if (!isBefore(this.place, ring.start)) this.number = ring.numberAfter(this.place)
    else if (kind.another) this.moveTo(kind.another(this.place))
    else {
      // Who is behind the ring does not hold it up.
      this.number = -1
      void this.catchUp()
    }
  }

  private moveTo(next: Topic<Message>): void {
    this.topic.remove(this)
    this.topic = next
    next.add(this)
    this.enter()
  }

  /** What is in a chunk for this reader. */
  private messageOf(chunk: Chunk<Message>): Message | null {
    const { place } = this
    const isWhole = !isBefore(chunk.from, place)
    const beyond = compareCursors(chunk.to, place)
    // A reader's first cursor may lie beyond what the topic has told by then.
    if (beyond < 0 || (beyond === 0 && !isWhole)) return null
    this.place = chunk.to
    return isWhole ? chunk.message : this.topic.kind.slice(chunk, place)
  }

  private takeCondensed(): object | undefined {
    const { ring, kind } = this.topic
    const waiting: Chunk<Message>[] = []
    for (let number = this.number; number < ring.next; number++) {
      const chunk = ring.at(number)
      if (chunk && isBefore(this.place, chunk.to)) waiting.push(chunk)
    }
    const condensed = waiting.length > 1 ? kind.condense?.(waiting, this.place) : undefined
    const last = condensed && waiting[condensed.count - 1]
    if (!condensed || !last) {
      const chunk = ring.at(this.number++)
      this.topic.taken()
      return chunk ? (this.messageOf(chunk) ?? this.take()) : undefined
    }
    this.place = last.to
    this.number = ring.numberAfter(last.to)
    this.topic.taken()
    return condensed.message
  }

  private takeLast(): object | undefined {
    const { outcome, last } = this.topic
    if (outcome) this.outcome = outcome
    return outcome && last?.message
  }

  private takeOwn(): object | undefined {
    const chunk = this.pending
    if (!chunk) return undefined
    this.pending = undefined
    this.place = chunk.to
    if (chunk.isLast) this.finish({ type: 'over' })
    this.pendingTaken?.()
    return chunk.message
  }

  private finish(outcome: Outcome): void {
    this.outcome = outcome
    this.catchingUp?.abort()
    this.catchingUp = undefined
  }

  /** Reads an upstream of its own, as fast as it takes, until it stands in the ring. */
  private async catchUp(): Promise<void> {
    const stop = new AbortController()
    this.catchingUp = stop
    try {
      while (!this.hasLeft && !this.outcome && isBefore(this.place, this.topic.ring.start)) {
        const history = this.topic.kind.history?.(this.place, this.topic.ring.start, stop.signal)
        if (!history) throw new Error('This topic has neither a history nor another topic for who is behind it.')
        let result = await history.next()
        while (!result.done && !this.hasLeft) {
          this.pending = result.value
          const taken = new Promise<void>((resolve) => {
            this.pendingTaken = resolve
          })
          this.listener.wake()
          await taken
          if (this.outcome || this.hasLeft || !isBefore(this.place, this.topic.ring.start)) break
          result = await history.next()
        }
        if (!result.done) await history.return(undefined)
        else if (result.value) this.place = result.value
        else if (!this.outcome) this.finish({ type: 'over' })
      }
    } catch (failure) {
      this.finish({ type: 'failed', failure })
    }
    // Of a history that is read ahead, the end is not waited for.
    stop.abort()
    this.pendingTaken = undefined
    if (this.hasLeft) return
    if (!this.outcome) {
      this.catchingUp = undefined
      this.number = this.topic.ring.numberAfter(this.place)
      this.topic.taken()
    }
    this.listener.wake()
  }
}
