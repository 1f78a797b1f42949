import type { FieldProblem } from '../../../contract/failure.js'
import { nearMiss } from '../../../contract/near-miss.js'
import type { Benchmark__Output } from '../../../generated/proto/scaimind/v1/Benchmark.js'
import { boolean, integer, type Kind, oneOf } from './kinds.js'

const metrics = ['perplexity', 'exact_match', 'contains', 'multiple_choice']
/** What measures the answers to questions of the user's own; for the trainer of HuggingFace models every other name is a task of lm-evaluation-harness, which brings its data. */
const ownDataMeasures = [...metrics, 'bytes_accuracy']

const batchSize = integer(1, 4096)
const ofRecords: Record<string, Kind> = { metric: oneOf(...metrics), batch_size: batchSize }
const ofAnswers: Record<string, Kind> = { ...ofRecords, max_tokens: integer(1, 4096), ignore_case: boolean }
const ofHarness: Record<string, Kind> = {
  num_fewshot: integer(0, 1000),
  batch_size: { fits: (text) => text === 'auto' || batchSize.fits(text), text: `${batchSize.text}, or auto` },
  seed: integer(0, 2 ** 32 - 1),
  apply_chat_template: boolean,
}

/** What is wrong with benchmarks, by field: those without the data that they need, and for the trainer of HuggingFace models (`isHf`) settings as that reads them. Pure. */
export function benchmarkProblems(benchmarks: Pick<Benchmark__Output, 'name' | 'dataset' | 'parameters'>[], isHf: boolean): FieldProblem[] {
  return benchmarks.flatMap((benchmark, index) => {
    const { name, dataset } = benchmark
    if (dataset === '' && !(isHf && !ownDataMeasures.includes(name)))
      return [{ path: `benchmarks[${index}].dataset`, message: 'Name a file, or the id of an uploaded data set.' }]
    return isHf ? parameterProblems(benchmark, `benchmarks[${index}]`) : []
  })
}

function parameterProblems(
  { name, dataset, parameters }: Pick<Benchmark__Output, 'name' | 'dataset' | 'parameters'>,
  at: string,
): FieldProblem[] {
  const metric = dataset === '' ? '' : (parameters.metric ?? name)
  const field = `${at}.${parameters.metric === undefined ? 'name' : 'parameters.metric'}`
  if (metric !== '' && !metrics.includes(metric)) {
    const message = `Benchmarks on records are ${metrics.join(', ')}, not ${JSON.stringify(metric)}: give one of them as the name, or as the parameter metric.`
    return [{ path: field, message }]
  }
  if (metric !== '' && metrics.includes(name) && name !== metric)
    return [{ path: field, message: `The benchmark is named ${name}, and its metric is ${metric}.` }]
  const kinds = metric === '' ? ofHarness : ['exact_match', 'contains'].includes(metric) ? ofAnswers : ofRecords
  const known = Object.keys(kinds)
  return Object.entries(parameters).flatMap(([parameter, value]) => {
    const path = `${at}.parameters.${parameter}`
    const kind = Object.hasOwn(kinds, parameter) ? kinds[parameter] : undefined
    if (!kind) return [{ path, message: `${parameter} is not known${nearMiss(parameter, known)}. Known: ${known.join(', ')}.` }]
    return kind.fits(value) ? [] : [{ path, message: `${parameter} must be ${kind.text}, not ${JSON.stringify(value)}.` }]
  })
}
