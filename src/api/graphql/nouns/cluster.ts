import type { Cluster__Output } from '../../../generated/proto/scaimind/v1/Cluster.js'
import type { Queue__Output } from '../../../generated/proto/scaimind/v1/Queue.js'
import type { QueueDepth__Output } from '../../../generated/proto/scaimind/v1/QueueDepth.js'
import type { QueueEntry__Output } from '../../../generated/proto/scaimind/v1/QueueEntry.js'
import type { Snapshot } from '../../operations/cluster-types.js'
import { builder } from '../builder.js'
import { ownIdOf } from '../ids.js'
import { orNull, timeOf } from '../scalars.js'
import { pageOf } from '../whole-list.js'
import { ClusterNodeRef, GpuRef } from './cluster-node.js'
import { JobRef } from './job.js'

const syncedAtDescription = 'When the coordinator said this.'
const staleDescription = 'True where the coordinator cannot be reached and this is its last answer.'

const ClusterRef = builder.objectRef<Snapshot<Cluster__Output>>('Cluster').implement({
  description: 'What there is to train on.',
  fields: (t) => ({
    nodesTotal: t.int({ description: 'Machines.', resolve: ({ value }) => value.nodes_total }),
    nodesOnline: t.int({ description: 'Machines that take work.', resolve: ({ value }) => value.nodes_online }),
    nodesDraining: t.int({ description: 'Machines that take no new work.', resolve: ({ value }) => value.nodes_draining }),
    nodesOffline: t.int({ description: 'Machines that are not there.', resolve: ({ value }) => value.nodes_offline }),
    gpusTotal: t.int({ description: 'GPUs.', resolve: ({ value }) => value.gpus_total }),
    gpusAllocated: t.int({ description: 'GPUs that jobs hold.', resolve: ({ value }) => value.gpus_allocated }),
    gpusFree: t.int({
      description: 'GPUs that no job holds, those of machines that take no work among them.',
      resolve: ({ value }) => value.gpus_free,
    }),
    cpusTotal: t.int({ description: 'CPU cores of all machines.', resolve: ({ value }) => value.cpus_total }),
    cpusAllocated: t.int({ description: 'CPU cores that jobs hold.', resolve: ({ value }) => value.cpus_allocated }),
    jobsRunning: t.int({ description: 'The tenant’s jobs that hold resources.', resolve: ({ value }) => value.jobs_running }),
    jobsQueued: t.int({ description: 'The tenant’s jobs that wait.', resolve: ({ value }) => value.jobs_queued }),
    engine: t.string({ description: '`local` or `slurm`.', resolve: ({ value }) => value.engine }),
    engineVersion: t.string({
      nullable: true,
      description: 'Its version; null where unknown.',
      resolve: ({ value }) => orNull(value.engine_version),
    }),
    gpuTypes: t.stringList({ description: 'Types of GPU in the inventory.', resolve: ({ value }) => value.gpu_types }),
    syncedAt: t.field({ type: 'DateTime', description: syncedAtDescription, resolve: ({ syncedAt }) => syncedAt }),
    stale: t.boolean({ description: staleDescription, resolve: ({ stale }) => stale }),
  }),
})

const QueueDepthRef = builder.objectRef<QueueDepth__Output>('QueueDepth').implement({
  description: 'How many jobs wait in one queue with one priority.',
  fields: (t) => ({
    queue: t.exposeString('queue', { description: 'The queue.' }),
    priority: t.exposeInt('priority', { description: 'The priority, 0 to 10.' }),
    jobs: t.exposeInt('jobs', { description: 'Jobs that wait.' }),
  }),
})

/** A job that waits. */
export const QueueEntryRef = builder.objectRef<QueueEntry__Output>('QueueEntry').implement({
  description: 'A job that waits. Of other tenants’ jobs only the place is shown.',
  fields: (t) => ({
    jobId: t.id({ nullable: true, description: 'The job, where it is the tenant’s.', resolve: (e) => orNull(e.job_id) }),
    job: t.field({
      type: JobRef,
      nullable: true,
      description: 'The job, where it is the tenant’s.',
      resolve: (e, _args, { loaders }) => (e.job_id ? loaders.job.load(e.job_id) : null),
    }),
    name: t.string({ nullable: true, description: 'Its name, where it is the tenant’s.', resolve: (e) => orNull(e.name) }),
    queue: t.exposeString('queue', { description: 'The queue that it waits in.' }),
    priority: t.exposeInt('priority', { description: 'Its priority, 0 to 10, higher first.' }),
    position: t.exposeInt('position', { description: 'From 1, over all tenants.' }),
    gpuCount: t.exposeInt('gpu_count', { description: 'GPUs that it needs.' }),
    waitingFor: t.string({
      nullable: true,
      description: 'What it waits for, as one sentence; null where the job is another tenant’s.',
      resolve: (e) => orNull(e.waiting_for),
    }),
    queuedAt: t.field({ type: 'DateTime', nullable: true, description: 'Since when.', resolve: (e) => timeOf(e.queued_at) }),
    estimatedStart: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When it may start, where known.',
      resolve: (e) => timeOf(e.estimated_start),
    }),
  }),
})

/** What waits. */
export const QueueRef = builder.objectRef<Snapshot<Queue__Output>>('Queue').implement({
  description: 'What waits.',
  fields: (t) => ({
    depth: t.int({ description: 'Jobs that wait, over all tenants.', resolve: ({ value }) => value.depth }),
    depths: t.field({ type: [QueueDepthRef], description: 'The same by queue and priority.', resolve: ({ value }) => value.depths }),
    entries: t.field({ type: [QueueEntryRef], description: 'In the order that they would start.', resolve: ({ value }) => value.entries }),
    syncedAt: t.field({ type: 'DateTime', description: syncedAtDescription, resolve: ({ syncedAt }) => syncedAt }),
    stale: t.boolean({ description: staleDescription, resolve: ({ stale }) => stale }),
  }),
})

builder.objectField(GpuRef, 'job', (t) =>
  t.field({
    type: JobRef,
    nullable: true,
    description: 'The job on it, where it is the tenant’s; null where it is free or another tenant’s.',
    resolve: (g, _args, { loaders }) => (g.job_id ? loaders.job.load(g.job_id) : null),
  }),
)

builder.objectField(ClusterNodeRef, 'jobs', (t) =>
  t.field({
    type: [JobRef],
    nullable: true,
    complexity: { field: 1, multiplier: 5 },
    description: 'The tenant’s jobs on it; null with an error where they cannot be read.',
    resolve: async (n, _args, { loaders }) => {
      const jobs = await loaders.job.loadMany(n.job_ids)
      return jobs.flatMap((job) => {
        if (job instanceof Error) throw job
        return job ?? []
      })
    },
  }),
)

builder.queryFields((t) => ({
  cluster: t.field({
    type: ClusterRef,
    complexity: 10,
    description: 'Totals over all machines; the coordinator’s last answer where it is away. Needs scaimind:view.',
    resolve: (_root, _args, { operations, caller }) => operations.cluster.cluster(caller),
  }),
  clusterNode: t.field({
    type: ClusterNodeRef,
    nullable: true,
    complexity: 10,
    description:
      'One machine. An error with NODE_NOT_FOUND where there is none; the coordinator’s last answer where it is away. Needs scaimind:view.',
    args: { nodeId: t.arg.id({ required: true, description: 'The machine, by its own id or its global one.' }) },
    resolve: async (_root, { nodeId }, { operations, caller }) =>
      (await operations.cluster.node(caller, ownIdOf('ClusterNode', nodeId))).value,
  }),
  clusterNodes: t.connection(
    {
      type: ClusterNodeRef,
      description: 'The machines of the cluster, by id; the coordinator’s last answer where it is away. Needs scaimind:view.',
      complexity: ({ first, last }) => ({ field: 10, multiplier: Math.max(1, first ?? last ?? 20) }),
      resolve: async (_root, args, { loaders }) => {
        const { value, syncedAt, stale } = await loaders.nodes()
        return { ...pageOf(value, ({ node_id }) => node_id, args), totalCount: value.length, syncedAt, stale }
      },
    },
    {
      name: 'ClusterNodeConnection',
      description: 'A page of machines.',
      fields: (connection) => ({
        totalCount: connection.int({ description: 'Machines in all.', resolve: ({ totalCount }) => totalCount }),
        syncedAt: connection.field({ type: 'DateTime', description: syncedAtDescription, resolve: ({ syncedAt }) => syncedAt }),
        stale: connection.boolean({ description: staleDescription, resolve: ({ stale }) => stale }),
      }),
    },
    { name: 'ClusterNodeEdge', description: 'A machine and its place in the list.' },
  ),
  queue: t.field({
    type: QueueRef,
    complexity: 10,
    description: 'What waits, in the order it would start; the coordinator’s last answer where it is away. Needs scaimind:view.',
    args: { queue: t.arg.string({ description: 'Only this queue; default all.' }) },
    resolve: (_root, { queue }, { operations, caller }) => operations.cluster.queue(caller, queue ?? null),
  }),
}))
