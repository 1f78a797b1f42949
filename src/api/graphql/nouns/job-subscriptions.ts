import type { LogRecord__Output } from '../../../generated/proto/scaimind/v1/LogRecord.js'
import type { MetricRecord__Output } from '../../../generated/proto/scaimind/v1/MetricRecord.js'
import type { JobUpdate, LiveMessage } from '../../operations/job-types.js'
import { builder } from '../builder.js'
import { JobStatusEnum, LogLevelEnum } from '../enums.js'
import { jobIdOf } from '../ids.js'
import { finite, timeOf } from '../scalars.js'
import { JobRef } from './job.js'
import { JobEventRef } from './job-history.js'
import { LogRecordRef } from './job-logs.js'
import { JobFilterInput, toJobFilter } from './job-queries.js'

type Batch<Item> = Extract<LiveMessage<Item>, { type: 'batch' }>
type Gap = Extract<LiveMessage<unknown>, { type: 'gap' }>
type End = Extract<LiveMessage<unknown>, { type: 'end' }>

const cursorDescription = 'Of the last thing in it. A stream opened `after` it goes on with the next: nothing lost, nothing twice.'
const overtakenDescription =
  'After a cursor, changes of state are told for as long as a job is kept; updates in between that a later change has overtaken are told for an hour. Every message has the whole job, so that nothing of its state is lost by that.'
const afterDescription = 'Go on after this cursor of an earlier message; default from what the field says.'

const JobUpdateRef = builder.objectRef<JobUpdate>('JobUpdate').implement({
  description: 'A job as it is, or as a change left it.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', {
      description: 'Of this message. A stream opened `after` it goes on with the next change that is still told.',
    }),
    event: t.field({
      type: JobEventRef,
      nullable: true,
      description: 'What changed; null in the first message of `jobUpdated` without `after`, which tells the job as it is.',
      resolve: ({ event }) => event,
    }),
    job: t.field({
      type: JobRef,
      nullable: true,
      description: 'The job as this change left it; null where it was deleted.',
      resolve: ({ job }) => job,
    }),
  }),
})

const MetricValueRef = builder.objectRef<{ name: string; value: number }>('MetricValue').implement({
  description: 'One value of a metric record.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'The metric.' }),
    value: t.float({ nullable: true, description: 'Its value; null where it is NaN or infinite.', resolve: (v) => finite(v.value) }),
  }),
})

const MetricRecordRef = builder.objectRef<MetricRecord__Output>('MetricRecord').implement({
  description: 'One line of a trainer’s metrics.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: 'Its own cursor.' }),
    step: t.int({ description: 'The optimizer step.', resolve: (r) => Number(r.step) }),
    epoch: t.exposeFloat('epoch', { description: 'Passes over the data done, a fraction within one.' }),
    time: t.field({ type: 'DateTime', nullable: true, description: 'When it was written.', resolve: (r) => timeOf(r.time) }),
    attempt: t.exposeInt('attempt', { description: 'The attempt that wrote it; a rise tells that steps may begin again.' }),
    values: t.field({
      type: [MetricValueRef],
      description: 'Its values.',
      resolve: (r) => Object.entries(r.values).map(([name, value]) => ({ name, value })),
    }),
    valuesJson: t.field({
      type: 'JSON',
      description: 'Its values as a JSON object.',
      resolve: (r) => Object.fromEntries(Object.entries(r.values).map(([name, value]) => [name, finite(value)])),
    }),
  }),
})

const MetricBatchRef = builder.objectRef<Batch<MetricRecord__Output>>('MetricBatch').implement({
  description: 'Metric records, in their order.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: cursorDescription }),
    records: t.field({ type: [MetricRecordRef], description: 'The records.', resolve: ({ records }) => records }),
    thinned: t.exposeInt('thinned', {
      description:
        'Records left out since the message before: because of `maxPerSecond`, or because this reader took less than came; then of each window of steps the newest is told.',
    }),
  }),
})

const LogBatchRef = builder.objectRef<Batch<LogRecord__Output>>('LogBatch').implement({
  description: 'Log lines, in their order.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: cursorDescription }),
    records: t.field({ type: [LogRecordRef], description: 'The lines.', resolve: ({ records }) => records }),
  }),
})

const StreamGapRef = builder.objectRef<Gap>('StreamGap').implement({
  description:
    'Records that this reader does not get: they are no longer kept, or came faster than it took them. The stream goes on after them.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: cursorDescription }),
    from: t.string({
      nullable: true,
      description: 'The cursor before the first that is gone; null: the first of all.',
      resolve: ({ from }) => from || null,
    }),
    to: t.string({
      nullable: true,
      description: 'The cursor of the last that is gone; null where unknown.',
      resolve: ({ to }) => to || null,
    }),
    reason: t.exposeString('reason', { description: 'Why.' }),
  }),
})

const StreamEndRef = builder.objectRef<End>('StreamEnd').implement({
  description: 'Nothing follows.',
  fields: (t) => ({
    cursor: t.exposeString('cursor', { description: cursorDescription }),
    status: t.field({ type: JobStatusEnum, description: 'The job’s terminal status.', resolve: ({ status }) => status }),
    reason: t.exposeString('reason', { description: 'Why the stream ended.' }),
  }),
})

const MetricEventRef = builder.unionType('MetricEvent', {
  description: 'A message of `jobMetrics`.',
  types: [MetricBatchRef, StreamGapRef, StreamEndRef],
  resolveType: ({ type }) => ({ batch: 'MetricBatch', gap: 'StreamGap', end: 'StreamEnd' })[type],
})

const LogEventRef = builder.unionType('LogEvent', {
  description: 'A message of `jobLogs`.',
  types: [LogBatchRef, StreamGapRef, StreamEndRef],
  resolveType: ({ type }) => ({ batch: 'LogBatch', gap: 'StreamGap', end: 'StreamEnd' })[type],
})

builder.subscriptionFields((t) => ({
  jobUpdated: t.field({
    type: JobUpdateRef,
    description: `One job: as it is now, then every change; or the changes after a cursor. Ends when the job is terminal and all is told. ${overtakenDescription} Needs scaimind:view.`,
    args: {
      jobId: t.arg.id({ required: true, description: 'The job, by its own id or its global one.' }),
      after: t.arg.string({ description: afterDescription }),
    },
    subscribe: (_root, { jobId, after }, { operations, caller }) =>
      operations.jobs.followJob(caller, jobIdOf(jobId), { after: after ?? null }),
    resolve: (update) => update,
  }),
  jobsUpdated: t.field({
    type: JobUpdateRef,
    description: `Changes of the tenant’s jobs that match after the change, from now or after a cursor; never ends by itself. ${overtakenDescription} Needs scaimind:view.`,
    args: {
      filter: t.arg({ type: JobFilterInput, description: 'Which jobs; default all.' }),
      after: t.arg.string({ description: afterDescription }),
    },
    subscribe: (_root, { filter, after }, { operations, caller }) =>
      operations.jobs.followJobs(caller, { filter: toJobFilter(filter), after: after ?? null }),
    resolve: (update) => update,
  }),
  jobMetrics: t.field({
    type: MetricEventRef,
    description:
      'Metrics as they are written, from the first or after a cursor. A reader that takes less than comes is told the newest, and how many were left out. Waits for a job that has not started; ends with StreamEnd. Needs scaimind:view.',
    args: {
      jobId: t.arg.id({ required: true, description: 'The job, by its own id or its global one.' }),
      names: t.arg.stringList({ description: 'Which metrics; default all.' }),
      after: t.arg.string({ description: afterDescription }),
      maxPerSecond: t.arg.int({ description: 'At most so many records a second, the newest; default all.' }),
    },
    subscribe: (_root, { jobId, names, after, maxPerSecond }, { operations, caller }) =>
      operations.jobs.followMetrics(caller, jobIdOf(jobId), {
        names: names ?? null,
        after: after ?? null,
        maxPerSecond: maxPerSecond ?? null,
      }),
    resolve: (message) => message,
  }),
  jobLogs: t.field({
    type: LogEventRef,
    description:
      'Log lines as they are written, from the first, from the last `tail` lines, or after a cursor; every line, however slowly they are taken. Ends with StreamEnd. Needs scaimind:view.',
    args: {
      jobId: t.arg.id({ required: true, description: 'The job, by its own id or its global one.' }),
      level: t.arg({ type: LogLevelEnum, description: 'Only lines of this level or graver; default all.' }),
      rank: t.arg.int({ description: 'Only lines of this process, from 0; default all.' }),
      after: t.arg.string({ description: afterDescription }),
      tail: t.arg.int({ description: 'Begin with the last so many lines, at most 1,000; default with the first. Ignored with `after`.' }),
    },
    subscribe: (_root, { jobId, level, rank, after, tail }, { operations, caller }) =>
      operations.jobs.followLogs(caller, jobIdOf(jobId), {
        level: level ?? null,
        rank: rank ?? null,
        after: after ?? null,
        tail: tail ?? null,
      }),
    resolve: (message) => message,
  }),
}))
