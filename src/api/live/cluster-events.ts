/*
 * Nodes and queue of the cluster, for any number of readers of a tenant.
 *
 * What is told are states, not changes, so that no reader has a buffer: a topic keeps the newest state of each node and of the queue with the number
 * of the change that made it, and a reader is the number that it has been told up to. One that is slow skips what was overtaken, and is never behind by
 * more than one state of each thing. A topic is opened by its first reader and closed a little after its last; its stream goes on over lost
 * connections (coordinator-client/stream.ts).
 */
import { isDeepStrictEqual } from 'node:util'
import { Failure } from '../../contract/failure.js'
import type { ClusterEvent__Output } from '../../generated/proto/scaimind/v1/ClusterEvent.js'
import type { ClusterNode__Output } from '../../generated/proto/scaimind/v1/ClusterNode.js'
import type { Queue__Output } from '../../generated/proto/scaimind/v1/Queue.js'
import type { OpenStream } from '../coordinator-client/stream.js'
import { type Live, liveStream } from './live-stream.js'
import { changeSignal } from './signal.js'

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
  /** Aborted when the reader's key stops working. */
  ended: AbortSignal
}

/** The cluster, live. */
export interface ClusterEvents {
  /** Every node as it is, then each as it changes. */
  followNodes(reading: ClusterReading): Live<ClusterState<ClusterNode__Output>>
  /** The queue as it is, then as it changes. */
  followQueue(reading: ClusterReading): Live<ClusterState<Queue__Output>>
  /** How many upstream streams are open. */
  topicCount(): number
  /** Ends all streams. */
  close(): void
}

interface Numbered<Value> extends ClusterState<Value> {
  number: number
}

interface Topic {
  nodes: Map<string, Numbered<ClusterNode__Output>>
  queue: Numbered<Queue__Output> | undefined
  failure: Failure | undefined
  changed: ReturnType<typeof changeSignal>
  stop: AbortController
  readers: number
  timer: NodeJS.Timeout | undefined
}

/** The cluster's states by tenant. A topic without readers stays open for `lingerMs`. */
export function clusterEvents({ openStream, lingerMs = 3000 }: { openStream: OpenStream; lingerMs?: number }): ClusterEvents {
  const topics = new Map<string, Topic>()
  const closing = new AbortController()

  async function pump(topic: Topic, { tenantId, requestId }: ClusterReading): Promise<void> {
    let number = 0
    try {
      const context = { tenantId, requestId: `hub_${requestId}` }
      const { signal } = topic.stop
      // The coordinator never ends it: one that does is asked again.
      const events = openStream({ method: 'StreamClusterEvents', request: {}, context, signal, isLast: () => false })
      for await (const event of events) if (note(topic, event, ++number)) topic.changed.notify()
    } catch (error) {
      topic.failure = error instanceof Failure ? error : new Failure('INTERNAL_ERROR', 'The stream broke.', { cause: error })
      if (topics.get(tenantId) === topic) topics.delete(tenantId)
      topic.changed.notify()
    }
  }

  function join(reading: ClusterReading): Topic {
    const { tenantId } = reading
    const known = topics.get(tenantId)
    const topic = known ?? {
      nodes: new Map(),
      queue: undefined,
      failure: undefined,
      changed: changeSignal(),
      stop: new AbortController(),
      readers: 0,
      timer: undefined,
    }
    topic.readers++
    clearTimeout(topic.timer)
    if (!known) {
      topics.set(tenantId, topic)
      void pump(topic, reading)
    }
    return topic
  }

  function leave(topic: Topic, tenantId: string): void {
    if (--topic.readers > 0) return
    topic.timer = setTimeout(() => {
      if (topics.get(tenantId) === topic) topics.delete(tenantId)
      topic.stop.abort()
    }, lingerMs)
    topic.timer.unref()
  }

  function follow<Value>(reading: ClusterReading, statesOf: (topic: Topic) => Iterable<Numbered<Value>>): Live<ClusterState<Value>> {
    async function* read(signal: AbortSignal): AsyncGenerator<ClusterState<Value>, void, undefined> {
      const topic = join(reading)
      let told = 0
      try {
        while (!signal.aborted) {
          const next = newerThan(told, statesOf(topic))
          if (next) {
            told = next.number
            yield { value: next.value, at: next.at }
          } else if (topic.failure) throw topic.failure
          else await topic.changed.wait(signal)
        }
      } finally {
        leave(topic, reading.tenantId)
      }
    }
    return liveStream(read, { ended: reading.ended, closing: closing.signal })
  }

  return {
    followNodes: (reading) => follow(reading, ({ nodes }) => nodes.values()),
    followQueue: (reading) => follow(reading, ({ queue }) => (queue ? [queue] : [])),
    topicCount: () => topics.size,
    close() {
      closing.abort()
      for (const { stop, timer } of topics.values()) {
        clearTimeout(timer)
        stop.abort()
      }
      topics.clear()
    },
  }
}

/** Keeps what an event tells; false where it is known. A coordinator that came back tells everything again. */
function note(topic: Topic, { node, queue }: ClusterEvent__Output, number: number): boolean {
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

/** The oldest of the states that are newer than what was told. */
function newerThan<Value>(told: number, states: Iterable<Numbered<Value>>): Numbered<Value> | undefined {
  let next: Numbered<Value> | undefined
  for (const state of states) if (state.number > told && (!next || state.number < next.number)) next = state
  return next
}
