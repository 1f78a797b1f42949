import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type LoopbackHub, startHub } from '../support/hub.js'
import { submit, untilStatus } from '../support/jobs.js'
import { keepOnFailure, type Stack, startStack } from '../support/stack.js'
import type { Tenant } from '../support/tenant.js'
import { hfPython, hfSettings, outputLoads, tinyLlama, tinyLlamaInput } from '../support/tiny-llama.js'

let hub: LoopbackHub
let stack: Stack
let tenant: Tenant
let model: string

beforeAll(async () => {
  hub = await startHub()
  stack = await startStack({ ...hfSettings, SCAIMIND_HF_ENDPOINT: hub.url })
  tenant = await stack.tenant()
  model = await tinyLlama(tenant)
})
afterAll(async () => {
  await stack?.close()
  await hub?.close()
})

interface Series {
  name: string
  points: { step: number; value: number }[]
}
interface Ended {
  output: { kind: string; path: string }
  metrics: Series[]
  attempts: { number: number; cause: string }[]
}

interface RegisteredModel {
  name: string
  kind: string
  path: string
  serveCommands: { server: string; command: string }[]
}
interface Registered {
  job: { checkpoints: { nodes: { checkpointId: string; step: number }[] } }
  registeredModels: { nodes: RegisteredModel[] }
}

async function ended(id: string) {
  await untilStatus(tenant, id, 'COMPLETED')
  const query = `query ($id: ID!) {
    job(jobId: $id) { output { kind path } metrics(names: ["loss", "reward"]) { name points { step value } } attempts { number cause } }
  }`
  const { job } = await tenant.data<{ job: Ended }>(query, { id })
  const pointsOf = (name: string) => job.metrics.find((series) => series.name === name)?.points ?? []
  return { ...job, pointsOf, steps: pointsOf('loss').map(({ step }) => step) }
}

interface Result {
  name: string
  numSamples: number
  scoresJson: Record<string, number>
  standardErrors: Record<string, number>
  samples: { prompt: string }[]
}

async function evaluated(model: { jobId: string; checkpointId?: string }, ...benchmarks: object[]): Promise<Result[]> {
  const asked = `mutation ($input: SubmitEvaluationInput!) {
    submitEvaluation(input: $input) { ... on SubmitEvaluationSuccess { evaluation { evaluationId } } ... on Error { message } }
  }`
  const { submitEvaluation } = await tenant.data<{ submitEvaluation: { evaluation?: { evaluationId: string }; message?: string } }>(asked, {
    input: { ...model, benchmarks },
  })
  const id = submitEvaluation.evaluation?.evaluationId ?? expect.fail(submitEvaluation.message)
  await untilStatus(tenant, id, 'COMPLETED')
  const query =
    'query ($id: ID!) { evaluation(evaluationId: $id) { results { name numSamples scoresJson standardErrors samples { prompt } } } }'
  return (await tenant.data<{ evaluation: { results: Result[] } }>(query, { id })).evaluation.results
}

function perplexity() {
  const texts = ['The number 3 comes after', 'the number 2.'].map((text) => JSON.stringify({ text }))
  return { name: 'perplexity', dataset: tenant.file('held-out.jsonl', texts.join('\n')) }
}

async function untilStep(jobId: string, least: number): Promise<void> {
  const metrics = tenant.subscribe<{ jobMetrics: { records?: { step: number }[] } }>(
    'subscription ($id: ID!) { jobMetrics(jobId: $id) { ... on MetricBatch { records { step } } } }',
    { id: jobId },
  )
  for await (const { jobMetrics } of metrics) if (jobMetrics.records?.some(({ step }) => step >= least)) return
  expect.fail(`The job ended before step ${least}.`)
}

const command = async (name: 'pauseJob' | 'resumeJob', id: string) => {
  const answer = await tenant.data<{ [name: string]: { __typename: string } }>(
    `mutation ($id: ID!) { ${name}(jobId: $id) { __typename } }`,
    {
      id,
    },
  )
  expect(answer[name]?.__typename).toBe(`${name[0]?.toUpperCase()}${name.slice(1)}Success`)
}

const countingRecords = Array.from({ length: 16 }, (_, i) => ({ text: `The number ${i} comes after the number ${i - 1}.` }))

const arcRecords = Array.from({ length: 12 }, (_, i) => ({
  id: String(i),
  question: `Is ${i} odd or even?`,
  choices: { text: ['even', 'odd'], label: ['A', 'B'] },
  answerKey: i % 2 === 0 ? 'A' : 'B',
}))
const arcCard = `---
configs:
- config_name: ARC-Easy
  data_files:
  - split: train
    path: ARC-Easy/train.jsonl
  - split: test
    path: ARC-Easy/test.jsonl
---
`

interface Planned {
  acceptable?: boolean
  records?: number
  totalSteps?: number
  sources?: { problems: { line: number; message: string }[] }[]
  fields?: { path: string; message: string }[]
}

async function planned(sources: object[], { trainingType = 'SFT', ...dataConfig }: { trainingType?: string; maxSeqLength?: number } = {}) {
  const query = `query ($input: SubmitJobInput!) {
    planJob(input: $input) {
      ... on PlanJobSuccess { plan { acceptable records totalSteps sources { problems { line message } } } }
      ... on InvalidInput { fields { path message } }
    }
  }`
  const input = {
    name: 'planned',
    trainingConfig: { trainingType, baseModel: { modelId: model } },
    dataConfig: { sources, batchSize: 8, ...dataConfig },
    resourceConfig: { gpuCount: 0 },
  }
  const { planJob } = await tenant.data<{ planJob: { plan?: Planned; fields?: Planned['fields'] } }>(query, { input })
  return { fields: planJob.fields, ...planJob.plan }
}

async function parquet(name: string, count: number): Promise<string> {
  const path = join(tenant.files, name)
  const code = `import pyarrow, pyarrow.parquet
pyarrow.parquet.write_table(pyarrow.table({"text": [f"number {i}" for i in range(${count})]}), ${JSON.stringify(path)})`
  await promisify(execFile)(hfPython, ['-c', code], { env: {} })
  return path
}

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1)

describe.concurrent('A model of HuggingFace', () => {
  it.each([
    ['LORA', 'adapter'],
    ['SFT', 'model'],
    ['CONTINUED_PRETRAIN', 'model'],
    ['FULL_FINETUNE', 'model'],
    ['DPO', 'adapter'],
    ['RLHF', 'adapter'],
  ])('is trained by %s: it learns, what comes out (%s) loads again as another model, and is evaluated', async (trainingType, kind) => {
    keepOnFailure(stack)
    const id = await submit(tenant, tinyLlamaInput(tenant, model, { trainingType }))
    const { output, pointsOf } = await ended(id)
    expect(output.kind).toBe(kind)
    // The loss of a policy says nothing of how good it is; its reward does.
    const [first, last] = [pointsOf('loss')[0]?.value ?? 0, pointsOf('loss').at(-1)?.value ?? 0]
    const rewards = pointsOf('reward').map(({ value }) => value)
    if (trainingType === 'RLHF') expect(rewards.at(-1)).toBeGreaterThan(rewards[0] ?? 1)
    else expect(last).toBeLessThan(first * 0.9)
    const [distance, results] = await Promise.all([outputLoads(output, model), evaluated({ jobId: id }, perplexity())])
    expect(distance).toBeGreaterThan(1e-3)
    expect(results).toMatchObject([{ name: 'perplexity', numSamples: 2, scoresJson: { perplexity: expect.any(Number) } }])
  })

  it('is registered as its adapter and as the model with the adapter merged in, both with commands that serve them; a checkpoint is evaluated', async () => {
    keepOnFailure(stack)
    const outputConfig = { registerAs: 'counting', mergeAdapter: true, saveStrategy: 'STEPS', saveSteps: 2 }
    const id = await submit(tenant, tinyLlamaInput(tenant, model, { hyperparameters: { max_steps: '4' }, outputConfig }))
    await untilStatus(tenant, id, 'COMPLETED')
    const { job, registeredModels } = await tenant.data<Registered>(
      `query ($id: ID!) {
        job(jobId: $id) { checkpoints(last: 1) { nodes { checkpointId step } } }
        registeredModels(filter: { jobId: $id }, first: 10) { nodes { name kind path isCurrent serveCommands { server command } } }
      }`,
      { id },
    )
    const [adapter, merged] = registeredModels.nodes.sort((a, b) => a.name.localeCompare(b.name))
    expect(adapter).toMatchObject({ name: 'counting', kind: 'adapter', isCurrent: true })
    expect(merged).toMatchObject({ name: 'counting-merged', kind: 'model', isCurrent: true })
    if (!adapter || !merged) return
    const vllmOf = ({ serveCommands }: RegisteredModel) => serveCommands.find(({ server }) => server === 'VLLM')?.command
    expect(vllmOf(adapter)).toContain(`--lora-modules counting=${adapter.path}`)
    expect(vllmOf(merged)).toContain(`vllm serve ${merged.path}`)
    const [far, asFar] = await Promise.all([outputLoads(adapter, model), outputLoads(merged, model)])
    expect(far).toBeGreaterThan(1e-3)
    expect(asFar).toBeCloseTo(far, 4)
    const [oldest] = job.checkpoints.nodes
    expect(oldest?.step).toBe(2)
    expect(await evaluated({ jobId: id, checkpointId: oldest?.checkpointId }, perplexity())).toMatchObject([{ numSamples: 2 }])
  })

  it('is named by its id on a hub, and so are its data; a benchmark of lm-evaluation-harness brings its own from there', async () => {
    keepOnFailure(stack)
    await tinyLlama(tenant, join(hub.folder, 'acme', 'tiny-llama'))
    hub.dataset('acme/counting/train.jsonl', countingRecords)
    for (const split of ['train', 'test'] as const) hub.dataset(`allenai/ai2_arc/ARC-Easy/${split}.jsonl`, arcRecords)
    writeFileSync(join(hub.folder, 'allenai/ai2_arc/README.md'), arcCard)
    const dataConfig = { sources: [{ type: 'huggingface', path: 'acme/counting' }], batchSize: 4, maxSeqLength: 64 }
    const id = await submit(tenant, tinyLlamaInput(tenant, 'acme/tiny-llama', { hyperparameters: { max_steps: '2' }, dataConfig }))
    expect(await ended(id)).toMatchObject({ output: { kind: 'adapter' } })
    const [result] = await evaluated({ jobId: id }, { name: 'arc_easy' })
    expect(result).toMatchObject({ name: 'arc_easy', numSamples: arcRecords.length, scoresJson: { acc: expect.any(Number) } })
    expect(result?.standardErrors.acc).toBeGreaterThan(0)
    expect(result?.samples[0]?.prompt).toContain('Question: Is 0 odd or even?')
  })

  it('is trained by two processes, which FSDP spreads it over', async () => {
    keepOnFailure(stack)
    const hyperparameters = { max_steps: '4', logging_steps: '1' }
    const framework = { type: 'FSDP', distributed: { worldSize: 2 } }
    const id = await submit(tenant, tinyLlamaInput(tenant, model, { framework, hyperparameters }))
    expect(await ended(id)).toMatchObject({ output: { kind: 'adapter' }, steps: upTo(4) })
  })

  it.each(['HF_TRAINER', 'FSDP'])('is paused and resumed under %s: each step is there once', async (type) => {
    keepOnFailure(stack)
    const framework = { type, ...(type === 'FSDP' ? { distributed: { worldSize: 2 } } : {}) }
    const hyperparameters = { max_steps: '150', logging_steps: '1' }
    const id = await submit(tenant, tinyLlamaInput(tenant, model, { framework, hyperparameters }))
    await untilStep(id, 5)
    await command('pauseJob', id)
    await untilStatus(tenant, id, 'PAUSED')
    await command('resumeJob', id)
    const { steps, attempts } = await ended(id)
    expect(attempts).toMatchObject([{ number: 1 }, { number: 2, cause: 'RESUME' }])
    expect(steps).toEqual(upTo(150))
  })

  it('whose trainer is killed goes on from its last checkpoint', async () => {
    keepOnFailure(stack)
    const hyperparameters = { max_steps: '100', logging_steps: '1' }
    const outputConfig = { saveStrategy: 'STEPS', saveSteps: 5 }
    const id = await submit(tenant, tinyLlamaInput(tenant, model, { hyperparameters, maxRetries: 1, outputConfig }))
    await untilStep(id, 12)
    const folder = join(stack.dataDir, 'jobs', tenant.id, id, 'attempts', '1')
    const { trainer } = JSON.parse(readFileSync(join(folder, 'launcher.json'), 'utf8')) as { trainer: { pid: number } }
    process.kill(trainer.pid, 'SIGKILL')
    const { steps, attempts } = await ended(id)
    expect(attempts).toMatchObject([{ number: 1 }, { number: 2, cause: 'RETRY' }])
    expect([...new Set(steps)]).toEqual(upTo(100))
    const { resume_from: from } = JSON.parse(readFileSync(join(folder, '../2/job.json'), 'utf8')) as { resume_from: string }
    expect(Number(/step-(\d+)$/.exec(from)?.[1])).toBeGreaterThanOrEqual(10)
  })
})

describe('The plan of a job on a model of HuggingFace', () => {
  it('counts the records of each format as the trainer does', async () => {
    const csv = tenant.file('plan.csv', ['text', ...upTo(100).map((i) => `number ${i}`)].join('\n'))
    const plan = await planned([{ path: csv }, { path: await parquet('plan.parquet', 300) }])
    expect(plan).toMatchObject({ acceptable: true, records: 400, totalSteps: 50 })
  })

  it('names the lines that are wrong', async () => {
    const lines = upTo(120).map((i) => (i === 42 ? '{"text": ' : JSON.stringify({ text: `number ${i}` })))
    const plan = await planned([{ path: tenant.file('bad.jsonl', lines.join('\n')) }])
    expect(plan).toMatchObject({ acceptable: false, records: 119, totalSteps: 0 })
    expect(plan.sources?.[0]?.problems[0]).toMatchObject({ line: 42, message: expect.stringMatching(/^not JSON/) })
  })

  it('is refused for records of another kind than its training type learns from, and for rows that the model has no room for', async () => {
    const path = tenant.file('plan.jsonl', JSON.stringify({ prompt: 'one', completion: 'two' }))
    const ofPairs = await planned([{ path }], { trainingType: 'DPO' })
    expect(ofPairs.sources?.[0]?.problems[0]).toMatchObject({ line: 1, message: expect.stringContaining('"chosen" and "rejected"') })
    const tooLong = await planned([{ path, filters: [{ key: 'langg', value: 'de' }] }], { maxSeqLength: 100_000 })
    expect(tooLong.fields?.map((field) => field.path)).toEqual(['dataConfig.maxSeqLength', 'dataConfig.sources[0].filters.langg'])
  })
})
