import type { JobView, Submitted } from '../../operations/job-types.js'
import { builder } from '../builder.js'
import { mutationErrors } from '../failure.js'
import { jobIdOf } from '../ids.js'
import { KeyValueInput, toRecord } from '../key-values.js'
import { JobRef } from './job.js'
import { SubmitJobInput, toSpec } from './job-inputs.js'
import { JobPlanRef } from './job-plan.js'

const SubmitJobSuccess = builder.objectRef<Submitted>('SubmitJobSuccess').implement({
  description: 'The job was accepted, or in a dry run could be.',
  fields: (t) => ({
    job: t.field({ type: JobRef, nullable: true, description: 'The job; null in a dry run.', resolve: ({ view }) => view }),
    plan: t.field({
      type: JobPlanRef,
      nullable: true,
      description: 'What it would take; null unless it is a dry run.',
      resolve: ({ plan }) => plan,
    }),
    message: t.exposeString('message', { description: 'What became of it, in words.' }),
    reused: t.exposeBoolean('reused', {
      description: 'Whether `job` is a finished one that has done this work already; in a dry run, whether one would be answered.',
    }),
    estimatedWaitSeconds: t.exposeFloat('estimatedWaitSeconds', {
      nullable: true,
      description: 'Seconds until it starts; null where unknown.',
    }),
  }),
})

const successOf = (name: string) =>
  builder.objectRef<JobView>(`${name}Success`).implement({
    description: 'It was done.',
    fields: (t) => ({ job: t.field({ type: JobRef, description: 'The job as it is now.', resolve: (view) => view }) }),
  })

const jobIdArgument = { required: true, description: 'The job, by its own id or its global one.' } as const

builder.mutationField('submitJob', (t) =>
  t.field({
    type: SubmitJobSuccess,
    errors: mutationErrors('SubmitJob'),
    complexity: 10,
    description:
      'Submits a training job. InvalidInput names every field that is wrong, QuotaExceeded a limit of the tenant that is reached; RequestFailed with IDEMPOTENCY_CONFLICT where the key was used for another input. Needs scaimind:manage.',
    args: {
      input: t.arg({ type: SubmitJobInput, required: true, description: 'The job.' }),
      dryRun: t.arg.boolean({ defaultValue: false, description: 'Only check it and plan; nothing is stored.' }),
      reuse: t.arg.boolean({
        defaultValue: false,
        description:
          'Answer the tenant’s newest COMPLETED job of the same `contentHash` instead of training again, where there is one that is not archived and has its output still. Otherwise, and where the hash is not known at once, the job is submitted.',
      }),
      idempotencyKey: t.arg.string({
        description:
          '1 to 255 printable ASCII characters, kept 7 days: a repeat with the same input answers the first job. Default none: every call is another job.',
      }),
    },
    resolve: (_root, { input, dryRun, reuse, idempotencyKey }, { operations, caller }) =>
      operations.jobs.submit(caller, {
        spec: toSpec(input),
        dryRun: dryRun ?? null,
        reuse: reuse ?? null,
        idempotencyKey: idempotencyKey ?? null,
      }),
  }),
)

builder.mutationField('cancelJob', (t) =>
  t.field({
    type: successOf('CancelJob'),
    errors: mutationErrors('CancelJob'),
    complexity: 10,
    description:
      'Ends a job that is not terminal; a JobStateConflict for one that is COMPLETED or FAILED. Repeating it answers the same job. Needs scaimind:manage.',
    args: {
      jobId: t.arg.id(jobIdArgument),
      reason: t.arg.string({ description: 'Shown in the job’s message; default none.' }),
      saveCheckpoint: t.arg.boolean({ defaultValue: false, description: 'Save a checkpoint before it ends.' }),
    },
    resolve: (_root, { jobId, reason, saveCheckpoint }, { operations, caller }) =>
      operations.jobs.cancel(caller, jobIdOf(jobId), { reason: reason ?? null, saveCheckpoint: saveCheckpoint ?? null }),
  }),
)

builder.mutationField('pauseJob', (t) =>
  t.field({
    type: successOf('PauseJob'),
    errors: mutationErrors('PauseJob'),
    complexity: 10,
    description:
      'Stops a job that is TRAINING or CHECKPOINTING at a checkpoint and gives its resources back; a JobStateConflict from any other state. Needs scaimind:manage.',
    args: {
      jobId: t.arg.id(jobIdArgument),
      saveCheckpoint: t.arg.boolean({ defaultValue: true, description: 'Save a checkpoint; without it, the newest one is gone on from.' }),
    },
    resolve: (_root, { jobId, saveCheckpoint }, { operations, caller }) =>
      operations.jobs.pause(caller, jobIdOf(jobId), { saveCheckpoint: saveCheckpoint ?? null }),
  }),
)

builder.mutationField('resumeJob', (t) =>
  t.field({
    type: successOf('ResumeJob'),
    errors: mutationErrors('ResumeJob'),
    complexity: 10,
    description:
      'Puts a PAUSED job back into the queue; a JobStateConflict from any other state, RequestFailed with CHECKPOINT_NOT_FOUND for a checkpoint that it has not. Needs scaimind:manage.',
    args: {
      jobId: t.arg.id(jobIdArgument),
      checkpointId: t.arg.id({ description: 'Where to go on from; default the newest complete checkpoint.' }),
    },
    resolve: (_root, { jobId, checkpointId }, { operations, caller }) =>
      operations.jobs.resume(caller, jobIdOf(jobId), { checkpointId: checkpointId ?? null }),
  }),
)

builder.mutationField('retryJob', (t) =>
  t.field({
    type: successOf('RetryJob'),
    errors: mutationErrors('RetryJob'),
    complexity: 10,
    description:
      'Starts a new attempt of a FAILED, CANCELLED or PREEMPTED job; a JobStateConflict from any other state, QuotaExceeded where a limit of the tenant is reached, RequestFailed with CHECKPOINT_NOT_FOUND for a checkpoint that it has not. Needs scaimind:manage.',
    args: {
      jobId: t.arg.id(jobIdArgument),
      fromCheckpoint: t.arg.id({ description: 'Where to begin; default the newest complete checkpoint, else the start.' }),
      idempotencyKey: t.arg.string({
        description:
          '1 to 255 printable ASCII characters, kept 7 days: a repeat answers what the first call did. Default none: every call is another retry.',
      }),
    },
    resolve: (_root, { jobId, fromCheckpoint, idempotencyKey }, { operations, caller }) =>
      operations.jobs.retry(caller, jobIdOf(jobId), { fromCheckpoint: fromCheckpoint ?? null, idempotencyKey: idempotencyKey ?? null }),
  }),
)

builder.mutationField('updateJob', (t) =>
  t.field({
    type: successOf('UpdateJob'),
    errors: mutationErrors('UpdateJob'),
    complexity: 10,
    description:
      'Changes the priority of a job that is not terminal (a JobStateConflict for one that is), or the labels of any. InvalidInput names what is wrong. Needs scaimind:manage.',
    args: {
      jobId: t.arg.id(jobIdArgument),
      priority: t.arg.int({ description: '0 to 10; default: as it is.' }),
      labels: t.arg({ type: [KeyValueInput], description: 'Replaces all labels; default: as they are.' }),
    },
    resolve: (_root, { jobId, priority, labels }, { operations, caller }) =>
      operations.jobs.update(caller, jobIdOf(jobId), {
        priority: priority ?? null,
        labels: labels ? toRecord(labels, 'labels') : null,
      }),
  }),
)

builder.mutationField('archiveJob', (t) =>
  t.field({
    type: successOf('ArchiveJob'),
    errors: mutationErrors('ArchiveJob'),
    complexity: 10,
    description:
      'Puts a terminal job out of the way of listings, or back; a JobStateConflict for one that is not terminal. Repeating it answers the same job. Needs scaimind:manage.',
    args: {
      jobId: t.arg.id(jobIdArgument),
      archived: t.arg.boolean({ defaultValue: true, description: 'False puts it back.' }),
    },
    resolve: (_root, { jobId, archived }, { operations, caller }) =>
      operations.jobs.archive(caller, jobIdOf(jobId), { archived: archived ?? true }),
  }),
)
