import { Failure } from '../../../contract/failure.js'
import { nodeStatuses } from '../../../contract/statuses.js'
import type { ClusterNode__Output } from '../../../generated/proto/scaimind/v1/ClusterNode.js'
import type { Gpu__Output } from '../../../generated/proto/scaimind/v1/Gpu.js'
import type { NodeBlame__Output } from '../../../generated/proto/scaimind/v1/NodeBlame.js'
import { builder } from '../builder.js'
import { known, NodeStatusEnum } from '../enums.js'
import { finite, orNull, timeOf } from '../scalars.js'

/** One GPU. */
export const GpuRef = builder.objectRef<Gpu__Output>('Gpu').implement({
  description: 'One GPU.',
  fields: (t) => ({
    index: t.exposeInt('index', { description: 'From 0 on its machine.' }),
    type: t.exposeString('type', { description: 'Its type.' }),
    memoryBytes: t.field({ type: 'BigInt', description: 'Its memory.', resolve: (g) => g.memory_bytes }),
    memoryUsedBytes: t.field({
      type: 'BigInt',
      nullable: true,
      description: 'Memory in use, by any process; null where it is not measured.',
      resolve: (g) => g.memory_used_bytes,
    }),
    utilization: t.float({
      nullable: true,
      description: 'Fraction of time that it was busy, 0 to 1; null where it is not measured.',
      resolve: (g) => finite(g.utilization),
    }),
    powerWatts: t.float({
      nullable: true,
      description: 'What it draws, in watts; null where it is not measured.',
      resolve: (g) => finite(g.power_watts),
    }),
    temperatureCelsius: t.float({
      nullable: true,
      description: 'Its temperature in degrees Celsius; null where it is not measured.',
      resolve: (g) => finite(g.temperature_celsius),
    }),
    allocated: t.exposeBoolean('allocated', { description: 'Whether a job, any tenant’s, holds it.' }),
    jobId: t.id({ nullable: true, description: 'The job on it, where it is the tenant’s.', resolve: (g) => orNull(g.job_id) }),
  }),
})

const NodeBlameRef = builder.objectRef<NodeBlame__Output>('NodeBlame').implement({
  description:
    'An attempt that failed, and its machine is blamed for it: the machine or its launcher died, the trainer did not start there, or it failed as class NODE.',
  fields: (t) => ({
    jobId: t.id({ nullable: true, description: 'The job, where it is the tenant’s.', resolve: (b) => orNull(b.job_id) }),
    attempt: t.exposeInt('attempt', { description: 'Its number.' }),
    time: t.field({ type: 'DateTime', nullable: true, description: 'When it ended.', resolve: (b) => timeOf(b.time) }),
    message: t.string({ nullable: true, description: 'Why it failed, where the job is the tenant’s.', resolve: (b) => orNull(b.message) }),
  }),
})

/** One machine of the cluster. */
export const ClusterNodeRef = builder.objectRef<ClusterNode__Output>('ClusterNode')

builder.node(ClusterNodeRef, {
  description: 'One machine of the cluster.',
  id: { resolve: (n) => n.node_id, description: 'The global id.' },
  loadWithoutCache: async (id, { operations, caller }) => {
    try {
      return (await operations.cluster.node(caller, id)).value
    } catch (error) {
      if (error instanceof Failure && error.code === 'NODE_NOT_FOUND') return null
      throw error
    }
  },
  fields: (t) => ({
    nodeId: t.exposeID('node_id', { description: 'The id that other doors know it by.' }),
    hostname: t.exposeString('hostname', { description: 'Its name in the network.' }),
    status: t.field({
      type: NodeStatusEnum,
      description: 'Whether it takes work.',
      resolve: (n) => known(nodeStatuses, n.status) ?? 'OFFLINE',
    }),
    gpus: t.field({ type: [GpuRef], description: 'Its GPUs.', resolve: (n) => n.gpus }),
    cpus: t.exposeInt('cpus', { description: 'CPU cores that jobs can have.' }),
    cpusAllocated: t.exposeInt('cpus_allocated', { description: 'CPU cores that jobs have.' }),
    memoryBytes: t.field({ type: 'BigInt', description: 'Its memory.', resolve: (n) => n.memory_bytes }),
    memoryAllocatedBytes: t.field({ type: 'BigInt', description: 'Memory that jobs have.', resolve: (n) => n.memory_allocated_bytes }),
    lastHeartbeat: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When it was last heard.',
      resolve: (n) => timeOf(n.last_heartbeat),
    }),
    reason: t.string({ nullable: true, description: 'Why it drains; null where it does not.', resolve: (n) => orNull(n.reason) }),
    jobIds: t.idList({ description: 'The tenant’s jobs on it.', resolve: (n) => n.job_ids }),
    reportedOnly: t.boolean({
      description: 'True where only its agent reports it: jobs cannot be started there.',
      resolve: (n) => n.reported_only,
    }),
    cordoned: t.boolean({
      description: 'True where it was drained since it is blamed for failures in a row; enableNode ends that.',
      resolve: (n) => n.cordoned,
    }),
    evidence: t.field({
      type: [NodeBlameRef],
      description:
        'The attempts that failed in a row and it is blamed for, oldest first, the newest 10; those that ran side by side count as one failure. An attempt that completes there clears them, and enableNode, which alone does so where it is cordoned.',
      resolve: (n) => n.evidence,
    }),
  }),
})
