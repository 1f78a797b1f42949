import type { DrainedJob__Output } from '../../../generated/proto/scaimind/v1/DrainedJob.js'
import type { DrainForecast__Output } from '../../../generated/proto/scaimind/v1/DrainForecast.js'
import { builder } from '../builder.js'
import { orNull, timeOf } from '../scalars.js'

const DrainedJobRef = builder.objectRef<DrainedJob__Output>('DrainedJob').implement({
  description: 'A job that runs on a machine which is to be drained.',
  fields: (t) => ({
    jobId: t.id({ nullable: true, description: 'The job, where it is the tenant’s.', resolve: (j) => orNull(j.job_id) }),
    attempt: t.exposeInt('attempt', { description: 'Its number.' }),
    gpuCount: t.exposeInt('gpu_count', { description: 'GPUs that it holds, on all its machines.' }),
    gpuMinutesLostWithCheckpoints: t.exposeFloat('gpu_minutes_lost_with_checkpoints', {
      description:
        'GPU minutes that an eviction costs where trainers save before they stop: 0 for one that said it can, otherwise as without.',
    }),
    gpuMinutesLostWithoutCheckpoints: t.exposeFloat('gpu_minutes_lost_without_checkpoints', {
      description:
        'GPU minutes that it costs where nothing is saved any more: all since the newest complete checkpoint, or since the attempt started.',
    }),
    expectedEnd: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'By its trainer’s estimate or its limit, whichever is sooner; null where neither is known.',
      resolve: (j) => timeOf(j.expected_end),
    }),
  }),
})

/** What draining a machine would mean. */
export const DrainForecastRef = builder.objectRef<DrainForecast__Output>('DrainForecast').implement({
  description: 'What draining a machine would mean.',
  fields: (t) => ({
    jobs: t.field({ type: [DrainedJobRef], description: 'What runs there, all tenants’ jobs.', resolve: (f) => f.jobs }),
    gpuMinutesLostWithCheckpoints: t.exposeFloat('gpu_minutes_lost_with_checkpoints', {
      description: 'What an eviction costs over all jobs, where trainers save before they stop.',
    }),
    gpuMinutesLostWithoutCheckpoints: t.exposeFloat('gpu_minutes_lost_without_checkpoints', {
      description: 'What it costs over all jobs, where nothing is saved any more.',
    }),
    freeAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When all that runs there is expected to be over, if nothing is evicted; null where that is not known of one of them.',
      resolve: (f) => timeOf(f.free_at),
    }),
    freeAtIfEvicted: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When the machine would be free at the latest if all were evicted now.',
      resolve: (f) => timeOf(f.free_at_if_evicted),
    }),
  }),
})
