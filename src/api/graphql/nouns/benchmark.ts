import type { Benchmark__Output } from '../../../generated/proto/scaimind/v1/Benchmark.js'
import type { BenchmarkResult__Output } from '../../../generated/proto/scaimind/v1/BenchmarkResult.js'
import type { BenchmarkSample__Output } from '../../../generated/proto/scaimind/v1/BenchmarkSample.js'
import { betterWay } from '../../operations/evaluation-comparison.js'
import { builder } from '../builder.js'
import { ScoreDirectionEnum } from '../enums.js'
import { finite, orNull } from '../scalars.js'
import { asJson, entries } from './job-configs.js'

/** One benchmark to run. */
export const BenchmarkRef = builder.objectRef<Benchmark__Output>('Benchmark').implement({
  description: 'One benchmark of an evaluation, as it was asked for.',
  fields: (t) => ({
    name: t.exposeString('name', { description: '`perplexity`, `exact_match` or `bytes_accuracy` for the embedded trainer.' }),
    dataset: t.exposeString('dataset', { description: 'A file under the data roots, or the id of an uploaded data set.' }),
    numSamples: t.int({
      nullable: true,
      description: 'At most so many records, from the first; null: all.',
      resolve: (b) => orNull(b.num_samples),
    }),
    parameters: entries(t, 'Further settings.', (b) => b.parameters),
    parametersJson: asJson(t, 'Further settings.', (b) => b.parameters),
  }),
})

const BenchmarkSampleRef = builder.objectRef<BenchmarkSample__Output>('BenchmarkSample').implement({
  description: 'One record of a benchmark, for people to look at.',
  fields: (t) => ({
    prompt: t.exposeString('prompt', { description: 'What the model was given.' }),
    expected: t.exposeString('expected', { description: 'What the record says.' }),
    answer: t.exposeString('answer', { description: 'What the model said.' }),
    score: t.float({
      nullable: true,
      description: '1: right, 0: wrong; what the benchmark says for others. Null where it is no number.',
      resolve: (s) => finite(s.score),
    }),
  }),
})

interface Score {
  name: string
  value: number
  standardError: number | undefined
}

const BenchmarkScoreRef = builder.objectRef<Score>('BenchmarkScore').implement({
  description: 'One score of a benchmark.',
  fields: (t) => ({
    name: t.exposeString('name', {
      description: '`perplexity`, `loss` (nats a token), `exact_match` or `bytes_accuracy` (fractions, 0 to 1).',
    }),
    value: t.float({ nullable: true, description: 'Its value; null where it is NaN or infinite.', resolve: (s) => finite(s.value) }),
    standardError: t.float({
      nullable: true,
      description: 'Its standard error, in the unit of the score; null where not known.',
      resolve: (s) => finite(s.standardError),
    }),
    better: t.field({ type: ScoreDirectionEnum, description: 'Which way is better.', resolve: (s) => betterWay(s.name) }),
  }),
})

/** The result of one benchmark. */
export const BenchmarkResultRef = builder.objectRef<BenchmarkResult__Output>('BenchmarkResult').implement({
  description: 'The result of one benchmark.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'The benchmark.' }),
    dataset: t.exposeString('dataset', { description: 'The data set, as it was asked for.' }),
    contentHash: t.string({
      nullable: true,
      description: '`sha256:…` of the records that were scored: results with the same hash can be compared. Null where it is not known.',
      resolve: (r) => orNull(r.content_hash),
    }),
    numSamples: t.exposeInt('num_samples', { description: 'Records that were scored.' }),
    scores: t.field({
      type: [BenchmarkScoreRef],
      complexity: { field: 1, multiplier: 3 },
      description: 'Its scores with their standard errors.',
      resolve: (r) => Object.entries(r.scores).map(([name, value]) => ({ name, value, standardError: r.standard_errors[name] })),
    }),
    scoresJson: t.field({ type: 'JSON', description: 'Its scores as a JSON object, by name.', resolve: (r) => numbers(r.scores) }),
    standardErrors: t.field({
      type: 'JSON',
      description: 'Standard errors as a JSON object, by name of the score.',
      resolve: (r) => numbers(r.standard_errors),
    }),
    samples: t.field({
      type: [BenchmarkSampleRef],
      complexity: { field: 1, multiplier: 5 },
      description: 'The first 20 records.',
      resolve: (r) => r.samples,
    }),
  }),
})

const numbers = (values: Record<string, number>) => Object.fromEntries(Object.entries(values).map(([name, value]) => [name, finite(value)]))
