import type { AlignedSeries, Comparison, Difference } from '../../operations/job-types.js'
import { builder } from '../builder.js'
import { jobIdOf } from '../ids.js'
import { JobRef } from './job.js'

const DifferenceRef = builder.objectRef<Difference>('JobDifference').implement({
  description: 'One thing that is not the same in all of the jobs.',
  fields: (t) => ({
    path: t.exposeString('path', {
      description: 'What it is: `trainingConfig.hyperparameters.learning_rate`, `dataConfig.sources[0].path`.',
    }),
    values: t.field({
      type: ['JSON'],
      nullable: { list: false, items: true },
      description: 'Its value in each job, in their order; null where the job has none. Environment values are not told.',
      complexity: { field: 1, multiplier: 1 },
      resolve: ({ values }) => values,
    }),
  }),
})

const AlignedSeriesRef = builder.objectRef<AlignedSeries>('AlignedMetricSeries').implement({
  description: 'One metric of several jobs over the same steps.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'The metric.' }),
    steps: t.exposeIntList('steps', { description: 'The optimizer steps at which any of the jobs has a value, ascending.' }),
    values: t.field({
      type: t.listRef(t.listRef('Float', { nullable: true })),
      description:
        'A list for each job, in their order, with a value for each of `steps`; null where the job has none there, or no number.',
      complexity: { field: 1, multiplier: 1 },
      resolve: ({ values }) => values,
    }),
  }),
})

interface Comparing extends Comparison {
  metrics: readonly string[] | null
  maxPoints: number | null
}

const ComparisonRef = builder.objectRef<Comparing>('JobComparison').implement({
  description: 'Jobs side by side. Only what differs is listed.',
  fields: (t) => ({
    jobs: t.field({
      type: [JobRef],
      complexity: { field: 1, multiplier: 10 },
      description: 'The jobs, in the order that they were asked for.',
      resolve: ({ views }) => views,
    }),
    configs: t.field({ type: [DifferenceRef], description: 'What was submitted differently.', resolve: ({ configs }) => configs }),
    dataHashes: t.field({
      type: [DifferenceRef],
      description: 'Which data differ, by content: `dataHashes[0].contentHash`.',
      resolve: ({ dataHashes }) => dataHashes,
    }),
    code: t.field({ type: [DifferenceRef], description: 'Which code differs: `code.version`.', resolve: ({ code }) => code }),
    metrics: t.field({
      type: [AlignedSeriesRef],
      nullable: true,
      complexity: { field: 100, multiplier: 20 },
      description:
        'Their metrics aligned by step, thinned so that peaks of each job survive; asked of the coordinator: null with an error where it is away.',
      resolve: ({ views, metrics, maxPoints }, _args, { operations, caller }) =>
        operations.jobs.compareMetrics(
          caller,
          views.map(({ job }) => job.job_id),
          { names: metrics, maxPoints },
        ),
    }),
  }),
})

builder.queryField('compareJobs', (t) =>
  t.field({
    type: ComparisonRef,
    complexity: 10,
    description:
      'Jobs side by side: configs, data and code where they differ, and metrics aligned by step. An error with JOB_NOT_FOUND where one is not the tenant’s, with VALIDATION_ERROR naming every wrong argument. Needs scaimind:view.',
    args: {
      jobIds: t.arg.idList({ required: true, description: 'The jobs, 2 to 10 different ones, by their own ids or their global ones.' }),
      metrics: t.arg.stringList({ description: 'Which metrics, at most 20; default all, up to 20.' }),
      maxPoints: t.arg.int({ defaultValue: 500, description: 'Most steps of a metric, 50 to 2,000.' }),
    },
    resolve: async (_root, { jobIds, metrics, maxPoints }, { operations, caller }) => ({
      ...(await operations.jobs.compare(caller, jobIds.map(jobIdOf))),
      metrics: metrics ?? null,
      maxPoints: maxPoints ?? null,
    }),
  }),
)
