import type { ClusterNode__Output } from '../../../generated/proto/scaimind/v1/ClusterNode.js'
import type { Drained } from '../../operations/cluster-types.js'
import { builder } from '../builder.js'
import { mutationErrors } from '../failure.js'
import { ownIdOf } from '../ids.js'
import { QueueRef } from './cluster.js'
import { ClusterNodeRef } from './cluster-node.js'
import { DrainForecastRef } from './drain-forecast.js'

const nodeIdArgument = { required: true, description: 'The machine, by its own id or its global one.' } as const

const DrainNodeSuccessRef = builder.objectRef<Drained>('DrainNodeSuccess').implement({
  description: 'The machine takes no new work; in a dry run, what that would mean.',
  fields: (t) => ({
    node: t.field({ type: ClusterNodeRef, description: 'The machine as it is now.', resolve: ({ node }) => node }),
    forecast: t.field({
      type: DrainForecastRef,
      nullable: true,
      description: 'What draining it would mean; null unless it was a dry run.',
      resolve: ({ forecast }) => forecast,
    }),
  }),
})

const EnableNodeSuccessRef = builder.objectRef<ClusterNode__Output>('EnableNodeSuccess').implement({
  description: 'The machine takes work again.',
  fields: (t) => ({ node: t.field({ type: ClusterNodeRef, description: 'The machine as it is now.', resolve: (node) => node }) }),
})

builder.mutationField('drainNode', (t) =>
  t.field({
    type: DrainNodeSuccessRef,
    errors: mutationErrors('DrainNode'),
    complexity: 10,
    description:
      'No new work on a machine: what runs finishes, or is evicted. Repeating it is fine, and replaces reason and deadline. RequestFailed with NODE_NOT_FOUND where there is no such machine. Needs scaimind:cluster_admin.',
    args: {
      nodeId: t.arg.id(nodeIdArgument),
      reason: t.arg.string({ description: 'Why, at most 500 characters; shown as the machine’s `reason`. Default none.' }),
      deadlineSeconds: t.arg.int({
        description: 'Evict what still runs after so many seconds; 0, the default, is never. Without effect where `evict` is set.',
      }),
      evict: t.arg.boolean({
        defaultValue: false,
        description: 'Checkpoint and requeue what runs, now. A job with `requeueOnPreemption: false` stays PREEMPTED.',
      }),
      dryRun: t.arg.boolean({
        defaultValue: false,
        description:
          'Change nothing, and answer as `forecast` what it would mean: jobs hit, GPU minutes lost with and without checkpoints, when the machine will be free.',
      }),
    },
    resolve: (_root, { nodeId, reason, deadlineSeconds, evict, dryRun }, { operations, caller }) =>
      operations.cluster.drain(caller, ownIdOf('ClusterNode', nodeId), {
        reason: reason ?? null,
        deadlineSeconds: deadlineSeconds ?? null,
        evict: evict ?? null,
        dryRun: dryRun ?? null,
      }),
  }),
)

builder.mutationField('enableNode', (t) =>
  t.field({
    type: EnableNodeSuccessRef,
    errors: mutationErrors('EnableNode'),
    complexity: 10,
    description:
      'A machine takes work again, a cordoned one too. Repeating it is fine. RequestFailed with NODE_NOT_FOUND where there is no such machine. Needs scaimind:cluster_admin.',
    args: { nodeId: t.arg.id(nodeIdArgument) },
    resolve: (_root, { nodeId }, { operations, caller }) => operations.cluster.enable(caller, ownIdOf('ClusterNode', nodeId)),
  }),
)

builder.subscriptionFields((t) => ({
  clusterNodesUpdated: t.field({
    type: ClusterNodeRef,
    description:
      'Every machine as it is, a message each, then each as it changes. It tells states: who reads slowly gets the newest of each. Waits while the coordinator is away; never ends by itself. Needs scaimind:view.',
    subscribe: (_root, _args, { operations, caller }) => operations.cluster.followNodes(caller),
    resolve: ({ value }) => value,
  }),
  queueUpdated: t.field({
    type: QueueRef,
    description:
      'The queue as it is, then as it changes, with what each of the tenant’s jobs waits for. It tells states: who reads slowly gets the newest. Waits while the coordinator is away; never ends by itself. Needs scaimind:view.',
    subscribe: (_root, _args, { operations, caller }) => operations.cluster.followQueue(caller),
    resolve: (snapshot) => snapshot,
  }),
}))
