import { type Delivery, type DeliveryWatch, FeedDelivery, type Sink, type Source } from './delivery.js'

/** All streams that this process tells its readers. */
export interface Deliveries {
  /** Begins to bring a reader what there is. */
  begin<Payload>(source: Source<Payload>, sink: Sink<Payload>): Delivery
  /** Tells every reader to go on elsewhere; nothing begins after. */
  close(): void
  /** Messages that were written so far, over all readers. */
  messagesOut(): number
  readers(): number
  /** How many seconds the reader furthest behind has waited for a message that is there. */
  lagSeconds(): number
  /** Bytes that were written and not sent yet. */
  bytesWaiting(): number
  /** Readers that were closed because they took nothing. */
  givenUp(): number
}

const lookEveryMs = 1000

/** Watches over all deliveries: a reader that takes nothing for `slowMs` is told less, where its stream allows that, and for `stuckMs` is closed. */
export function deliveries({ slowMs, stuckMs }: { slowMs: number; stuckMs: number }): Deliveries {
  const open = new Set<Delivery>()
  const stalledSince = new Map<Delivery, number>()
  let messages = 0
  let givenUp = 0
  let isClosed = false

  const watch: DeliveryWatch = {
    stalled(delivery) {
      stalledSince.set(delivery, performance.now())
    },
    resumed: (delivery) => stalledSince.delete(delivery),
    ended(delivery) {
      open.delete(delivery)
      stalledSince.delete(delivery)
    },
    written() {
      messages++
    },
  }

  const timer = setInterval(() => {
    const since = performance.now() - stuckMs
    for (const [delivery, at] of stalledSince) {
      if (at > since) break
      givenUp++
      delivery.giveUp()
    }
  }, lookEveryMs)
  timer.unref()

  return {
    begin(source, sink) {
      const delivery = new FeedDelivery(source, sink, watch, slowMs)
      open.add(delivery)
      if (isClosed) delivery.finish({ type: 'closing' })
      else delivery.wake()
      return delivery
    },
    close() {
      isClosed = true
      clearInterval(timer)
      for (const delivery of open) delivery.finish({ type: 'closing' })
    },
    messagesOut: () => messages,
    readers: () => open.size,
    lagSeconds() {
      const now = Date.now()
      let longest = 0
      for (const delivery of open) longest = Math.max(longest, delivery.waitedMs(now))
      return longest / 1000
    },
    bytesWaiting() {
      let bytes = 0
      for (const delivery of open) bytes += delivery.bytesWaiting()
      return bytes
    },
    givenUp: () => givenUp,
  }
}
