import type { Cluster__Output } from '../../generated/proto/scaimind/v1/Cluster.js'
import type { ClusterNode__Output } from '../../generated/proto/scaimind/v1/ClusterNode.js'
import type { DrainForecast__Output } from '../../generated/proto/scaimind/v1/DrainForecast.js'
import type { Queue__Output } from '../../generated/proto/scaimind/v1/Queue.js'
import type { Caller } from '../auth/viewer.js'
import type { Feed } from '../live/feed.js'

/** An answer of the coordinator and how fresh it is. */
export interface Snapshot<Value> {
  value: Value
  syncedAt: Date
  /** True where the coordinator could not be reached and this is its last answer. */
  stale: boolean
}

/** The answer to draining a node, or in a dry run what it would mean. */
export interface Drained {
  node: ClusterNode__Output
  /** Null unless it was a dry run. */
  forecast: DrainForecast__Output | null
}

/** The use cases of the cluster. Reads throw COORDINATOR_UNAVAILABLE only where there is no earlier answer. */
export interface ClusterOperations {
  /** Totals over all nodes, and the tenant's jobs. */
  cluster(caller: Caller): Promise<Snapshot<Cluster__Output>>
  /** All nodes. */
  nodes(caller: Caller): Promise<Snapshot<ClusterNode__Output[]>>
  /** One node. Throws NODE_NOT_FOUND. */
  node(caller: Caller, nodeId: string): Promise<Snapshot<ClusterNode__Output>>
  /** What waits, in the order it would start; one queue's or all. */
  queue(caller: Caller, queue?: string | null): Promise<Snapshot<Queue__Output>>
  /** No new work on the node; what runs finishes, unless it is evicted. With `dryRun` nothing changes. Throws NODE_NOT_FOUND, InvalidInput. Repeating it is fine. */
  drain(
    caller: Caller,
    nodeId: string,
    options?: { reason?: string | null; deadlineSeconds?: number | null; evict?: boolean | null; dryRun?: boolean | null },
  ): Promise<Drained>
  /** The node takes work again. Throws NODE_NOT_FOUND. Repeating it is fine. */
  enable(caller: Caller, nodeId: string): Promise<ClusterNode__Output>
  /** Every node as it is, then each as it changes. Never ends by itself. */
  followNodes(caller: Caller): Promise<Feed<Snapshot<ClusterNode__Output>>>
  /** The queue as it is, then as it changes. Never ends by itself. */
  followQueue(caller: Caller): Promise<Feed<Snapshot<Queue__Output>>>
}
