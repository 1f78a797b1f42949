import { expect, it } from 'vitest'
import { deliveries } from '../../../src/api/delivery/deliveries.js'
import type { DeliveryOutcome, Sink, Source } from '../../../src/api/delivery/delivery.js'
import { type Made, sharings } from '../../../src/api/delivery/shared.js'
import { Feed } from '../../../src/api/live/feed.js'
import { beginning } from '../../../src/api/live/ring.js'
import { Topic } from '../../../src/api/live/topic.js'

/** A topic of numbered messages, and readers of it for whom payloads are made as `make` says. */
function stage() {
  const told = deliveries({ slowMs: 1000, stuckMs: 60_000 })
  const topic = new Topic<{ number: number }>({
    start: beginning,
    ringBytes: 1000,
    kind: { history: () => Promise.reject(new Error('not here')) as never, slice: ({ message }) => message },
    lingerMs: 10,
    onUnread() {},
  })
  let from = beginning
  return {
    told,
    push(number: number) {
      const to = { attempt: 1, sequence: number }
      topic.push({ from, to, bytes: 1, message: { number }, at: 0 })
      from = to
    },
    read(make: (message: { number: number }) => Made<string>) {
      const written: string[] = []
      const ends: DeliveryOutcome[] = []
      let left = 0
      const sharing = sharings<string>()('all')
      const source: Source<string> = {
        feed: new Feed(
          (listener) => topic.join(topic.ring.head, listener),
          (taken) => taken,
        ),
        payloadOf: (taken) => sharing.payloadOf(taken, { make: make as (taken: object) => Made<string> }),
        left: () => left++,
      }
      const sink: Sink<string> = {
        write: (payload) => written.push(payload) > 0,
        end: (outcome) => ends.push(outcome),
        giveUp() {},
        bytesWaiting: () => 0,
      }
      told.begin(source, sink)
      return { written, ends, left: () => left }
    },
  }
}

it.each([
  [
    'cannot be made',
    () => () => {
      throw new Error('a fault')
    },
  ],
  [
    'cannot be made in the end',
    () => async () => {
      throw new Error('a fault')
    },
  ],
])('a payload that %s ends the stream of its reader, and nobody else notices', async (_name, faulty) => {
  const { told, push, read } = stage()
  const broken = read(faulty() as never)
  const well = read(({ number }) => `${number}`)
  push(1)
  push(2)
  await new Promise((done) => setTimeout(done, 10))
  expect(well.written).toEqual(['1', '2'])
  expect(broken.ends).toMatchObject([{ type: 'failed', failure: { message: 'a fault' } }])
  expect(broken.left()).toBe(1)
  expect(told.readers()).toBe(1)
  told.close()
})
