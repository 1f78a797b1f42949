import type { JobStatus } from '../../../contract/statuses.js'
import { jobActions } from '../../../contract/statuses.js'
import type { JobView } from '../../operations/job-types.js'
import { builder } from '../builder.js'
import { ofColumns } from '../columns.js'
import { JobActionEnum, JobStatusEnum, known } from '../enums.js'
import { noJob } from '../ids.js'
import { columnTime, orNull, timeOf } from '../scalars.js'
import { ClusterNodeRef } from './cluster-node.js'
import {
  asJson,
  DataConfigRef,
  entries,
  OutputConfigRef,
  ResourceConfigRef,
  SchedulingConfigRef,
  TrainingConfigRef,
} from './job-configs.js'
import { JobEventRef, MetricRef, MetricSeriesRef } from './job-history.js'
import { logConnection } from './job-logs.js'
import { AttemptRef, FinalEvaluationRef, JobFailureRef, ProgressRef } from './job-parts.js'
import { latestOf } from './metrics.js'

/** A training job. */
export const JobRef = builder.objectRef<JobView>('Job')

builder.node(JobRef, {
  description: 'A training job: what was submitted, where it stands, and what it left behind.',
  id: { resolve: ({ job }) => job.job_id, description: 'The global id.', extensions: ofColumns('job_id') },
  // What names nothing needs no permission to be told so.
  loadManyWithoutCache: (ids, { operations, caller }) =>
    ids.every((id) => id === noJob) ? ids.map(() => null) : operations.jobs.getMany(caller, ids),
  fields: (t) => ({
    jobId: t.id({
      extensions: ofColumns('job_id'),
      description: 'The id that other doors know the job by.',
      resolve: ({ job }) => job.job_id,
    }),
    name: t.string({ extensions: ofColumns('name'), description: 'Its name.', resolve: ({ job }) => job.name }),
    status: t.field({
      extensions: ofColumns('status'),
      type: JobStatusEnum,
      description: 'Where it stands.',
      resolve: ({ job }) => job.status as JobStatus,
    }),
    message: t.string({
      extensions: ofColumns('message'),
      nullable: true,
      description: 'One sentence on the present state: what it waits for, who cancelled it and why. Null where there is nothing to say.',
      resolve: ({ job }) => orNull(job.message),
    }),
    userId: t.string({ extensions: ofColumns('user_id'), description: 'Who submitted it.', resolve: ({ job }) => job.user_id }),
    revision: t.field({
      extensions: ofColumns('revision'),
      type: 'BigInt',
      description: 'Raised by every change.',
      resolve: ({ job }) => job.revision,
    }),
    trainingConfig: t.field({
      type: TrainingConfigRef,
      nullable: true,
      description: 'What is trained and how.',
      resolve: ({ job }) => job.training_config,
    }),
    dataConfig: t.field({ type: DataConfigRef, nullable: true, description: 'The data.', resolve: ({ job }) => job.data_config }),
    resourceConfig: t.field({
      type: ResourceConfigRef,
      nullable: true,
      description: 'What it needs to run.',
      resolve: ({ job }) => job.resource_config,
    }),
    outputConfig: t.field({
      type: OutputConfigRef,
      nullable: true,
      description: 'What is saved, and where.',
      resolve: ({ job }) => job.output_config,
    }),
    schedulingConfig: t.field({
      type: SchedulingConfigRef,
      nullable: true,
      description: 'When it may run.',
      resolve: ({ job }) => job.scheduling_config,
    }),
    labels: entries(t, 'Its labels.', ({ job }) => job.labels),
    labelsJson: asJson(t, 'Its labels.', ({ job }) => job.labels),
    contentHash: t.string({
      extensions: ofColumns('content_hash'),
      nullable: true,
      description: 'Equal for equal work: data, base model, config and trainer version. Null until it is known.',
      resolve: ({ job }) => orNull(job.content_hash),
    }),
    progress: t.field({
      type: ProgressRef,
      nullable: true,
      description: 'How far training is; null before it runs.',
      resolve: ({ job }) => job.progress,
    }),
    latestMetrics: t.field({
      type: [MetricRef],
      nullable: true,
      complexity: 20,
      description: 'The newest value of each metric, asked of the coordinator: null with an error where it is away.',
      resolve: async ({ job }, _args, { loaders }) => latestOf(await loaders.latestMetrics.load(job.job_id)),
    }),
    metrics: t.field({
      type: [MetricSeriesRef],
      nullable: true,
      description: 'History as series, asked of the coordinator: null with an error where it is away. Peaks survive the thinning.',
      args: {
        names: t.arg.stringList({ description: 'Which metrics, at most 20; default all, up to 20.' }),
        sinceStep: t.arg.int({ description: 'Only points of later steps; default 0, all.' }),
        maxPoints: t.arg.int({ defaultValue: 500, description: 'Most points of a series, 2 to 2,000.' }),
      },
      complexity: ({ maxPoints }) => ({ field: 20, multiplier: 1 + Math.ceil(Math.max(0, maxPoints ?? 500) / 500) }),
      resolve: async ({ job }, { names, sinceStep, maxPoints }, { operations, caller }) =>
        (
          await operations.jobs.metrics(caller, job.job_id, {
            names: names ?? null,
            sinceStep: sinceStep ?? null,
            maxPoints: maxPoints ?? null,
          })
        ).series,
    }),
    logs: logConnection(t),
    events: t.field({
      type: [JobEventRef],
      nullable: true,
      complexity: { field: 50, multiplier: 1 },
      description:
        'The history of its state, oldest first, the newest 1,000 changes; asked of the coordinator, once a job: null with an error where it is away. Progress and other changes within a state, and what is to come, are told by jobUpdated.',
      resolve: ({ job }, _args, { operations, caller }) => operations.jobs.events(caller, job.job_id),
    }),
    nodes: t.field({
      type: [ClusterNodeRef],
      nullable: true,
      complexity: { field: 10, multiplier: 1 },
      description: 'The machines that the current attempt is on; empty before it is placed, null with an error where they cannot be read.',
      resolve: async ({ job }, _args, { loaders }) =>
        job.nodes.length === 0 ? [] : (await loaders.nodes()).value.filter(({ node_id }) => job.nodes.includes(node_id)),
    }),
    attempts: t.field({
      type: [AttemptRef],
      complexity: 1,
      description: 'Every launch of its trainer, the first one first; empty until it was placed.',
      resolve: ({ job }) => job.attempts,
    }),
    gpuSeconds: t.float({
      extensions: ofColumns('gpu_seconds'),
      description: 'GPUs times seconds that they were held, over all attempts so far; 0 for a job without GPUs.',
      resolve: ({ job }) => job.gpu_seconds,
    }),
    failure: t.field({
      type: JobFailureRef,
      nullable: true,
      description: 'Why it failed; null unless its last attempt did.',
      resolve: ({ job }) => job.failure,
    }),
    finalEvaluation: t.field({
      type: FinalEvaluationRef,
      nullable: true,
      description: 'The model before and after training, on the held-out records; null until then, and without a validation split.',
      resolve: ({ job }) => job.final_evaluation,
    }),
    availableActions: t.field({
      type: [JobActionEnum],
      description: 'What may be asked of it in its present state: the mutations that would not answer a JobStateConflict.',
      resolve: ({ job }) => job.available_actions.flatMap((action) => known(jobActions, action) ?? []),
    }),
    unreachable: t.boolean({
      description:
        'True while the engine cannot be asked about the running attempt, or its trainer is silent. Nothing is ended or started again for it.',
      resolve: ({ job }) => job.unreachable,
    }),
    unreachableSince: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'Since when it is unreachable; null unless it is.',
      resolve: ({ job }) => timeOf(job.unreachable_since),
    }),
    unreachableSeconds: t.int({
      nullable: true,
      description: 'For how long it has been unreachable; null unless it is.',
      resolve: ({ job }) => {
        const since = timeOf(job.unreachable_since)
        return since && Math.max(0, Math.floor((Date.now() - since.getTime()) / 1000))
      },
    }),
    unreachableReason: t.string({
      nullable: true,
      description: 'What is known of why it is unreachable; null unless it is.',
      resolve: ({ job }) => orNull(job.unreachable_reason),
    }),
    createdAt: t.field({
      extensions: ofColumns('created_at'),
      type: 'DateTime',
      nullable: true,
      description: 'When it was submitted.',
      resolve: ({ job }) => columnTime(job.created_at),
    }),
    startedAt: t.field({
      extensions: ofColumns('started_at'),
      type: 'DateTime',
      nullable: true,
      description: 'When its first attempt started.',
      resolve: ({ job }) => columnTime(job.started_at),
    }),
    finishedAt: t.field({
      extensions: ofColumns('finished_at'),
      type: 'DateTime',
      nullable: true,
      description: 'When it ended.',
      resolve: ({ job }) => columnTime(job.finished_at),
    }),
    updatedAt: t.field({
      extensions: ofColumns('updated_at'),
      type: 'DateTime',
      nullable: true,
      description: 'When it last changed.',
      resolve: ({ job }) => columnTime(job.updated_at),
    }),
    syncedAt: t.field({
      extensions: ofColumns(),
      type: 'DateTime',
      description: 'When this copy of it was written.',
      resolve: ({ syncedAt }) => syncedAt,
    }),
    stale: t.boolean({
      extensions: ofColumns(),
      description: 'True where the coordinator is not connected now, so that it may have changed since `syncedAt`.',
      resolve: ({ stale }) => stale,
    }),
  }),
})
