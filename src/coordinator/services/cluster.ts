import type { GetClusterRequest__Output } from '../../generated/proto/scaimind/v1/GetClusterRequest.js'
import type { GetNodeRequest__Output } from '../../generated/proto/scaimind/v1/GetNodeRequest.js'
import type { GetQueueRequest__Output } from '../../generated/proto/scaimind/v1/GetQueueRequest.js'
import type { ListNodesRequest__Output } from '../../generated/proto/scaimind/v1/ListNodesRequest.js'
import type { ClusterView } from '../jobs/cluster.js'
import { forAllTenants, type Methods, unary } from './handlers.js'

/** `ClusterService`, its reads. */
export function clusterMethods(cluster: ClusterView): Methods {
  return {
    GetCluster: unary((_: GetClusterRequest__Output, { tenantId }) => cluster.cluster(tenantId), forAllTenants),
    ListNodes: unary(async (_: ListNodesRequest__Output, { tenantId }) => ({ nodes: await cluster.nodes(tenantId) }), forAllTenants),
    GetNode: unary(({ node_id: id }: GetNodeRequest__Output, { tenantId }) => cluster.node(tenantId, id), forAllTenants),
    GetQueue: unary(({ queue }: GetQueueRequest__Output, { tenantId }) => cluster.queue(tenantId, queue), forAllTenants),
  }
}
