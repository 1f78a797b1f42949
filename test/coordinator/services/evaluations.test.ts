import { status as grpc } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Evaluation__Output } from '../../../src/generated/proto/scaimind/v1/Evaluation.js'
import type { Job__Output } from '../../../src/generated/proto/scaimind/v1/Job.js'
import type { ListCheckpointsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListCheckpointsResponse.js'
import type { ListEvaluationsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListEvaluationsResponse.js'
import type { ListJobsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListJobsResponse.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'

let coordinator: TestCoordinator
let tenant: CoordinatorTenant
let trained: Job__Output
let data: string

// The same record again and again: then what a job holds out is what an evaluation reads, and their figures must agree.
const record = JSON.stringify({ prompt: 'SAUCE, n.', completion: 'The one infallible sign of civilisation.' })
const submit = (request: object, more = {}) => tenant.call<Evaluation__Output>('SubmitEvaluation', request, more)
const finished = async ({ evaluation_id: id }: Evaluation__Output) => {
  await tenant.until(id, 'COMPLETED')
  return await tenant.call<Evaluation__Output>('GetEvaluation', { evaluation_id: id })
}
const perplexity = () => ({ name: 'perplexity', dataset: data })

beforeAll(async () => {
  coordinator = await startTestCoordinator()
  tenant = coordinator.tenant()
  data = tenant.file('same.jsonl', `${record}\n`.repeat(10))
  const id = await tenant.submit({
    name: 'tiny',
    training_config: {
      training_type: 'LORA',
      base_model: { model_id: 'scaimind/byte-tiny' },
      hyperparameters: { max_steps: '4', learning_rate: '0.01', lora_r: '4' },
    },
    data_config: { sources: [{ path: data }], batch_size: 2, max_seq_length: 96, validation_split: 0.2 },
    resource_config: {},
    output_config: { save_strategy: 'STEPS', save_steps: 2 },
  })
  await tenant.until(id, 'COMPLETED')
  trained = await tenant.job(id)
})
afterAll(async () => {
  await coordinator?.close()
})

describe('An evaluation', () => {
  it('measures the base and the tuned model; its perplexity is that of the job’s own final evaluation', async () => {
    keepOnFailure(coordinator)
    const [tuned, base] = await Promise.all([
      submit({ job_id: trained.job_id, benchmarks: [perplexity(), { name: 'bytes_accuracy', dataset: data, num_samples: 3 }] }).then(
        finished,
      ),
      submit({ model_uri: 'scaimind/byte-tiny', benchmarks: [perplexity()] }).then(finished),
    ])
    expect(tuned).toMatchObject({ evaluation_id: expect.stringMatching(/^eval_/), status: 'COMPLETED', job_id: trained.job_id })
    const { base: before, tuned: after } = trained.final_evaluation ?? {}
    expect(tuned.results[0]?.scores.perplexity).toBeCloseTo(after?.perplexity ?? 0, 3)
    expect(base.results[0]?.scores.perplexity).toBeCloseTo(before?.perplexity ?? 0, 3)
    expect(tuned.results[0]?.scores.perplexity).toBeLessThan(base.results[0]?.scores.perplexity ?? 0)
    // Equal records differ in nothing.
    expect(tuned.results[0]?.standard_errors.loss).toBeCloseTo(0, 9)
    expect(tuned.results[1]).toMatchObject({ name: 'bytes_accuracy', num_samples: 3, content_hash: expect.stringMatching(/^sha256:/) })
    expect(tuned.results[1]?.scores.bytes_accuracy).toBeGreaterThan(0.1)
    expect(tuned.results[0]?.samples[0]).toMatchObject({ prompt: 'SAUCE, n.\n', expected: 'The one infallible sign of civilisation.' })
    expect(tuned.progress).toMatchObject({ step: '13', total_steps: '13' })
  })

  it('goes through the states of a job, without training', async () => {
    const { evaluation_id: id } = await submit({ model_uri: 'scaimind/byte-tiny', benchmarks: [{ ...perplexity(), num_samples: 1 }] })
    expect(await tenant.statuses(id)).toEqual(['PENDING', 'QUEUED', 'SCHEDULING', 'PREPARING', 'EVALUATING', 'COMPLETED'])
  })

  it('exact_match compares the greedy answer with the completion, in any case where that is asked', async () => {
    const questions = tenant.file('questions.jsonl', `${record}\n`)
    const { results } = await submit({
      job_id: trained.job_id,
      benchmarks: [{ name: 'exact_match', dataset: questions, parameters: { max_tokens: '8', ignore_case: 'true' } }],
    }).then(finished)
    expect(results[0]?.scores.exact_match).toBe(0)
    expect(Buffer.byteLength(results[0]?.samples[0]?.answer ?? 'x'.repeat(99))).toBeLessThanOrEqual(8 * 3)
  })

  it('runs on a checkpoint of the job', async () => {
    const { checkpoints } = await tenant.call<ListCheckpointsResponse__Output>('ListCheckpoints', { job_id: trained.job_id })
    const first = checkpoints.at(-1)
    const evaluation = await submit({
      job_id: trained.job_id,
      checkpoint_id: first?.checkpoint_id,
      benchmarks: [{ ...perplexity(), num_samples: 1 }],
    }).then(finished)
    expect(evaluation.checkpoint_id).toBe(first?.checkpoint_id)
    const { base, tuned } = trained.final_evaluation ?? {}
    const measured = evaluation.results[0]?.scores.perplexity ?? 0
    expect(measured).toBeLessThan(base?.perplexity ?? 0)
    expect(measured).toBeGreaterThan(tuned?.perplexity ?? 0)
  })

  it('is listed alone, by job and by status, in pages, and left out of lists of jobs unless they ask', async () => {
    const list = (request: object) => tenant.call<ListEvaluationsResponse__Output>('ListEvaluations', request)
    const all = await list({})
    expect(all.evaluations.length).toBeGreaterThan(2)
    const ofJob = await list({ job_id: trained.job_id, statuses: ['COMPLETED'], page_size: 1 })
    expect(ofJob.evaluations.map(({ job_id }) => job_id)).toEqual([trained.job_id])
    const next = await list({ job_id: trained.job_id, statuses: ['COMPLETED'], page_size: 1, page_token: ofJob.next_page_token })
    expect(next.evaluations[0]?.evaluation_id).not.toBe(ofJob.evaluations[0]?.evaluation_id)
    const jobs = async (request: object) =>
      (await tenant.call<ListJobsResponse__Output>('ListJobs', request)).jobs.map(({ job_id }) => job_id.split('_')[0])
    expect(await jobs({})).toEqual(['job'])
    expect(new Set(await jobs({ labels: { type: 'evaluation' } }))).toEqual(new Set(['eval']))
    expect(new Set(await jobs({ include_evaluations: true }))).toEqual(new Set(['eval', 'job']))
  })

  it('a label that a caller changes does not make it an ordinary job', async () => {
    const { evaluation_id: id } = await submit({ model_uri: 'scaimind/byte-tiny', benchmarks: [{ ...perplexity(), num_samples: 1 }] })
    const job = await tenant.call<Job__Output>('UpdateJob', { job_id: id, labels: { labels: { team: 'search' } } })
    expect(job.labels).toEqual({ team: 'search', type: 'evaluation' })
  })

  it('with an idempotency key is submitted once', async () => {
    const request = { model_uri: 'scaimind/byte-tiny', benchmarks: [{ ...perplexity(), num_samples: 1 }], idempotency_key: 'once' }
    const first = await submit(request)
    expect((await submit(request)).evaluation_id).toBe(first.evaluation_id)
    expect(await tenant.refused('SubmitEvaluation', { ...request, name: 'another' })).toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' })
  })

  it('is cancelled while it runs', async () => {
    keepOnFailure(coordinator)
    const long = tenant.file('long.jsonl', `${record}\n`.repeat(20_000))
    const running = await submit({ model_uri: 'scaimind/byte-tiny', benchmarks: [{ name: 'perplexity', dataset: long }] })
    await tenant.until(running.evaluation_id, 'EVALUATING')
    await tenant.call('CancelEvaluation', { evaluation_id: running.evaluation_id, reason: 'enough' })
    await tenant.until(running.evaluation_id, 'CANCELLED')
    const evaluation = await tenant.call<Evaluation__Output>('GetEvaluation', { evaluation_id: running.evaluation_id })
    expect(evaluation).toMatchObject({ status: 'CANCELLED', message: expect.stringMatching(/enough/), results: [] })
  })

  it("another tenant's is not found, and neither is its job", async () => {
    const mine = await submit({ model_uri: 'scaimind/byte-tiny', benchmarks: [{ ...perplexity(), num_samples: 1 }] })
    const stranger = coordinator.tenant()
    for (const method of ['GetEvaluation', 'CancelEvaluation']) {
      expect(await stranger.refused(method, { evaluation_id: mine.evaluation_id })).toMatchObject({
        code: 'EVALUATION_NOT_FOUND',
        status: grpc.NOT_FOUND,
      })
    }
    const theirs = stranger.file('same.jsonl', `${record}\n`)
    expect(
      await stranger.refused('SubmitEvaluation', { job_id: trained.job_id, benchmarks: [{ name: 'perplexity', dataset: theirs }] }),
    ).toMatchObject({
      code: 'JOB_NOT_FOUND',
    })
    expect(await tenant.refused('GetEvaluation', { evaluation_id: trained.job_id })).toMatchObject({ code: 'EVALUATION_NOT_FOUND' })
  })
})

describe('What is wrong with an evaluation', () => {
  const fieldsOf = async (request: object) => (await tenant.refused('SubmitEvaluation', request)).fields

  it('is named field by field', async () => {
    expect((await fieldsOf({})).map(({ path }) => path)).toEqual(['job_id', 'benchmarks'])
    const bad = tenant.file('bad.jsonl', `${record}\n{"text": \n`)
    const fields = await fieldsOf({
      model_uri: 'scaimind/byte-tiny',
      checkpoint_id: 'ckpt_1',
      priority: 11,
      benchmarks: [
        { name: 'mmlu', dataset: data },
        { name: 'perplexity', dataset: data, parameters: { shots: '5' } },
        { name: 'exact_match', dataset: bad, parameters: { max_tokens: 'many' } },
        { name: 'perplexity', dataset: '/etc/passwd' },
      ],
    })
    expect(Object.fromEntries(fields.map(({ path, message }) => [path, message]))).toEqual({
      priority: expect.any(String),
      checkpoint_id: expect.stringMatching(/job_id/),
      'benchmarks[0].name': expect.stringMatching(/perplexity, exact_match, bytes_accuracy/),
      'benchmarks[1].parameters.shots': expect.stringMatching(/takes no parameters/),
      'benchmarks[2].parameters.max_tokens': expect.stringMatching(/whole number/),
      'benchmarks[2].dataset': expect.stringMatching(/^line 2: /),
      'benchmarks[3].dataset': expect.stringMatching(/not under a folder/),
    })
  })

  it('a job without output asks for a checkpoint; a checkpoint that is not the job’s is not found', async () => {
    const waiting = await tenant.submit({
      ...tenant.custom('console.log(1)'),
      scheduling_config: { start_after: { seconds: '4102444800' } },
    })
    expect(await fieldsOf({ job_id: waiting, benchmarks: [perplexity()] })).toEqual([
      { path: 'job_id', message: expect.stringMatching(/has no output yet/) },
    ])
    const foreign = { job_id: waiting, checkpoint_id: 'ckpt_00000000000000000000000000', benchmarks: [perplexity()] }
    expect(await tenant.refused('SubmitEvaluation', foreign)).toMatchObject({ code: 'CHECKPOINT_NOT_FOUND' })
  })

  it('exact_match on plain text is refused', async () => {
    const plain = tenant.file('plain.txt', 'just text\n')
    expect(await fieldsOf({ model_uri: 'scaimind/byte-tiny', benchmarks: [{ name: 'exact_match', dataset: plain }] })).toEqual([
      { path: 'benchmarks[0].dataset', message: expect.stringMatching(/no answer to match/) },
    ])
  })
})
