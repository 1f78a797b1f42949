import { type JobStatus, jobActions } from '../../../contract/statuses.js'
import type { EvaluationView } from '../../operations/evaluation-types.js'
import { builder } from '../builder.js'
import { JobActionEnum, JobStatusEnum, known } from '../enums.js'
import { orNull, timeOf } from '../scalars.js'
import { pageOf } from '../whole-list.js'
import { BenchmarkRef, BenchmarkResultRef } from './benchmark.js'
import { JobRef } from './job.js'
import { CheckpointRef } from './job-history.js'
import { JobFailureRef, ProgressRef } from './job-parts.js'

// As many as the coordinator tells of a job.
const checkpointsMax = 1000

/** What a page of evaluations names each by. */
export const evaluationIdOf = ({ evaluation }: EvaluationView): string => evaluation.evaluation_id

/** Benchmarks run on a model. */
export const EvaluationRef = builder.objectRef<EvaluationView>('Evaluation')

builder.node(EvaluationRef, {
  description: 'Benchmarks run on a job’s model, on one of its checkpoints, or on a model by its path.',
  id: { resolve: ({ evaluation }) => evaluation.evaluation_id, description: 'The global id.' },
  loadManyWithoutCache: (ids, { operations, caller }) => operations.evaluations.getMany(caller, ids),
  fields: (t) => ({
    evaluationId: t.id({ description: 'The id that other doors know it by: `eval_…`.', resolve: ({ evaluation: e }) => e.evaluation_id }),
    name: t.string({ description: 'Its name.', resolve: ({ evaluation: e }) => e.name }),
    status: t.field({
      type: JobStatusEnum,
      description: 'Where it stands; an evaluation waits and runs as jobs do.',
      resolve: ({ evaluation: e }) => e.status as JobStatus,
    }),
    message: t.string({
      nullable: true,
      description: 'One sentence on the present state; null where there is nothing to say.',
      resolve: ({ evaluation: e }) => orNull(e.message),
    }),
    jobId: t.id({
      nullable: true,
      description: 'The job whose model it is; null for a model by path.',
      resolve: ({ evaluation: e }) => orNull(e.job_id),
    }),
    job: t.field({
      type: JobRef,
      nullable: true,
      description: 'The same as a job; null where it is gone. Needs scaimind:view.',
      resolve: ({ evaluation: e }, _args, { loaders }) => (e.job_id ? loaders.job.load(e.job_id) : null),
    }),
    run: t.field({
      type: JobRef,
      nullable: true,
      description:
        'The evaluation itself as the job that it runs as: its logs, attempts, events and machines. Null with an error where it cannot be read. Needs scaimind:view.',
      resolve: ({ evaluation: e }, _args, { loaders }) => loaders.job.load(e.evaluation_id),
    }),
    checkpointId: t.id({
      nullable: true,
      description: 'The checkpoint of the job; null: the job’s output.',
      resolve: ({ evaluation: e }) => orNull(e.checkpoint_id),
    }),
    checkpoint: t.field({
      type: CheckpointRef,
      nullable: true,
      complexity: 20,
      description:
        'The same as a checkpoint, asked of the coordinator: null where it is deleted, null with an error where the coordinator is away.',
      resolve: async ({ evaluation: e }, _args, { loaders }) =>
        e.job_id && e.checkpoint_id
          ? ((await loaders.checkpoints(checkpointsMax).load(e.job_id)).find(({ checkpoint_id }) => checkpoint_id === e.checkpoint_id) ??
            null)
          : null,
    }),
    modelUri: t.string({
      nullable: true,
      description: 'The model by its path; null for a job’s.',
      resolve: ({ evaluation: e }) => orNull(e.model_uri),
    }),
    benchmarks: t.field({
      type: [BenchmarkRef],
      complexity: { field: 1, multiplier: 3 },
      description: 'What is run.',
      resolve: ({ evaluation: e }) => e.benchmarks,
    }),
    results: t.field({
      type: [BenchmarkResultRef],
      complexity: { field: 1, multiplier: 3 },
      description: 'What was found so far, a benchmark each.',
      resolve: ({ evaluation: e }) => e.results,
    }),
    progress: t.field({
      type: ProgressRef,
      nullable: true,
      description: 'How far it is; null before it runs.',
      resolve: ({ evaluation: e }) => e.progress,
    }),
    failure: t.field({
      type: JobFailureRef,
      nullable: true,
      description: 'Why it failed; null unless it is FAILED.',
      resolve: ({ evaluation: e }) => e.failure,
    }),
    userId: t.string({ description: 'Who submitted it.', resolve: ({ evaluation: e }) => e.user_id }),
    revision: t.field({ type: 'BigInt', description: 'Raised by every change.', resolve: ({ evaluation: e }) => e.revision }),
    availableActions: t.field({
      type: [JobActionEnum],
      description: 'What may be asked of it in its present state; CANCEL is `cancelEvaluation`, the others take its id as a job’s.',
      resolve: ({ evaluation: e }) => e.available_actions.flatMap((action) => known(jobActions, action) ?? []),
    }),
    createdAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When it was submitted.',
      resolve: ({ evaluation: e }) => timeOf(e.created_at),
    }),
    startedAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When it started; null before.',
      resolve: ({ evaluation: e }) => timeOf(e.started_at),
    }),
    finishedAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When it ended; null before.',
      resolve: ({ evaluation: e }) => timeOf(e.finished_at),
    }),
    updatedAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When it last changed.',
      resolve: ({ evaluation: e }) => timeOf(e.updated_at),
    }),
    syncedAt: t.field({ type: 'DateTime', description: 'When this copy of it was written.', resolve: ({ syncedAt }) => syncedAt }),
    stale: t.boolean({
      description: 'True where the coordinator is not connected now, so that it may have changed since `syncedAt`.',
      resolve: ({ stale }) => stale,
    }),
  }),
})

builder.objectField(JobRef, 'evaluations', (t) =>
  t.connection(
    {
      type: EvaluationRef,
      nullable: true,
      description:
        'Evaluations of its model and checkpoints, newest first, the newest 100; `evaluations` pages through all. Needs scaimind:view or scaimind:evaluate.',
      complexity: ({ first, last }) => ({ field: 5, multiplier: Math.max(1, first ?? last ?? 20) }),
      resolve: async ({ job }, args, { loaders }) => pageOf(await loaders.evaluationsOfJob.load(job.job_id), evaluationIdOf, args),
    },
    { name: 'JobEvaluationConnection', description: 'A page of the evaluations of a job.' },
    { name: 'JobEvaluationEdge', description: 'An evaluation and its place among those of the job.' },
  ),
)
