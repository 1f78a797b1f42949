import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { clusterEvents as eventsOf } from '../../../src/api/live/cluster-events.js'
import { streamCounts } from '../../../src/api/live/counts.js'
import { type Feed, iterate } from '../../../src/api/live/feed.js'
import { Failure } from '../../../src/contract/failure.js'
import type { ClusterEvent__Output } from '../../../src/generated/proto/scaimind/v1/ClusterEvent.js'

/** An upstream that the test feeds, and how often it was opened. */
function upstream() {
  const state = { opened: 0, open: 0 }
  const waiting: ClusterEvent__Output[] = []
  let wake = () => {}
  async function* openStream({ signal }: { signal: AbortSignal }) {
    state.opened++
    state.open++
    signal.addEventListener('abort', () => wake())
    try {
      while (!signal.aborted) {
        const next = waiting.shift()
        if (next) yield next
        else await new Promise<void>((resolve) => (wake = resolve))
      }
    } finally {
      state.open--
    }
  }
  const tell = (event: object) => {
    waiting.push(event as ClusterEvent__Output)
    wake()
  }
  return { state, openStream: openStream as never, node: (node_id: string, reason = '') => tell({ node: { node_id, reason } }), tell }
}
const reading = { tenantId: 't', requestId: 'r' }
const never = new AbortController().signal
const read = <Message>(feed: Feed<Message>, signal = never) => iterate(feed, signal)
const clusterEvents = (options: { openStream: never; lingerMs?: number }) => eventsOf({ ...options, counts: streamCounts() })

it('a slow reader gets the newest state of each node, not every change', async () => {
  const { openStream, node } = upstream()
  const cluster = clusterEvents({ openStream })
  const [fast, slow] = [read(cluster.followNodes(reading)), read(cluster.followNodes(reading))]
  const seen: string[] = []
  const next = async (live: typeof fast) => {
    const { value } = await live.next()
    return `${value?.value.node_id} ${value?.value.reason}`
  }
  node('a', '1')
  expect([await next(fast), await next(slow)]).toEqual(['a 1', 'a 1'])
  for (const [id, reason] of [
    ['a', '2'],
    ['b', '1'],
    ['a', '3'],
  ] as const) {
    node(id, reason)
    seen.push(await next(fast))
  }
  expect(seen).toEqual(['a 2', 'b 1', 'a 3'])
  expect([await next(slow), await next(slow)]).toEqual(['b 1', 'a 3'])
  cluster.close()
})

it('what is told again as it was is told to nobody', async () => {
  const { openStream, node, tell } = upstream()
  const cluster = clusterEvents({ openStream })
  const nodes = read(cluster.followNodes(reading))
  const queue = read(cluster.followQueue(reading))
  node('a', '1')
  tell({ queue: { depth: 1 } })
  expect([(await nodes.next()).value?.value.reason, (await queue.next()).value?.value.depth]).toEqual(['1', 1])
  node('a', '1')
  tell({ queue: { depth: 1 } })
  node('a', '2')
  tell({ queue: { depth: 2 } })
  expect([(await nodes.next()).value?.value.reason, (await queue.next()).value?.value.depth]).toEqual(['2', 2])
  cluster.close()
})

it('readers of a tenant share one upstream, which ends a little after the last of them', async () => {
  const { openStream, state, node } = upstream()
  const cluster = clusterEvents({ openStream, lingerMs: 20 })
  const leave = new AbortController()
  const readers = [read(cluster.followNodes(reading), leave.signal), read(cluster.followNodes(reading), leave.signal)]
  node('a')
  for (const reader of readers) await reader.next()
  expect([state.opened, [...cluster.topics()].length]).toEqual([1, 1])
  const pending = readers.map((reader) => reader.next())
  leave.abort()
  await Promise.all(pending)
  for (let tries = 0; state.open > 0 && tries < 100; tries++) await sleep(10)
  expect([state.open, [...cluster.topics()].length]).toEqual([0, 0])
})

it('a stream ends with the failure of its upstream', async () => {
  const failing = clusterEvents({
    // biome-ignore lint/correctness/useYield: it fails before its first message
    openStream: async function* () {
      throw new Failure('NOT_IMPLEMENTED', 'no such method')
    } as never,
  })
  await expect(read(failing.followQueue(reading)).next()).rejects.toMatchObject({ code: 'NOT_IMPLEMENTED' })
  expect([...failing.topics()].length).toBe(0)
})
