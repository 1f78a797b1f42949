import { z } from 'zod'
import type { Snapshot } from '../operations/cluster-types.js'
import type { JsonAnswer } from './answer.js'
import { toJson } from './json.js'
import { listOf, message, objectOf } from './json-schema.js'
import { get, post } from './route.js'

function answer<Value>({ value, stale, syncedAt }: Snapshot<Value>, shape: (value: Value) => unknown): JsonAnswer {
  return { data: shape(value), freshness: { stale, syncedAt } }
}

/** The cluster: totals, nodes, queue. */
export const clusterRoutes = [
  get('/cluster', { summary: 'Totals of nodes, GPUs and jobs', data: message('Cluster') }, async ({ operations, caller }) =>
    answer(await operations.cluster.cluster(caller), (cluster) => toJson('Cluster', cluster)),
  ),
  get('/nodes', { summary: 'All nodes', data: objectOf({ nodes: listOf(message('ClusterNode')) }) }, async ({ operations, caller }) =>
    answer(await operations.cluster.nodes(caller), (nodes) => ({ nodes: nodes.map((node) => toJson('ClusterNode', node)) })),
  ),
  get('/nodes/{id}', { summary: 'A node', data: message('ClusterNode') }, async ({ operations, caller, id }) =>
    answer(await operations.cluster.node(caller, id), (node) => toJson('ClusterNode', node)),
  ),
  get(
    '/queue',
    {
      summary: 'What waits, in the order it would start',
      description: 'Depth by queue and priority; each entry with its place, why it waits, and when it may start.',
      data: message('Queue'),
    },
    async ({ operations, caller }) => answer(await operations.cluster.queue(caller), (queue) => toJson('Queue', queue)),
  ),
  post(
    '/nodes/{id}/drain',
    {
      summary: 'Take no new work on a node',
      description:
        'Running jobs finish, unless they are evicted: saved, and put back into the queue. Repeating it is fine. With `dry_run` nothing changes, and the data is a forecast.',
      body: z.strictObject({
        reason: z.string().max(500).optional().describe('Why, for whoever reads the node.'),
        deadline_seconds: z
          .number()
          .int()
          .min(0)
          .max(4_294_967_295)
          .optional()
          .describe('Evict what still runs after so many seconds. 0, the default: never.'),
        evict: z.boolean().optional().describe('Evict what runs now. Default false.'),
        dry_run: z
          .boolean()
          .optional()
          .describe('Only forecast: jobs hit, GPU minutes lost with and without checkpoints, when the node will be free. Default false.'),
      }),
      data: { anyOf: [message('ClusterNode'), message('DrainForecast')] },
    },
    async ({ operations, caller, id }, { reason, deadline_seconds: deadlineSeconds, evict, dry_run: dryRun }) => {
      const { node, forecast } = await operations.cluster.drain(caller, id, { reason, deadlineSeconds, evict, dryRun })
      return { data: forecast ? toJson('DrainForecast', forecast) : toJson('ClusterNode', node) }
    },
  ),
  post(
    '/nodes/{id}/enable',
    { summary: 'Let a node take work again', body: z.strictObject({}), data: message('ClusterNode') },
    async ({ operations, caller, id }) => ({ data: toJson('ClusterNode', await operations.cluster.enable(caller, id)) }),
  ),
]
