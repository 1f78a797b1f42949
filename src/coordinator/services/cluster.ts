import { Failure } from '../../contract/failure.js'
import type { AllocateGPUsRequest__Output } from '../../generated/proto/scaimind/v1/AllocateGPUsRequest.js'
import type { DrainNodeRequest__Output } from '../../generated/proto/scaimind/v1/DrainNodeRequest.js'
import type { EnableNodeRequest__Output } from '../../generated/proto/scaimind/v1/EnableNodeRequest.js'
import type { ForecastDrainRequest__Output } from '../../generated/proto/scaimind/v1/ForecastDrainRequest.js'
import type { GetClusterRequest__Output } from '../../generated/proto/scaimind/v1/GetClusterRequest.js'
import type { GetNodeRequest__Output } from '../../generated/proto/scaimind/v1/GetNodeRequest.js'
import type { GetQueueRequest__Output } from '../../generated/proto/scaimind/v1/GetQueueRequest.js'
import type { HeartbeatRequest__Output } from '../../generated/proto/scaimind/v1/HeartbeatRequest.js'
import type { ListNodesRequest__Output } from '../../generated/proto/scaimind/v1/ListNodesRequest.js'
import type { RegisterNodeRequest__Output } from '../../generated/proto/scaimind/v1/RegisterNodeRequest.js'
import type { StreamClusterEventsRequest__Output } from '../../generated/proto/scaimind/v1/StreamClusterEventsRequest.js'
import type { Jobs } from '../jobs/jobs.js'
import { allocateGpus } from '../jobs/placement/allocate.js'
import { forAgents, forAllTenants, type Methods, streaming, unary } from './handlers.js'

/** `ClusterService`. */
export function clusterMethods({ engine, database, cluster, clusterEvents, agents }: Jobs): Methods {
  return {
    GetCluster: unary((_: GetClusterRequest__Output, { tenantId }) => cluster.cluster(tenantId), forAllTenants),
    ListNodes: unary(async (_: ListNodesRequest__Output, { tenantId }) => ({ nodes: await cluster.nodes(tenantId) }), forAllTenants),
    GetNode: unary(({ node_id: id }: GetNodeRequest__Output, { tenantId }) => cluster.node(tenantId, id), forAllTenants),
    DrainNode: unary((request: DrainNodeRequest__Output, { tenantId }) => cluster.drain(tenantId, request)),
    ForecastDrain: unary(
      ({ node_id: id }: ForecastDrainRequest__Output, { tenantId }) => cluster.forecastDrain(tenantId, id),
      forAllTenants,
    ),
    EnableNode: unary(({ node_id: id }: EnableNodeRequest__Output, { tenantId }) => cluster.enable(tenantId, id)),
    GetQueue: unary(({ queue }: GetQueueRequest__Output, { tenantId }) => cluster.queue(tenantId, queue), forAllTenants),
    StreamClusterEvents: streaming(
      ({ after }: StreamClusterEventsRequest__Output, { tenantId }, signal) => clusterEvents.follow({ tenantId, after, signal }),
      forAllTenants,
    ),
    RegisterNode: unary(async (request: RegisterNodeRequest__Output, { tenantId }) => {
      requireAgents('RegisterNode')
      await agents.register(request)
      return await cluster.node(tenantId, request.node_id)
    }, forAgents),
    Heartbeat: unary(async (request: HeartbeatRequest__Output) => {
      requireAgents('Heartbeat')
      return { interval_seconds: await agents.heartbeat(request) }
    }, forAgents),
    AllocateGPUs: unary(async (request: AllocateGPUsRequest__Output) => {
      requireAgents('AllocateGPUs')
      return { gpu_indexes: await allocateGpus(database, request, new Date()) }
    }, forAgents),
  }

  function requireAgents(method: string): void {
    if (!engine.scheduler) return
    throw new Failure('NOT_IMPLEMENTED', `${method}: the engine ${engine.name} knows its nodes itself; no agents report them.`)
  }
}
