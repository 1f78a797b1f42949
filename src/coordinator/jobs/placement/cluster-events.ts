import { formatCursor, parseCursor } from '../../../contract/cursor.js'
import { fromTimestamp, toTimestamp } from '../../../contract/proto.js'
import type { ClusterEvent__Output } from '../../../generated/proto/scaimind/v1/ClusterEvent.js'
import type { ClusterNode__Output } from '../../../generated/proto/scaimind/v1/ClusterNode.js'
import type { Queue__Output } from '../../../generated/proto/scaimind/v1/Queue.js'
import { newBell } from '../../journal/bell.js'
import type { JobChanges } from '../records/changes.js'
import type { ClusterView } from './cluster.js'

/** A look where nothing was announced: machines come and go without a word. */
const lookMs = 1000
/** Changes come in bursts; what comes within the time is told together. */
const quietMs = 50

/** What follows the cluster. */
export interface ClusterEventsOptions {
  cluster: ClusterView
  changes: JobChanges
  /** Calls back when nodes have changed; answers how to stop that. */
  onNodes(listener: () => void): () => void
  clock: () => Date
}

/**
 * The states of nodes and queue: all of them when a stream begins, then each as it changes, as the tenant may see them. States lose nothing to who missed
 * some, so that a stream after a cursor begins with all of it, too. What only moves all the time (memory in use, times of life) is told along with a change,
 * but is none.
 */
export function clusterEvents({ cluster, changes, onNodes, clock }: ClusterEventsOptions) {
  const life = clock().getTime()
  let sequence = 0

  return {
    /** Ends with the signal. Throws CURSOR_INVALID before the first. */
    async *follow({
      tenantId,
      after,
      signal,
    }: {
      tenantId: string
      after: string
      signal: AbortSignal
    }): AsyncGenerator<ClusterEvent__Output> {
      if (after) parseCursor(after, 'cluster', tenantId)
      const bell = newBell()
      const ring = () => bell.ring()
      const stops = [changes.listen('*', ({ weighty }) => weighty && ring()), onNodes(ring)]
      signal.addEventListener('abort', ring, { once: true })
      const told = new Map<string, string>()
      try {
        while (!signal.aborted) {
          for (const event of await look(tenantId, told)) yield event
          if (signal.aborted) return
          await bell.heard(lookMs)
          await new Promise((done) => setTimeout(done, quietMs))
        }
      } finally {
        for (const stop of stops) stop()
        signal.removeEventListener('abort', ring)
      }
    },
  }

  async function look(tenantId: string, told: Map<string, string>): Promise<ClusterEvent__Output[]> {
    const [nodes, queue] = await Promise.all([cluster.nodes(tenantId), cluster.queue(tenantId, '')])
    const events: ClusterEvent__Output[] = []
    const tell = (key: string, state: string, event: Pick<ClusterEvent__Output, 'node' | 'queue' | 'event'>) => {
      if (told.get(key) === state) return
      told.set(key, state)
      const cursor = formatCursor({ kind: 'cluster', topic: tenantId, attempt: life, sequence: sequence++ })
      events.push({ cursor, time: toTimestamp(clock()), ...event })
    }
    for (const node of nodes) tell(`node ${node.node_id}`, stateOfNode(node), { event: 'node', node })
    tell('queue', stateOfQueue(queue), { event: 'queue', queue })
    return events
  }
}

/** What makes a node another: not the time of its life, nor what its GPUs do just now. */
function stateOfNode({ last_heartbeat: _, gpus, ...node }: ClusterNode__Output): string {
  const lasting = gpus.map(({ utilization: __, memory_used_bytes: ___, power_watts: ____, temperature_celsius: _____, ...gpu }) => gpu)
  return JSON.stringify([node, lasting])
}

/** What makes a queue another: estimates move with every step of a running job, so that only a minute counts. */
function stateOfQueue({ entries, ...queue }: Queue__Output): string {
  const minute = (entry: (typeof entries)[number]) => Math.round((fromTimestamp(entry.estimated_start)?.getTime() ?? 0) / 60_000)
  return JSON.stringify([queue, entries.map((entry) => ({ ...entry, estimated_start: minute(entry) }))])
}
