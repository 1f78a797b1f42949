import DataLoader from 'dataloader'
import type { Checkpoint__Output } from '../../generated/proto/scaimind/v1/Checkpoint.js'
import type { ClusterNode__Output } from '../../generated/proto/scaimind/v1/ClusterNode.js'
import type { MetricRecord__Output } from '../../generated/proto/scaimind/v1/MetricRecord.js'
import type { QueueEntry__Output } from '../../generated/proto/scaimind/v1/QueueEntry.js'
import type { RegisteredModel__Output } from '../../generated/proto/scaimind/v1/RegisteredModel.js'
import type { Caller } from '../auth/viewer.js'
import type { Snapshot } from '../operations/cluster-types.js'
import type { EvaluationView } from '../operations/evaluation-types.js'
import type { Operations } from '../operations/index.js'
import type { JobView } from '../operations/job-types.js'
import type { Lineage } from '../operations/lineage-graph.js'

/** What one operation loads at most once, and together. A subscription has new ones for each message. */
export interface Loaders {
  job: DataLoader<string, JobView | null>
  latestMetrics: DataLoader<string, MetricRecord__Output | null>
  /** The newest checkpoints of a job, so many. */
  checkpoints(limit: number): DataLoader<string, Checkpoint__Output[]>
  lineage: DataLoader<JobView, Lineage>
  /** The newest evaluations of a job, at most 100. */
  evaluationsOfJob: DataLoader<string, EvaluationView[]>
  nodes(): Promise<Snapshot<ClusterNode__Output[]>>
  registeredModel: DataLoader<string, RegisteredModel__Output | null>
  /** The tenant's waiting jobs in the queue, by job id. */
  queueEntries(): Promise<Map<string, QueueEntry__Output>>
}

export function createLoaders(operations: Operations, caller: () => Caller): Loaders {
  let nodes: Promise<Snapshot<ClusterNode__Output[]>> | undefined
  let queue: Promise<Map<string, QueueEntry__Output>> | undefined
  const checkpoints = new Map<number, DataLoader<string, Checkpoint__Output[]>>()
  return {
    job: new DataLoader((ids) => operations.jobs.getMany(caller(), ids)),
    latestMetrics: new DataLoader((ids) => operations.jobs.latestMetricsOf(caller(), ids), { maxBatchSize: 500 }),
    checkpoints(limit) {
      const known = checkpoints.get(limit) ?? new DataLoader((ids) => operations.jobs.checkpointsOf(caller(), ids, { limit }))
      checkpoints.set(limit, known)
      return known
    },
    lineage: new DataLoader((views) => operations.jobs.lineageOf(caller(), views), { maxBatchSize: 50 }),
    evaluationsOfJob: new DataLoader((ids) => operations.evaluations.ofJobs(caller(), ids)),
    registeredModel: new DataLoader((ids) => operations.models.getMany(caller(), ids), { maxBatchSize: 100 }),
    nodes() {
      nodes ??= operations.cluster.nodes(caller())
      return nodes
    },
    queueEntries() {
      queue ??= operations.cluster
        .queue(caller())
        .then(({ value }) => new Map(value.entries.flatMap((entry) => (entry.job_id ? [[entry.job_id, entry]] : []))))
      return queue
    },
  }
}
