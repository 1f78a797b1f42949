import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Dataset__Output } from '../../../src/generated/proto/scaimind/v1/Dataset.js'
import type { Evaluation__Output } from '../../../src/generated/proto/scaimind/v1/Evaluation.js'
import type { Job__Output } from '../../../src/generated/proto/scaimind/v1/Job.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'

let coordinator: TestCoordinator
let tenant: CoordinatorTenant

// One slot: the second evaluation waits for the first.
beforeAll(async () => {
  coordinator = await startTestCoordinator({ SCAIMIND_CPU_SLOTS: '1' }, { process: true })
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await coordinator?.close()
})

const line = (prompt: string, completion: string) => `${JSON.stringify({ prompt, completion })}\n`
const record = line('SAUCE, n.', 'The one infallible sign of civilisation.')
const base = { model_uri: 'scaimind/byte-tiny' }
const submit = (request: object) => tenant.call<Evaluation__Output>('SubmitEvaluation', request)
const show = (id: string) => tenant.call<Evaluation__Output>('GetEvaluation', { evaluation_id: id })
const cancel = (id: string) => tenant.call<Evaluation__Output>('CancelEvaluation', { evaluation_id: id, reason: 'enough' })
const perplexity = (dataset: string, more = {}) => ({ name: 'perplexity', dataset, ...more })
const finished = async ({ evaluation_id: id }: Evaluation__Output) => {
  await tenant.until(id, 'COMPLETED')
  return await show(id)
}

/** Runs a short benchmark and then one of so many records; answers when the first is done. */
async function halfDone(name: string, records: number): Promise<Evaluation__Output> {
  const data = tenant.file(name, record.repeat(records))
  const { evaluation_id: id } = await submit({ ...base, benchmarks: [perplexity(data, { num_samples: 2 }), perplexity(data)] })
  await tenant.until(id, ({ message }) => message === '1 of 2 benchmarks done.')
  return await show(id)
}

describe('An evaluation that runs', () => {
  it('shows the benchmarks that are done, and cannot be paused', async () => {
    keepOnFailure(coordinator)
    const running = await halfDone('shown.jsonl', 20_000)
    expect(running).toMatchObject({ status: 'EVALUATING', results: [{ name: 'perplexity', num_samples: 2 }], failure: null })
    expect(running.available_actions).not.toContain('PAUSE')
    expect(await tenant.refused('PauseJob', { job_id: running.evaluation_id })).toMatchObject({ code: 'JOB_STATE_CONFLICT' })
    await cancel(running.evaluation_id)
    await tenant.until(running.evaluation_id, 'CANCELLED')
    expect((await show(running.evaluation_id)).results).toHaveLength(1)
  })

  it('outlives kill -9 of the coordinator and completes in its first attempt', async () => {
    keepOnFailure(coordinator)
    const { evaluation_id: id, results } = await halfDone('killed.jsonl', 60)
    await coordinator.restart()
    await tenant.until(id, 'COMPLETED')
    const evaluation = await show(id)
    expect(evaluation.results.map(({ num_samples }) => num_samples)).toEqual([2, 60])
    expect(evaluation.results[0]).toEqual(results[0])
    expect((await tenant.job(id)).attempts).toHaveLength(1)
    expect(await tenant.statuses(id)).toEqual(['PENDING', 'QUEUED', 'SCHEDULING', 'PREPARING', 'EVALUATING', 'COMPLETED'])
  })
})

describe('An evaluation that waits', () => {
  it('is cancelled at once, without an attempt', async () => {
    const first = await halfDone('holds.jsonl', 20_000)
    const { evaluation_id: id } = await submit({ ...base, benchmarks: [perplexity(tenant.file('one.jsonl', record))] })
    expect(await cancel(id)).toMatchObject({ status: 'CANCELLED', message: expect.stringMatching(/enough/), results: [] })
    expect((await tenant.job(id)).attempts).toEqual([])
    await cancel(first.evaluation_id)
    await tenant.until(first.evaluation_id, 'CANCELLED')
  })

  it('fails as DATA by file and line where its data was spoiled meanwhile; mended, it is retried from nothing', async () => {
    keepOnFailure(coordinator)
    const first = await halfDone('before.jsonl', 20_000)
    const data = tenant.file('spoiled.jsonl', record.repeat(3))
    const { evaluation_id: id } = await submit({ ...base, benchmarks: [perplexity(data)] })
    tenant.file('spoiled.jsonl', `${record}{"prompt": 1}\n`)
    await cancel(first.evaluation_id)
    await tenant.until(id, 'FAILED')
    expect((await show(id)).failure).toMatchObject({ class: 'DATA', message: expect.stringMatching(/spoiled\.jsonl, line 2: /) })

    tenant.file('spoiled.jsonl', record.repeat(2))
    const retried = await tenant.call<Job__Output>('RetryJob', { job_id: id })
    expect(retried).toMatchObject({ job_id: id, failure: null })
    await tenant.until(id, ({ attempt, to_status }) => attempt === 2 && to_status === 'COMPLETED')
    expect(await show(id)).toMatchObject({ status: 'COMPLETED', failure: null, results: [{ num_samples: 2 }] })
  })

  it('that was cancelled half done begins again without its results', async () => {
    keepOnFailure(coordinator)
    const { evaluation_id: id } = await halfDone('again.jsonl', 20_000)
    await cancel(id)
    await tenant.until(id, 'CANCELLED')
    tenant.file('again.jsonl', record.repeat(3))
    const retried = await tenant.call<Job__Output>('RetryJob', { job_id: id })
    expect(retried).toMatchObject({ progress: null, evaluation: { results: [], benchmarks: [{}, {}] } })
    await tenant.until(id, ({ attempt, to_status }) => attempt === 2 && to_status === 'COMPLETED')
    expect((await show(id)).results.map(({ num_samples }) => num_samples)).toEqual([2, 3])
  })
})

describe('What an evaluation measures', () => {
  it('what a model says itself is an exact match in any case, and each of its bytes is predicted', async () => {
    const question = 'SAUCE, n.'
    const greedy = { name: 'exact_match', parameters: { max_tokens: '12' } }
    const asked = await submit({ ...base, benchmarks: [{ ...greedy, dataset: tenant.file('asked.jsonl', line(question, '?')) }] }).then(
      finished,
    )
    const answer = asked.results[0]?.samples[0]?.answer ?? ''
    expect(answer.trim()).not.toBe('')
    const said = tenant.file('said.jsonl', line(question, answer))
    const loud = tenant.file('loud.jsonl', line(question, answer.toUpperCase()))
    const { results } = await submit({
      ...base,
      benchmarks: [
        { ...greedy, dataset: said },
        { ...greedy, dataset: loud },
        { ...greedy, dataset: loud, parameters: { max_tokens: '12', ignore_case: 'true' } },
        { name: 'bytes_accuracy', dataset: said },
      ],
    }).then(finished)
    expect(results.map(({ scores }) => Object.values(scores)[0])).toEqual([1, 0, 1, 1])
  })

  it('a whole model, as a job left it and by its path', async () => {
    const data = tenant.file('same.jsonl', record.repeat(10))
    const jobId = await tenant.submit({
      name: 'whole',
      training_config: { training_type: 'SFT', base_model: { model_id: base.model_uri }, hyperparameters: { max_steps: '2' } },
      data_config: { sources: [{ path: data }], batch_size: 2, max_seq_length: 96, validation_split: 0.2 },
      resource_config: {},
    })
    await tenant.until(jobId, 'COMPLETED')
    const { output, final_evaluation: own } = await tenant.job(jobId)
    cpSync(output?.path ?? '', join(tenant.files, 'copy'), { recursive: true })
    const benchmarks = [perplexity(data, { num_samples: 1 })]
    const ofJob = await submit({ job_id: jobId, benchmarks }).then(finished)
    const byPath = await submit({ model_uri: join(tenant.files, 'copy'), benchmarks }).then(finished)
    expect(ofJob.results[0]?.scores.perplexity).toBeCloseTo(own?.tuned?.perplexity ?? 0, 3)
    expect(byPath.results[0]).toEqual(ofJob.results[0])
  })
})

it('A model without finite numbers fails its evaluation instead of leaving it without results', async () => {
  const broken = join(tenant.files, 'broken')
  cpSync('models/byte-tiny', broken, { recursive: true })
  const weights = readFileSync(join(broken, 'model.safetensors'))
  // Behind the header, every number becomes NaN.
  weights.fill(0xff, 8 + Number(weights.readBigUInt64LE()))
  writeFileSync(join(broken, 'model.safetensors'), weights)
  const data = tenant.file('fine.jsonl', record)
  const { evaluation_id: id } = await submit({ model_uri: broken, benchmarks: [perplexity(data)] })
  await tenant.until(id, 'FAILED')
  expect(await show(id)).toMatchObject({ failure: { class: 'NAN_LOSS', message: expect.stringMatching(/fine\.jsonl/) }, results: [] })
})

describe('What another tenant has', () => {
  const refusedFields = async (request: object) => (await tenant.refused('SubmitEvaluation', request)).fields

  it('is no data set of an evaluation', async () => {
    const stranger = coordinator.tenant()
    const { dataset_id: id } = await new Promise<Dataset__Output>((resolve, reject) => {
      const call = stranger.data.uploadDataset(stranger.metadata(), (error, dataset) =>
        error ? reject(error) : resolve(dataset as Dataset__Output),
      )
      call.write({ description: { name: 'theirs.jsonl', format: '' } })
      call.end({ chunk: Buffer.from(record) })
    })
    expect(await refusedFields({ ...base, benchmarks: [perplexity(id)] })).toEqual([
      { path: 'benchmarks[0].dataset', message: expect.stringMatching(/There is no data set/) },
    ])
  })

  it('is not read through an adapter that names it as its base', async () => {
    const stranger = coordinator.tenant()
    mkdirSync(stranger.files, { recursive: true })
    cpSync('models/byte-tiny', join(stranger.files, 'model'), { recursive: true })
    const adapter = join(tenant.files, 'adapter')
    mkdirSync(adapter, { recursive: true })
    writeFileSync(
      join(adapter, 'adapter_config.json'),
      JSON.stringify({ base_model_name_or_path: join(stranger.files, 'model'), r: 4, lora_alpha: 8 }),
    )
    const benchmarks = [perplexity(tenant.file('mine.jsonl', record))]
    expect(await refusedFields({ model_uri: adapter, benchmarks })).toEqual([
      { path: 'model_uri', message: expect.stringMatching(/base model of the adapter: .*not under a folder/) },
    ])
  })
})

it('An evaluation has one model and at most 32 benchmarks', async () => {
  const { fields } = await tenant.refused('SubmitEvaluation', {
    ...base,
    job_id: await tenant.submit({ ...tenant.custom(''), scheduling_config: { start_after: { seconds: '4102444800' } } }),
    benchmarks: Array.from({ length: 33 }, () => perplexity(tenant.file('few.jsonl', record))),
  })
  expect(fields.map(({ path }) => path)).toEqual(expect.arrayContaining(['model_uri', 'benchmarks']))
})
