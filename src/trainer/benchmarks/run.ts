import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { TEXT_RECORDS, type TrainingRecord } from '../data/record.js'
import { DATA_FORMATS, formatOf, readSource, type SourceRecords } from '../data/records.js'
import type { BenchmarkResult, BenchmarkSample, Journal } from '../journal.js'
import type { Decodable } from '../model/decode.js'
import { modelFolder } from '../model/folder.js'
import { loadForGeneration } from '../model/load.js'
import { TrainerFailure } from '../problems.js'
import { breathe, type Requests, Stopped } from '../signals.js'
import { answerTo, questionOf, ratioOf, type TokenTally, tallyRecord } from './measures.js'
import { type BenchmarkPlan, type GivenBenchmark, readBenchmarks } from './parameters.js'

/** What `job.json` of an evaluation says: a model (its folder, an adapter's, a checkpoint's, or `scaimind/…`) and benchmarks. */
export interface EvaluationOrder {
  model: string
  /** Where the model is an adapter: the base model that it is read with. */
  base: string
  benchmarks: GivenBenchmark[]
}

/** What a run of benchmarks is given. */
export interface BenchmarkRun {
  order: EvaluationOrder
  journal: Journal
  requests: Requests
}

const samplesMax = 20
const sampleCharactersMax = 1000
const progressIntervalMs = 400

/** Runs benchmarks one after the other and tells each one's result as it is done. Throws Stopped on request, TrainerFailure for what can be expected to go wrong. */
export async function runBenchmarks({ order, journal, requests }: BenchmarkRun): Promise<void> {
  const { plans, problems } = readBenchmarks(order.benchmarks)
  const [problem] = problems
  if (problem) throw new TrainerFailure('CODE', problem.message, { field: problem.path })
  // A file is held once, however many benchmarks run on it.
  const files = new Map<string, TrainingRecord[]>()
  const data = plans.map(({ path, numSamples }, index) => {
    const records = files.get(path) ?? readRecords(path, index)
    files.set(path, records)
    return numSamples > 0 ? records.slice(0, numSamples) : records
  })
  const model = openModel(order)
  journal.event({ type: 'phase', phase: 'EVALUATING' })
  const report = progressReporter(
    journal,
    data.reduce((sum, { length }) => sum + length, 0),
  )
  for (const [index, plan] of plans.entries()) {
    const records = data[index] ?? []
    const result = await measure(plan, records, model, async (tokens) => {
      report(tokens)
      await breathe()
      if (requests.stop) throw new Stopped()
    })
    journal.event({ type: 'benchmark', index, result })
    journal.metrics(index + 1, 0, result.scores)
    const told = Object.entries(result.scores).map(([name, score]) => `${name} ${score.toFixed(4)}`)
    journal.log(`${plan.name} on ${basename(plan.path)}: ${told.join(', ')} (${result.num_samples} records)`)
  }
}

/** The model that is evaluated. Throws an Error that says what is missing. */
export function loadModel({ model, base }: Pick<EvaluationOrder, 'model' | 'base'>): Decodable {
  const folder = modelFolder(model)
  if (!folder) throw new Error(`there is no model ${model}`)
  return loadForGeneration(folder, modelFolder(base) ?? '')
}

function openModel(order: EvaluationOrder): Decodable {
  try {
    return loadModel(order)
  } catch (cause) {
    throw new TrainerFailure('DATA', `The model cannot be read: ${(cause as Error).message}.`, { field: 'model_uri' }, { cause })
  }
}

function readRecords(path: string, index: number): TrainingRecord[] {
  const field = `benchmarks[${index}].dataset`
  const format = formatOf(path, '')
  if (!format) throw new TrainerFailure('DATA', `${basename(path)} is in none of the formats ${DATA_FORMATS.join(', ')}.`, { field })
  let read: SourceRecords<TrainingRecord>
  try {
    read = readSource(path, format, TEXT_RECORDS)
  } catch (cause) {
    throw new TrainerFailure('DATA', `${(cause as Error).message}.`, { field }, { cause })
  }
  const [bad] = read.badLines
  if (bad) throw new TrainerFailure('DATA', `${basename(path)}, line ${bad.line}: ${bad.reason}.`, { field })
  if (read.records.length === 0) throw new TrainerFailure('DATA', `${basename(path)} has no records.`, { field })
  return read.records
}

async function measure(
  plan: BenchmarkPlan,
  records: readonly TrainingRecord[],
  model: Decodable,
  after: (tokens: number) => Promise<void>,
): Promise<BenchmarkResult> {
  const result = { name: plan.name, dataset: plan.dataset, num_samples: records.length, content_hash: contentHashOf(records) }
  if (plan.name === 'exact_match') {
    const samples: BenchmarkSample[] = []
    for (const [index, record] of records.entries()) {
      const question = questionOf(record)
      if (!question) {
        const message = `exact_match asks for "prompt" and "completion", or "messages"; record ${index + 1} of ${basename(plan.path)} has no answer to match.`
        throw new TrainerFailure('DATA', message, { field: 'benchmarks' })
      }
      const answer = answerTo(model, question.prompt, plan.maxTokens)
      samples.push({
        prompt: question.prompt,
        expected: question.expected,
        answer,
        score: isMatch(question.expected, answer, plan) ? 1 : 0,
      })
      await after(question.expected.length)
    }
    const { ratio, standardError } = ratioOf(samples.map(({ score }) => ({ amount: score, of: 1 })))
    return {
      ...result,
      scores: { exact_match: ratio },
      standard_errors: { exact_match: standardError },
      samples: samples.slice(0, samplesMax).map(shortened),
    }
  }
  const tallies: TokenTally[] = []
  const samples: BenchmarkSample[] = []
  for (const record of records) {
    const tally = tallyRecord(model, record)
    tallies.push(tally)
    if (samples.length < samplesMax) samples.push(shortened(sampleOf(plan, record, tally)))
    await after(tally.tokens)
  }
  if (!Number.isFinite(tallies.reduce((sum, { nats }) => sum + nats, 0)))
    throw new TrainerFailure('NAN_LOSS', `The model gives no finite loss on ${basename(plan.path)}.`, { field: 'model_uri' })
  if (plan.name === 'bytes_accuracy') {
    if (tallies.every(({ bytes }) => bytes === 0))
      throw new TrainerFailure('DATA', `${basename(plan.path)} has no text to predict.`, { field: 'benchmarks' })
    const { ratio, standardError } = ratioOf(tallies.map(({ right, bytes }) => ({ amount: right, of: bytes })))
    return { ...result, scores: { bytes_accuracy: ratio }, standard_errors: { bytes_accuracy: standardError }, samples }
  }
  const { ratio: loss, standardError } = ratioOf(tallies.map(({ nats, tokens }) => ({ amount: nats, of: tokens })))
  const perplexity = Math.exp(loss)
  // The error of an exponential, to first order.
  const errors = { perplexity: perplexity * standardError, loss: standardError }
  return { ...result, scores: { perplexity, loss }, standard_errors: errors, samples }
}

const isMatch = (expected: string, answer: string, { ignoreCase }: BenchmarkPlan): boolean => {
  const plain = (text: string) => (ignoreCase ? text.trim().toLowerCase() : text.trim())
  return plain(expected) === plain(answer)
}

/** A record of a benchmark that asks no question: its text, and its own score. */
function sampleOf({ name }: BenchmarkPlan, record: TrainingRecord, tally: TokenTally): BenchmarkSample {
  const question = questionOf(record)
  const expected = question?.expected ?? (record.kind === 'text' ? record.text : '')
  const score = name === 'bytes_accuracy' ? tally.right / Math.max(1, tally.bytes) : Math.exp(tally.nats / Math.max(1, tally.tokens))
  return { prompt: question?.prompt ?? '', expected, answer: '', score }
}

const shortened = ({ prompt, expected, answer, score }: BenchmarkSample): BenchmarkSample => ({
  prompt: prompt.slice(-sampleCharactersMax),
  expected: expected.slice(0, sampleCharactersMax),
  answer: answer.slice(0, sampleCharactersMax),
  score,
})

/** Of what was read, not of how it was written: white space and the order of keys in a file change nothing. */
function contentHashOf(records: readonly TrainingRecord[]): string {
  const hash = createHash('sha256')
  for (const record of records) hash.update(`${JSON.stringify(record)}\n`)
  return `sha256:${hash.digest('hex')}`
}

/** Tells how many records are done, a few times a second. */
function progressReporter(journal: Journal, total: number): (tokens: number) => void {
  const started = performance.now()
  let told = 0
  let done = 0
  let seen = 0
  return (tokens) => {
    done++
    seen += tokens
    const now = performance.now()
    if (now - told < progressIntervalMs && done < total) return
    told = now
    const eta = Math.round(((now - started) / 1000 / done) * (total - done))
    journal.event({ type: 'progress', step: done, total_steps: total, epoch: 0, total_epochs: 0, eta_seconds: eta, tokens_seen: seen })
  }
}
