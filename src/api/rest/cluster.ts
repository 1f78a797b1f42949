import type { Snapshot } from '../operations/cluster-types.js'
import type { JsonAnswer } from './answer.js'
import { toJson } from './json.js'
import { get, notImplemented } from './route.js'

function answer<Value>({ value, stale, syncedAt }: Snapshot<Value>, shape: (value: Value) => unknown): JsonAnswer {
  return { data: shape(value), freshness: { stale, syncedAt } }
}

/** The cluster: totals, nodes, queue. */
export const clusterRoutes = [
  get('/cluster', {}, async ({ operations, caller }) =>
    answer(await operations.cluster.cluster(caller), (cluster) => toJson('Cluster', cluster)),
  ),
  get('/nodes', {}, async ({ operations, caller }) =>
    answer(await operations.cluster.nodes(caller), (nodes) => ({ nodes: nodes.map((node) => toJson('ClusterNode', node)) })),
  ),
  get('/nodes/{id}', {}, async ({ operations, caller, id }) =>
    answer(await operations.cluster.node(caller, id), (node) => toJson('ClusterNode', node)),
  ),
  get('/queue', {}, async ({ operations, caller }) => answer(await operations.cluster.queue(caller), (queue) => toJson('Queue', queue))),
  notImplemented('POST', '/nodes/{id}/drain', 'Draining a node'),
  notImplemented('POST', '/nodes/{id}/enable', 'Enabling a node'),
]
