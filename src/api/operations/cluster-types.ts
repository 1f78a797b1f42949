import type { Cluster__Output } from '../../generated/proto/scaimind/v1/Cluster.js'
import type { ClusterNode__Output } from '../../generated/proto/scaimind/v1/ClusterNode.js'
import type { Queue__Output } from '../../generated/proto/scaimind/v1/Queue.js'
import type { Caller } from '../auth/viewer.js'

/** An answer of the coordinator and how fresh it is. */
export interface Snapshot<Value> {
  value: Value
  syncedAt: Date
  /** True where the coordinator could not be reached and this is its last answer. */
  stale: boolean
}

/** The use cases of the cluster. All need `scaimind:view`, and throw COORDINATOR_UNAVAILABLE only where there is no earlier answer. */
export interface ClusterOperations {
  /** Totals over all nodes, and the tenant's jobs. */
  cluster(caller: Caller): Promise<Snapshot<Cluster__Output>>
  /** All nodes. */
  nodes(caller: Caller): Promise<Snapshot<ClusterNode__Output[]>>
  /** One node. Throws NODE_NOT_FOUND. */
  node(caller: Caller, nodeId: string): Promise<Snapshot<ClusterNode__Output>>
  /** What waits, in the order it would start; one queue's or all. */
  queue(caller: Caller, queue?: string | null): Promise<Snapshot<Queue__Output>>
}
