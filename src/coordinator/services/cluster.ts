import type { DrainNodeRequest__Output } from '../../generated/proto/scaimind/v1/DrainNodeRequest.js'
import type { EnableNodeRequest__Output } from '../../generated/proto/scaimind/v1/EnableNodeRequest.js'
import type { GetClusterRequest__Output } from '../../generated/proto/scaimind/v1/GetClusterRequest.js'
import type { GetNodeRequest__Output } from '../../generated/proto/scaimind/v1/GetNodeRequest.js'
import type { GetQueueRequest__Output } from '../../generated/proto/scaimind/v1/GetQueueRequest.js'
import type { ListNodesRequest__Output } from '../../generated/proto/scaimind/v1/ListNodesRequest.js'
import type { StreamClusterEventsRequest__Output } from '../../generated/proto/scaimind/v1/StreamClusterEventsRequest.js'
import type { Jobs } from '../jobs/jobs.js'
import { forAllTenants, type Methods, streaming, unary } from './handlers.js'

/** `ClusterService`, without node agents: the engines know their nodes themselves. */
export function clusterMethods({ cluster, clusterEvents }: Pick<Jobs, 'cluster' | 'clusterEvents'>): Methods {
  return {
    GetCluster: unary((_: GetClusterRequest__Output, { tenantId }) => cluster.cluster(tenantId), forAllTenants),
    ListNodes: unary(async (_: ListNodesRequest__Output, { tenantId }) => ({ nodes: await cluster.nodes(tenantId) }), forAllTenants),
    GetNode: unary(({ node_id: id }: GetNodeRequest__Output, { tenantId }) => cluster.node(tenantId, id), forAllTenants),
    DrainNode: unary((request: DrainNodeRequest__Output, { tenantId }) => cluster.drain(tenantId, request)),
    EnableNode: unary(({ node_id: id }: EnableNodeRequest__Output, { tenantId }) => cluster.enable(tenantId, id)),
    GetQueue: unary(({ queue }: GetQueueRequest__Output, { tenantId }) => cluster.queue(tenantId, queue), forAllTenants),
    StreamClusterEvents: streaming(
      ({ after }: StreamClusterEventsRequest__Output, { tenantId }, signal) => clusterEvents.follow({ tenantId, after, signal }),
      forAllTenants,
    ),
  }
}
