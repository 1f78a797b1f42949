import { jobStatuses } from '../../../contract/statuses.js'
import type { Checkpoint__Output } from '../../../generated/proto/scaimind/v1/Checkpoint.js'
import type { JobEvent__Output } from '../../../generated/proto/scaimind/v1/JobEvent.js'
import type { MetricPoint__Output } from '../../../generated/proto/scaimind/v1/MetricPoint.js'
import type { MetricSeries__Output } from '../../../generated/proto/scaimind/v1/MetricSeries.js'
import { builder } from '../builder.js'
import { JobEventTypeEnum, JobStatusEnum, jobEventTypes, known } from '../enums.js'
import { finite, orNull, timeOf } from '../scalars.js'
import type { MetricValueAt } from './metrics.js'

/** One value of one metric. */
export const MetricRef = builder.objectRef<MetricValueAt>('Metric').implement({
  description: 'One value of one metric.',
  fields: (t) => ({
    name: t.exposeString('name', { description: '`loss`, `learning_rate`, `tokens_per_second`, …' }),
    value: t.float({ nullable: true, description: 'Its value; null where it is NaN or infinite.', resolve: (m) => finite(m.value) }),
    step: t.int({ description: 'The optimizer step.', resolve: (m) => Number(m.step) }),
    epoch: t.exposeFloat('epoch', { description: 'Passes over the data done.' }),
    time: t.field({ type: 'DateTime', nullable: true, description: 'When it was written.', resolve: (m) => timeOf(m.time) }),
    attempt: t.exposeInt('attempt', { description: 'The attempt that wrote it.' }),
  }),
})

const MetricPointRef = builder.objectRef<MetricPoint__Output>('MetricPoint').implement({
  description: 'One value of a series.',
  fields: (t) => ({
    step: t.int({ description: 'The optimizer step.', resolve: (p) => Number(p.step) }),
    value: t.float({ nullable: true, description: 'Its value; null where it is NaN or infinite.', resolve: (p) => finite(p.value) }),
    time: t.field({ type: 'DateTime', nullable: true, description: 'When it was written.', resolve: (p) => timeOf(p.time) }),
    attempt: t.exposeInt('attempt', { description: 'The attempt that wrote it.' }),
  }),
})

/** One metric over steps. */
export const MetricSeriesRef = builder.objectRef<MetricSeries__Output>('MetricSeries').implement({
  description: 'One metric over steps. After a resume, later attempts replace earlier points beyond its step.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'The metric.' }),
    points: t.field({
      type: [MetricPointRef],
      description: 'Its points by step.',
      complexity: { field: 1, multiplier: 5 },
      resolve: (s) => s.points,
    }),
  }),
})

/** A change of a job. */
export const JobEventRef = builder.objectRef<JobEvent__Output>('JobEvent').implement({
  description: 'One change of a job.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: 'Its place among the tenant’s changes.' }),
    jobId: t.exposeID('job_id', { description: 'The job that changed.' }),
    type: t.field({
      type: JobEventTypeEnum,
      description: 'What the change was.',
      resolve: (e) => known(jobEventTypes, e.type) ?? 'UPDATED',
    }),
    fromStatus: t.field({
      type: JobStatusEnum,
      nullable: true,
      description: 'The state before; null for its first event.',
      resolve: (e) => known(jobStatuses, e.from_status),
    }),
    toStatus: t.field({
      type: JobStatusEnum,
      nullable: true,
      description: 'The state after; the last one where it was deleted.',
      resolve: (e) => known(jobStatuses, e.to_status),
    }),
    time: t.field({ type: 'DateTime', nullable: true, description: 'When it happened.', resolve: (e) => timeOf(e.time) }),
    message: t.string({ nullable: true, description: 'One sentence on it.', resolve: (e) => orNull(e.message) }),
    attempt: t.int({
      nullable: true,
      description: 'The attempt that it happened in, from 1; null before the first.',
      resolve: (e) => orNull(e.attempt),
    }),
  }),
})

/** A state that training can go on from. */
export const CheckpointRef = builder.objectRef<Checkpoint__Output>('Checkpoint').implement({
  description: 'A state that training can go on from.',
  fields: (t) => ({
    checkpointId: t.exposeID('checkpoint_id', { description: 'Its id, for resumeJob, retryJob and `resumeFromCheckpoint`.' }),
    attempt: t.exposeInt('attempt', { description: 'The attempt that saved it, from 1.' }),
    step: t.int({ description: 'The optimizer step.', resolve: (c) => Number(c.step) }),
    path: t.exposeString('path', { description: 'Absolute path of the folder.' }),
    bytes: t.field({ type: 'BigInt', description: 'Bytes of its files on disk.', resolve: (c) => c.bytes }),
    createdAt: t.field({ type: 'DateTime', nullable: true, description: 'When it was saved.', resolve: (c) => timeOf(c.created_at) }),
    metrics: t.field({ type: 'JSON', description: 'Metric values at its step, as a JSON object.', resolve: (c) => c.metrics }),
  }),
})
