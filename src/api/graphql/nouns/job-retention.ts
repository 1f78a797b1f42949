import { jobStatuses, retentionScopes } from '../../../contract/statuses.js'
import type { RetentionItem__Output } from '../../../generated/proto/scaimind/v1/RetentionItem.js'
import type { RetentionPlan__Output } from '../../../generated/proto/scaimind/v1/RetentionPlan.js'
import type { RetentionResult__Output } from '../../../generated/proto/scaimind/v1/RetentionResult.js'
import { builder } from '../builder.js'
import { JobStatusEnum, known, RetentionScopeEnum } from '../enums.js'
import { mutationErrors } from '../failure.js'
import { orNull, timeOf } from '../scalars.js'

const RetentionPolicyInput = builder.inputType('RetentionPolicyInput', {
  description:
    'What is not needed any more. Only terminal jobs are ever meant, and never one that another job depends on or that an evaluation runs on.',
  fields: (t) => ({
    scope: t.field({ type: RetentionScopeEnum, required: true, description: 'What of the jobs is deleted.' }),
    finishedBefore: t.field({ type: 'DateTime', description: 'Only jobs that finished before this time; this or olderThanDays.' }),
    olderThanDays: t.int({ description: 'Only jobs that finished so many days ago or earlier, from 0; this or finishedBefore.' }),
    statuses: t.field({ type: [JobStatusEnum], description: 'Only jobs in these terminal states; default all three.' }),
    archivedOnly: t.boolean({ defaultValue: true, description: 'Only archived jobs.' }),
  }),
})

const RetentionItemRef = builder.objectRef<RetentionItem__Output>('RetentionItem').implement({
  description: 'One job that retention deletes, or deletes something of.',
  fields: (t) => ({
    jobId: t.exposeID('job_id', { description: 'The job.' }),
    name: t.exposeString('name', { description: 'Its name.' }),
    status: t.field({
      type: JobStatusEnum,
      nullable: true,
      description: 'The state that it ended in; null for a state that this API does not know yet.',
      resolve: (i) => known(jobStatuses, i.status),
    }),
    finishedAt: t.field({ type: 'DateTime', nullable: true, description: 'When it ended.', resolve: (i) => timeOf(i.finished_at) }),
    bytes: t.field({ type: 'BigInt', description: 'Bytes on disk of what is deleted.', resolve: (i) => i.bytes }),
    checkpoints: t.idList({ description: 'Ids of the checkpoints that are deleted.', resolve: (i) => i.checkpoints }),
    kept: t.string({
      nullable: true,
      description: 'Why it was kept after all; null in a plan, and where it was deleted.',
      resolve: (i) => orNull(i.kept),
    }),
  }),
})

const RetentionPlanRef = builder.objectRef<RetentionPlan__Output>('RetentionPlan').implement({
  description: 'What retention would delete.',
  fields: (t) => ({
    planId: t.exposeID('plan_id', { description: 'For applyRetention, within an hour.' }),
    scope: t.field({
      type: RetentionScopeEnum,
      description: 'What of the jobs is deleted.',
      resolve: (p) => known(retentionScopes, p.scope) ?? 'CHECKPOINTS',
    }),
    items: t.field({
      type: [RetentionItemRef],
      complexity: { field: 1, multiplier: 50 },
      description: 'A job each, the longest finished first, at most 500.',
      resolve: (p) => p.items,
    }),
    bytes: t.field({ type: 'BigInt', description: 'Bytes that would be free.', resolve: (p) => p.bytes }),
    hasMore: t.exposeBoolean('has_more', { description: 'Whether more than 500 jobs match: plan again after this one is applied.' }),
  }),
})

const ApplyRetentionSuccess = builder.objectRef<RetentionResult__Output>('ApplyRetentionSuccess').implement({
  description: 'What was deleted.',
  fields: (t) => ({
    items: t.field({
      type: [RetentionItemRef],
      complexity: { field: 1, multiplier: 50 },
      description: 'The jobs of the plan; those that changed since were kept.',
      resolve: (r) => r.items,
    }),
    bytes: t.field({ type: 'BigInt', description: 'Bytes that are free now.', resolve: (r) => r.bytes }),
  }),
})

builder.queryField('retentionPlan', (t) =>
  t.field({
    type: RetentionPlanRef,
    complexity: 20,
    description:
      'What a retention policy would delete now; deletes nothing. An error with VALIDATION_ERROR names every wrong field. Needs scaimind:manage.',
    args: { policy: t.arg({ type: RetentionPolicyInput, required: true, description: 'What is not needed any more.' }) },
    resolve: (_root, { policy }, { operations, caller }) => operations.jobs.planRetention(caller, policy),
  }),
)

builder.mutationField('applyRetention', (t) =>
  t.field({
    type: ApplyRetentionSuccess,
    errors: mutationErrors('ApplyRetention'),
    complexity: 20,
    description:
      'Deletes what a plan named, but for jobs that changed since. InvalidInput naming `planId` for a plan that is not the tenant’s or older than an hour. Needs scaimind:manage.',
    args: { planId: t.arg.id({ required: true, description: 'The `planId` of a retentionPlan.' }) },
    resolve: (_root, { planId }, { operations, caller }) => operations.jobs.applyRetention(caller, planId),
  }),
)
