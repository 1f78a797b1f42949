import type { Logger } from 'pino'
import { Failure } from '../../contract/failure.js'
import type { ClusterNode__Output } from '../../generated/proto/scaimind/v1/ClusterNode.js'
import type { Caller } from '../auth/viewer.js'
import { allow } from '../auth/who-may.js'
import type { ClusterSnapshots, SnapshotKind } from '../cache/cluster-snapshots.js'
import type { CoordinatorClient } from '../coordinator-client/index.js'
import type { ClusterOperations, Snapshot } from './cluster-types.js'
import { isUnreachable } from './unreachable.js'

/** What the use cases of the cluster work on. */
export interface ClusterParts {
  coordinator: CoordinatorClient
  snapshots: ClusterSnapshots
  log: Logger
}

// The last answer is for when the coordinator is away: it need not be written down each time.
const writeEveryMs = 2000
const rememberedMax = 10_000

/** The use cases of the cluster. The coordinator is asked each time; its last answer stands in while it is away. */
export function clusterOperations({
  coordinator,
  snapshots,
  log,
}: ClusterParts): Pick<ClusterOperations, 'cluster' | 'nodes' | 'node' | 'queue'> {
  const writtenAt = new Map<string, number>()

  async function ask<Value>(
    caller: Caller,
    kind: SnapshotKind,
    question: (context: Parameters<CoordinatorClient['call']>[2]) => Promise<Value>,
  ) {
    allow(caller.viewer, 'readCluster')
    const { tenantId, userId } = caller.viewer
    try {
      const value = await question({ tenantId, userId, requestId: caller.requestId })
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
      if (!node) throw new Failure('NODE_NOT_FOUND', `There is no node ${JSON.stringify(nodeId.slice(0, 64))}.`)
      return { ...rest, value: node }
    },

    async queue(caller, name) {
      const { value, ...rest } = await ask(caller, 'queue', (context) => coordinator.call('GetQueue', {}, context))
      if (!name) return { ...rest, value }
      const depths = value.depths.filter(({ queue }) => queue === name)
      const depth = depths.reduce((sum, { jobs }) => sum + jobs, 0)
      return { ...rest, value: { depth, depths, entries: value.entries.filter(({ queue }) => queue === name) } }
    },
  }
}
