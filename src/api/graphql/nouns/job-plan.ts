import type { JobPlan__Output } from '../../../generated/proto/scaimind/v1/JobPlan.js'
import type { MemoryEstimate__Output } from '../../../generated/proto/scaimind/v1/MemoryEstimate.js'
import { builder } from '../builder.js'
import { mutationErrors } from '../failure.js'
import { finite, orNull, timeOf } from '../scalars.js'
import { BlockerRef } from './blocker.js'
import { SubmitJobInput, toSpec } from './job-inputs.js'
import { SourceReportRef } from './source-report.js'

const MemoryEstimateRef = builder.objectRef<MemoryEstimate__Output>('MemoryEstimate').implement({
  description: 'Whether a model fits on one type of machine, by its shape, its precision and what is trained of it. All in bytes.',
  fields: (t) => ({
    gpuType: t.string({
      nullable: true,
      description: 'The type of GPU; null for the machine’s own memory, which a job without GPUs uses.',
      resolve: (m) => orNull(m.gpu_type),
    }),
    bytesNeeded: t.field({
      type: 'BigInt',
      description: 'What one GPU, or the process without GPUs, needs.',
      resolve: (m) => m.bytes_needed,
    }),
    bytesAvailable: t.field({
      type: 'BigInt',
      description: 'What one GPU of this type, or the machine, has.',
      resolve: (m) => m.bytes_available,
    }),
    fits: t.exposeBoolean('fits', { description: 'Whether that is enough.' }),
    nodes: t.exposeStringList('nodes', { description: 'Ids of the machines of this type.' }),
    weightsBytes: t.field({ type: 'BigInt', description: 'Of the need: the weights.', resolve: (m) => m.weights_bytes }),
    gradientsBytes: t.field({ type: 'BigInt', description: 'Of the need: the gradients.', resolve: (m) => m.gradients_bytes }),
    optimizerBytes: t.field({ type: 'BigInt', description: 'Of the need: the optimizer’s state.', resolve: (m) => m.optimizer_bytes }),
    activationsBytes: t.field({ type: 'BigInt', description: 'Of the need: the activations.', resolve: (m) => m.activations_bytes }),
  }),
})

/** What a job would take. */
export const JobPlanRef = builder.objectRef<JobPlan__Output>('JobPlan').implement({
  description: 'What a job would take.',
  fields: (t) => ({
    acceptable: t.exposeBoolean('acceptable', { description: 'Whether a submission would be accepted; not where a source has problems.' }),
    sources: t.field({
      type: [SourceReportRef],
      complexity: { field: 1, multiplier: 3 },
      description: 'What each source holds, with its problems by line.',
      resolve: (p) => p.sources,
    }),
    records: t.field({ type: 'BigInt', description: 'Usable records over all sources.', resolve: (p) => p.records }),
    tokens: t.field({ type: 'BigInt', description: 'Tokens of these records, by estimate.', resolve: (p) => p.tokens }),
    totalSteps: t.int({
      description: 'Optimizer steps that it would train; of a trainer that is not asked, by the usual reckoning; 0 where it is not known.',
      resolve: (p) => Number(p.total_steps),
    }),
    memory: t.field({
      type: [MemoryEstimateRef],
      complexity: { field: 1, multiplier: 3 },
      description: 'What a GPU (or, without GPUs, the machine) needs and has, a type of machine each; empty where it is not known.',
      resolve: (p) => p.memory,
    }),
    estimatedRunSeconds: t.float({
      nullable: true,
      description: 'Seconds of training; null where nothing is known to estimate from.',
      resolve: (p) => finite(p.estimated_run_seconds),
    }),
    gpuHours: t.float({
      nullable: true,
      description: 'GPUs times estimated hours; null where unknown.',
      resolve: (p) => finite(p.gpu_hours),
    }),
    nodes: t.exposeStringList('nodes', { description: 'Ids of the machines that it could be placed on.' }),
    startsNow: t.exposeBoolean('starts_now', { description: 'Whether it would start at once.' }),
    estimatedStart: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When it would start; null where unknown.',
      resolve: (p) => timeOf(p.estimated_start),
    }),
    jobsAhead: t.exposeInt('jobs_ahead', { description: 'Jobs ahead of it in the queue.' }),
    jobsPreempted: t.exposeInt('jobs_preempted', {
      description:
        'Running jobs, any tenant’s, that would be asked to give way to it at once: preemptible ones of lower priority. 0 where an engine’s own scheduler decides that.',
    }),
    blockers: t.field({
      type: [BlockerRef],
      complexity: { field: 1, multiplier: 3 },
      description: 'Why it would not start now.',
      resolve: (p) => p.blockers,
    }),
    contentHash: t.string({
      nullable: true,
      description:
        'The `contentHash` of the job that would be submitted: one of a finished job says that the work is done already. Null where it is not known yet.',
      resolve: (p) => orNull(p.content_hash),
    }),
    reusableJobId: t.id({
      nullable: true,
      description: 'The finished job that `submitJob` with `reuse` would answer; null where there is none.',
      resolve: (p) => orNull(p.reusable_job_id),
    }),
  }),
})

const PlanJobSuccess = builder.objectRef<JobPlan__Output>('PlanJobSuccess').implement({
  description: 'The submission was read, and this is what it would take.',
  fields: (t) => ({ plan: t.field({ type: JobPlanRef, description: 'What it would take.', resolve: (plan) => plan }) }),
})

builder.queryField('planJob', (t) =>
  t.field({
    type: PlanJobSuccess,
    errors: mutationErrors('PlanJob'),
    complexity: 20,
    description:
      'What a submission would take: problems of its data, steps, memory, time, and why it would not start now. Nothing is stored. Problems of the data are part of the plan; InvalidInput names fields that are wrong. Needs scaimind:manage.',
    args: { input: t.arg({ type: SubmitJobInput, required: true, description: 'The job, as submitJob takes it.' }) },
    resolve: (_root, { input }, { operations, caller }) => operations.jobs.plan(caller, toSpec(input)),
  }),
)
