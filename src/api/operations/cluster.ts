import type { Logger } from 'pino'
import { z } from 'zod'
import { Failure } from '../../contract/failure.js'
import type { ClusterNode__Output } from '../../generated/proto/scaimind/v1/ClusterNode.js'
import type { Caller } from '../auth/viewer.js'
import { allow } from '../auth/who-may.js'
import type { ClusterSnapshots, SnapshotKind } from '../cache/cluster-snapshots.js'
import type { CoordinatorClient } from '../coordinator-client/index.js'
import type { ClusterEvents, ClusterReading, ClusterState } from '../live/cluster-events.js'
import { mapFeed } from '../live/feed.js'
import type { ClusterOperations, Snapshot } from './cluster-types.js'
import { parseInput } from './parse.js'
import { isUnreachable } from './unreachable.js'

/** What the use cases of the cluster work on. */
export interface ClusterParts {
  coordinator: CoordinatorClient
  snapshots: ClusterSnapshots
  clusterEvents: ClusterEvents
  log: Logger
}

const drainSchema = z.object({
  reason: z
    .string()
    .regex(/^\P{Cc}{0,500}$/u, 'A reason has at most 500 characters, none of them a control character')
    .default(''),
  deadline_seconds: z.number().int().min(0).max(4_294_967_295).default(0),
  evict: z.boolean().default(false),
})

// The last answer is for when the coordinator is away: it need not be written down each time.
const writeEveryMs = 2000
const rememberedMax = 10_000

/** The use cases of the cluster. The coordinator is asked each time; its last answer stands in while it is away. */
export function clusterOperations({ coordinator, snapshots, clusterEvents, log }: ClusterParts): ClusterOperations {
  const writtenAt = new Map<string, number>()
  const contextOf = ({ viewer, requestId }: Caller) => ({ tenantId: viewer.tenantId, userId: viewer.userId, requestId })

  async function ask<Value>(
    caller: Caller,
    kind: SnapshotKind,
    question: (context: Parameters<CoordinatorClient['call']>[2]) => Promise<Value>,
  ) {
    allow(caller.viewer, 'readCluster')
    const { tenantId } = caller.viewer
    try {
      const value = await question(contextOf(caller))
      const syncedAt = new Date()
      remember(tenantId, kind, value, syncedAt)
      return { value, syncedAt, stale: false }
    } catch (failure) {
      if (!isUnreachable(failure)) throw failure
      const last = await snapshots.read(tenantId, kind)
      if (!last) throw failure
      return { value: last.value as Value, syncedAt: last.syncedAt, stale: true }
    }
  }

  function remember(tenantId: string, kind: SnapshotKind, value: unknown, at: Date): void {
    const key = `${kind}/${tenantId}`
    if (at.getTime() - (writtenAt.get(key) ?? 0) < writeEveryMs) return
    if (writtenAt.size > rememberedMax) writtenAt.clear()
    writtenAt.set(key, at.getTime())
    snapshots.write(tenantId, kind, value, at).catch((error: unknown) => log.debug({ err: error }, 'could not keep the answer'))
  }

  const nodes = (caller: Caller): Promise<Snapshot<ClusterNode__Output[]>> =>
    ask(caller, 'nodes', async (context) => (await coordinator.call('ListNodes', {}, context)).nodes)

  return {
    cluster: (caller) => ask(caller, 'cluster', (context) => coordinator.call('GetCluster', {}, context)),
    nodes,

    async node(caller, nodeId) {
      const { value, ...rest } = await nodes(caller)
      const node = value.find(({ node_id }) => node_id === nodeId)
      if (!node) throw noNode(nodeId)
      return { ...rest, value: node }
    },

    async queue(caller, name) {
      const { value, ...rest } = await ask(caller, 'queue', (context) => coordinator.call('GetQueue', {}, context))
      if (!name) return { ...rest, value }
      const depths = value.depths.filter(({ queue }) => queue === name)
      const depth = depths.reduce((sum, { jobs }) => sum + jobs, 0)
      return { ...rest, value: { depth, depths, entries: value.entries.filter(({ queue }) => queue === name) } }
    },

    async drain(caller, nodeId, { reason, deadlineSeconds, evict, dryRun } = {}) {
      allow(caller.viewer, 'controlNodes')
      const options = parseInput(drainSchema, { reason, deadline_seconds: deadlineSeconds, evict })
      const node_id = checked(nodeId)
      if (!dryRun) return { node: await coordinator.call('DrainNode', { node_id, ...options }, contextOf(caller)), forecast: null }
      const forecast = await coordinator.call('ForecastDrain', { node_id }, contextOf(caller))
      if (!forecast.node) throw noNode(nodeId)
      return { node: forecast.node, forecast }
    },

    async enable(caller, nodeId) {
      allow(caller.viewer, 'controlNodes')
      return coordinator.call('EnableNode', { node_id: checked(nodeId) }, contextOf(caller))
    },

    async followNodes(caller) {
      allow(caller.viewer, 'readCluster')
      return mapFeed(clusterEvents.followNodes(readingOf(caller)), snapshotOf)
    },

    async followQueue(caller) {
      allow(caller.viewer, 'readCluster')
      return mapFeed(clusterEvents.followQueue(readingOf(caller)), snapshotOf)
    },
  }
}

const readingOf = ({ viewer: { tenantId }, requestId }: Caller): ClusterReading => ({ tenantId, requestId })
const snapshotOf = <Value>({ value, at }: ClusterState<Value>): Snapshot<Value> => ({ value, syncedAt: at, stale: false })
const noNode = (nodeId: string) => new Failure('NODE_NOT_FOUND', `There is no node ${JSON.stringify(nodeId.slice(0, 64))}.`)

/** An id that cannot exist is answered like one that does not; whether this one does, only the coordinator knows. */
function checked(nodeId: string): string {
  if (/^[\x21-\x7e]{1,255}$/.test(nodeId)) return nodeId
  throw noNode(nodeId)
}
