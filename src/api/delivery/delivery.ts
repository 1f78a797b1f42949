import type { Feed, Listener, Outcome, Reader } from '../live/feed.js'
import type { Made } from './shared.js'

/** What a delivery brings. */
export interface Source<Payload> {
  feed: Feed<unknown>
  /** What goes out for a thing that was taken. */
  payloadOf(taken: object): Made<Payload>
  /** The delivery has ended. */
  left(): void
}

/** Where a reader's messages go: one stream of a connection. */
export interface Sink<Payload> {
  /** Takes a payload in any case; false where none should follow before `drained` is called. */
  write(payload: Payload): boolean
  /** The stream ends. Nothing is written after. */
  end(outcome: DeliveryOutcome): void
  /** The reader took nothing for too long: what there is of a connection is closed. Nothing is written after. */
  giveUp(): void
  /** Bytes that wait to be sent. */
  bytesWaiting(): number
}

/** How a delivery ended: as the stream did, or because this process stops and the reader should go on elsewhere. */
export type DeliveryOutcome = Outcome | { type: 'closing' }

/** What is told of deliveries as they go. */
export interface DeliveryWatch {
  /** A reader that was full takes nothing until `resumed`. */
  stalled(delivery: Delivery): void
  resumed(delivery: Delivery): void
  ended(delivery: Delivery): void
  written(): void
}

/** One delivery, as those see it who watch over all of them. */
export interface Delivery extends Listener {
  /** The connection has room again. */
  drained(): void
  /** Ends it as if the stream had ended so. */
  finish(outcome: DeliveryOutcome): void
  /** Closes the connection of a reader who took nothing for too long. */
  giveUp(): void
  /** Leaves without a word: the reader has gone. */
  stop(): void
  waitedMs(now: number): number
  bytesWaiting(): number
}

/**
 * Brings one reader of a feed what there is, as fast as the connection takes it: no message is asked for before the one before has found room, so that
 * nothing piles up here.
 */
export class FeedDelivery<Payload> implements Delivery {
  private readonly reader: Reader
  private waitsFor: 'nothing' | 'room' | 'payload' | 'end' = 'nothing'
  private isLate = false
  private fullSince = 0
  private isRunning = false

  constructor(
    private readonly source: Source<Payload>,
    private readonly sink: Sink<Payload>,
    private readonly watch: DeliveryWatch,
    /** A connection says that it is full of one large message, and that it has room a moment later: who is slow takes longer. */
    private readonly slowMs: number,
  ) {
    this.reader = source.feed.open(this)
  }

  wake(): void {
    if (this.waitsFor !== 'nothing' || this.isRunning) return
    this.isRunning = true
    try {
      this.run()
    } catch (failure) {
      // It is a fault of this reader's: who woke it goes on with the others.
      this.finish({ type: 'failed', failure })
    } finally {
      this.isRunning = false
    }
  }

  drained(): void {
    if (this.waitsFor !== 'room') return
    this.waitsFor = 'nothing'
    // Once late, a reader is late until it has taken everything.
    if (performance.now() - this.fullSince >= this.slowMs) this.isLate = true
    this.watch.resumed(this)
    this.wake()
  }

  finish(outcome: DeliveryOutcome): void {
    if (this.waitsFor === 'end') return
    this.stop()
    this.sink.end(outcome)
  }

  giveUp(): void {
    if (this.waitsFor === 'end') return
    this.stop()
    this.sink.giveUp()
  }

  stop(): void {
    if (this.waitsFor === 'end') return
    this.waitsFor = 'end'
    this.reader.leave()
    this.watch.ended(this)
    this.source.left()
  }

  waitedMs(now: number): number {
    return this.reader.waitedMs(now)
  }

  bytesWaiting(): number {
    return this.sink.bytesWaiting()
  }

  private run(): void {
    while (this.waitsFor === 'nothing') {
      const taken = this.reader.take(this.isLate)
      if (!taken) {
        this.isLate = false
        const { outcome } = this.reader
        if (outcome) this.finish(outcome)
        return
      }
      const payload = this.source.payloadOf(taken)
      if (payload instanceof Promise) this.wait(payload)
      else this.write(payload)
    }
  }

  private wait(payload: Promise<Payload | null>): void {
    this.waitsFor = 'payload'
    const goOn = (made: Payload | null) => {
      if (this.waitsFor !== 'payload') return
      this.waitsFor = 'nothing'
      this.write(made)
      this.wake()
    }
    payload.then(goOn).catch((failure: unknown) => this.finish({ type: 'failed', failure }))
  }

  private write(payload: Payload | null): void {
    if (payload === null) return
    this.watch.written()
    if (this.sink.write(payload) || this.waitsFor !== 'nothing') return
    this.waitsFor = 'room'
    this.fullSince = performance.now()
    this.watch.stalled(this)
  }
}
