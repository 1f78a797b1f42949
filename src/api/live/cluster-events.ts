/*
 * Nodes and queue of the cluster, for any number of readers of a tenant.
 *
 * What is told are states, not changes, so that no reader has a buffer: a topic keeps the newest state of each node and of the queue with the number
 * of the change that made it, and a reader is the number that it has been told up to. One that is slow skips what was overtaken, and is never behind by
 * more than one state of each thing. A topic is opened by its first reader and closed a little after its last; its stream goes on over lost
 * connections (coordinator-client/stream.ts).
 */
import { isDeepStrictEqual } from 'node:util'
import type { ClusterEvent__Output } from '../../generated/proto/scaimind/v1/ClusterEvent.js'
import type { ClusterNode__Output } from '../../generated/proto/scaimind/v1/ClusterNode.js'
import type { Queue__Output } from '../../generated/proto/scaimind/v1/Queue.js'
import type { OpenStream } from '../coordinator-client/stream.js'
import type { StreamCounts } from './counts.js'
import { Feed, type Listener, type Outcome, type Reader } from './feed.js'

/** One thing of the cluster as it is. */
export interface ClusterState<Value> {
  value: Value
  /** When it was heard. */
  at: Date
}

/** What one reader wants. */
export interface ClusterReading {
  tenantId: string
  requestId: string
}

/** The cluster, live. */
export interface ClusterEvents {
  /** Every node as it is, then each as it changes. */
  followNodes(reading: ClusterReading): Feed<ClusterState<ClusterNode__Output>>
  /** The queue as it is, then as it changes. */
  followQueue(reading: ClusterReading): Feed<ClusterState<Queue__Output>>
  /** The topics that are open. */
  topics(): Iterable<{ readonly bytes: number }>
  /** Ends all upstreams. */
  close(): void
}

interface Numbered<Value> extends ClusterState<Value> {
  number: number
}

/** A tenant's view of the cluster. */
class ClusterTopic {
  readonly nodes = new Map<string, Numbered<ClusterNode__Output>>()
  queue: Numbered<Queue__Output> | undefined
  outcome: Outcome | undefined
  readonly stop = new AbortController()
  readonly readers = new Set<StateReader>()
  timer: NodeJS.Timeout | undefined
  /** It holds what is, not what was. */
  readonly bytes = 0

  wakeAll(): void {
    for (const { listener } of this.readers) listener.wake()
  }
}

/** A reader: the number that it has been told up to. */
class StateReader implements Reader {
  private told = 0

  constructor(
    private readonly topic: ClusterTopic,
    readonly listener: Listener,
    private readonly statesOf: (topic: ClusterTopic) => Iterable<Numbered<unknown>>,
    private readonly left: () => void,
  ) {
    topic.readers.add(this)
  }

  take(): object | undefined {
    const next = this.next()
    if (next) this.told = next.number
    return next
  }

  get outcome(): Outcome | undefined {
    return this.topic.outcome
  }

  waitedMs(now: number): number {
    const next = this.next()
    return next ? Math.max(0, now - next.at.getTime()) : 0
  }

  leave(): void {
    if (this.topic.readers.delete(this)) this.left()
  }

  /** The oldest of the states that are newer than what was told. */
  private next(): Numbered<unknown> | undefined {
    let next: Numbered<unknown> | undefined
    for (const state of this.statesOf(this.topic)) if (state.number > this.told && (!next || state.number < next.number)) next = state
    return next
  }
}

interface ClusterEventsOptions {
  openStream: OpenStream
  counts: StreamCounts
  lingerMs?: number
}

/** The cluster's states by tenant. A topic without readers stays open for `lingerMs`. */
export function clusterEvents({ openStream, counts, lingerMs = 3000 }: ClusterEventsOptions): ClusterEvents {
  const topics = new Map<string, ClusterTopic>()

  async function pump(topic: ClusterTopic, { tenantId, requestId }: ClusterReading): Promise<void> {
    let number = 0
    counts.upstreams.cluster++
    try {
      const context = { tenantId, requestId: `hub_${requestId}` }
      const { signal } = topic.stop
      // The coordinator never ends it: one that does is asked again.
      const events = openStream({ method: 'StreamClusterEvents', request: {}, context, signal, isLast: () => false })
      for await (const event of events) {
        counts.messagesIn.cluster++
        if (note(topic, event, ++number)) topic.wakeAll()
      }
    } catch (failure) {
      topic.outcome = { type: 'failed', failure }
      forget(tenantId, topic)
      topic.wakeAll()
    } finally {
      counts.upstreams.cluster--
    }
  }

  function forget(tenantId: string, topic: ClusterTopic): void {
    if (topics.get(tenantId) === topic) topics.delete(tenantId)
  }

  function topicFor(reading: ClusterReading): ClusterTopic {
    const { tenantId } = reading
    const known = topics.get(tenantId)
    if (known) {
      clearTimeout(known.timer)
      return known
    }
    const topic = new ClusterTopic()
    topics.set(tenantId, topic)
    void pump(topic, reading)
    return topic
  }

  function leave(topic: ClusterTopic, tenantId: string): void {
    if (topic.readers.size > 0) return
    topic.timer = setTimeout(() => {
      forget(tenantId, topic)
      topic.stop.abort()
    }, lingerMs)
    topic.timer.unref()
  }

  function follow<Value>(reading: ClusterReading, statesOf: (topic: ClusterTopic) => Iterable<Numbered<Value>>): Feed<ClusterState<Value>> {
    const open = (listener: Listener) => {
      const topic = topicFor(reading)
      return new StateReader(topic, listener, statesOf, () => leave(topic, reading.tenantId))
    }
    return new Feed(open, (taken) => taken as Numbered<Value>)
  }

  return {
    followNodes: (reading) => follow(reading, ({ nodes }) => nodes.values()),
    followQueue: (reading) => follow(reading, ({ queue }) => (queue ? [queue] : [])),
    topics: () => topics.values(),
    close() {
      for (const { stop, timer } of topics.values()) {
        clearTimeout(timer)
        stop.abort()
      }
      topics.clear()
    },
  }
}

/** Keeps what an event tells; false where it is known. A coordinator that came back tells everything again. */
function note(topic: ClusterTopic, { node, queue }: ClusterEvent__Output, number: number): boolean {
  const at = new Date()
  if (node) {
    if (isDeepStrictEqual(topic.nodes.get(node.node_id)?.value, node)) return false
    topic.nodes.set(node.node_id, { value: node, at, number })
  } else if (queue) {
    if (isDeepStrictEqual(topic.queue?.value, queue)) return false
    topic.queue = { value: queue, at, number }
  }
  return true
}
