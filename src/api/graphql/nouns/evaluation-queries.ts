import type { BenchmarkComparison, EvaluationFilter, EvaluationView, ScoreComparison } from '../../operations/evaluation-types.js'
import { builder } from '../builder.js'
import { ConsistencyEnum, JobStatusEnum, ScoreDirectionEnum } from '../enums.js'
import { jobIdOf, ownIdOf } from '../ids.js'
import { finite } from '../scalars.js'
import { EvaluationRef } from './evaluation.js'

const EvaluationFilterInput = builder.inputType('EvaluationFilter', {
  description: 'Which evaluations are meant; what is not given does not filter, what is given must all hold.',
  fields: (t) => ({
    jobId: t.id({ description: 'Only of this job, by its own id or its global one. One that does not exist has none.' }),
    status: t.field({ type: [JobStatusEnum], description: 'Only in one of these states.' }),
  }),
})

function toFilter(filter: typeof EvaluationFilterInput.$inferInput | null | undefined): EvaluationFilter {
  const { jobId, status } = filter ?? {}
  return { jobIds: jobId ? [jobIdOf(jobId)] : undefined, statuses: status ?? undefined }
}

interface ComparedValue {
  evaluationId: string
  entry: ScoreComparison['values'][number]
  isBest: boolean
}

const ComparedValueRef = builder.objectRef<ComparedValue>('ComparedScoreValue').implement({
  description: 'What one evaluation scored.',
  fields: (t) => ({
    evaluationId: t.exposeID('evaluationId', { description: 'The evaluation.' }),
    value: t.float({
      nullable: true,
      description: 'The score; null where the evaluation has none on these records.',
      resolve: ({ entry }) => finite(entry?.value),
    }),
    standardError: t.float({
      nullable: true,
      description: 'Its standard error, in the unit of the score; null where not known.',
      resolve: ({ entry }) => finite(entry?.standardError),
    }),
    numSamples: t.int({
      nullable: true,
      description: 'Records that were scored; null where the evaluation has no such score.',
      resolve: ({ entry }) => entry?.numSamples ?? null,
    }),
    isBest: t.exposeBoolean('isBest', { description: 'Whether it is the best of the row; of equals, the first.' }),
  }),
})

type Compared<Row> = Row & { evaluationIds: string[] }

const ScoreComparisonRef = builder.objectRef<Compared<ScoreComparison>>('ScoreComparison').implement({
  description: 'One score of several evaluations.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'The score: `perplexity`, `loss`, `exact_match`, …' }),
    better: t.field({ type: ScoreDirectionEnum, description: 'Which way is better.', resolve: ({ direction }) => direction }),
    values: t.field({
      type: [ComparedValueRef],
      complexity: { field: 1, multiplier: 5 },
      description: 'The values in the order of the evaluations, one each.',
      resolve: ({ values, bestIndex, evaluationIds }) =>
        values.map((entry, index) => ({ evaluationId: evaluationIds[index] ?? '', entry, isBest: index === bestIndex })),
    }),
    bestEvaluationId: t.id({
      nullable: true,
      description: 'The evaluation with the best value; of equals, the first. Null where none has a value.',
      resolve: ({ bestIndex, evaluationIds }) => (bestIndex === null ? null : (evaluationIds[bestIndex] ?? null)),
    }),
  }),
})

const BenchmarkComparisonRef = builder.objectRef<Compared<BenchmarkComparison>>('BenchmarkComparison').implement({
  description: 'One benchmark on the same records. The same benchmark on other records is another row.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'The benchmark.' }),
    dataset: t.exposeString('dataset', { description: 'The data set, as the first evaluation that ran it named it.' }),
    contentHash: t.exposeString('contentHash', { nullable: true, description: '`sha256:…` of the records; null where it is not known.' }),
    scores: t.field({
      type: [ScoreComparisonRef],
      complexity: { field: 1, multiplier: 3 },
      description: 'Its scores.',
      resolve: ({ scores, evaluationIds }) => scores.map((score) => ({ ...score, evaluationIds })),
    }),
  }),
})

const EvaluationComparisonRef = builder
  .objectRef<{ evaluations: EvaluationView[]; benchmarks: BenchmarkComparison[] }>('EvaluationComparison')
  .implement({
    description: 'Evaluations side by side.',
    fields: (t) => ({
      evaluations: t.field({ type: [EvaluationRef], description: 'In the order that was asked for.', resolve: (c) => c.evaluations }),
      benchmarks: t.field({
        type: [BenchmarkComparisonRef],
        complexity: { field: 1, multiplier: 5 },
        description: 'A row for each benchmark on the same records.',
        resolve: ({ evaluations, benchmarks }) => {
          const evaluationIds = evaluations.map(({ evaluation }) => evaluation.evaluation_id)
          return benchmarks.map((benchmark) => ({ ...benchmark, evaluationIds }))
        },
      }),
    }),
  })

builder.queryFields((t) => ({
  evaluation: t.field({
    type: EvaluationRef,
    nullable: true,
    description:
      'One evaluation. An error with EVALUATION_NOT_FOUND where there is none in the tenant. Needs scaimind:view or scaimind:evaluate.',
    args: {
      evaluationId: t.arg.id({ required: true, description: 'The evaluation, by its own id or its global one.' }),
      consistency: t.arg({ type: ConsistencyEnum, defaultValue: 'CACHED', description: 'Where it is read.' }),
    },
    resolve: (_root, { evaluationId, consistency }, { operations, caller }) =>
      operations.evaluations.get(caller, ownIdOf('Evaluation', evaluationId), { consistency: consistency ?? null }),
  }),
  evaluations: t.connection(
    {
      type: EvaluationRef,
      description:
        'The tenant’s evaluations, newest first. Pages stay in step while evaluations are added. VALIDATION_ERROR names an argument that is wrong. Needs scaimind:view or scaimind:evaluate.',
      args: { filter: t.arg({ type: EvaluationFilterInput, description: 'Which evaluations; default all.' }) },
      complexity: ({ first, last }) => ({ field: 1, multiplier: Math.max(1, first ?? last ?? 20) }),
      resolve: async (_root, { filter, ...page }, { operations, caller }) => {
        const wanted = toFilter(filter)
        return { ...(await operations.evaluations.list(caller, { filter: wanted, page })), filter: wanted }
      },
    },
    {
      name: 'EvaluationConnection',
      description: 'A page of evaluations.',
      fields: (connection) => ({
        totalCount: connection.int({
          description: 'Evaluations that match, on all pages. Counted only where it is asked for.',
          complexity: 20,
          resolve: ({ filter }, _args, { operations, caller }) => operations.evaluations.count(caller, filter),
        }),
      }),
    },
    { name: 'EvaluationEdge', description: 'An evaluation and its place in the list.' },
  ),
  compareEvaluations: t.field({
    type: EvaluationComparisonRef,
    nullable: true,
    complexity: 20,
    description:
      'Evaluations side by side, with the best of each score. VALIDATION_ERROR for fewer than 2, more than 10 or one twice; EVALUATION_NOT_FOUND where one is not the tenant’s. Needs scaimind:view or scaimind:evaluate.',
    args: { evaluationIds: t.arg.idList({ required: true, description: '2 to 10 evaluations, by their own ids or their global ones.' }) },
    resolve: (_root, { evaluationIds }, { operations, caller }) =>
      operations.evaluations.compare(
        caller,
        evaluationIds.map((id) => ownIdOf('Evaluation', id)),
      ),
  }),
}))
