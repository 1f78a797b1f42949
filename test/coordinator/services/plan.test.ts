import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase } from '../../../src/coordinator/jobs/records/database.js'
import type { JobPlan__Output } from '../../../src/generated/proto/scaimind/v1/JobPlan.js'
import type { JobSpec } from '../../../src/generated/proto/scaimind/v1/JobSpec.js'
import type { SubmitJobResponse__Output } from '../../../src/generated/proto/scaimind/v1/SubmitJobResponse.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'
import { records } from '../../support/jobs.js'

let coordinator: TestCoordinator
let tenant: CoordinatorTenant

/** Stands in for the interpreter of the trainer for HuggingFace models: finds line 42 of a bad file wrong, and 300 records in every other. */
const interpreter = `#!${process.execPath}
const { training_config, data_config } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'))
const at = (source) => \`data_config.sources[\${source}].path\`
const problems = data_config.sources.flatMap(({ path }, source) =>
  path.endsWith('/bad.jsonl') ? [{ path: at(source), message: 'bad.jsonl:42: not JSON.' }] : [],
)
if (data_config.max_seq_length > 256) problems.push({ path: 'data_config.max_seq_length', message: 'The model has 256 positions.' })
const data = data_config.sources.flatMap(({ path }, source) => (path ? [{ source, records: 300, tokens: 6000 }] : []))
console.log(JSON.stringify({ problems, data, total_steps: null }))
`

beforeAll(async () => {
  const python = join(mkdtempSync(join(tmpdir(), 'scaimind-hf-stub-')), 'python')
  writeFileSync(python, interpreter, { mode: 0o755 })
  coordinator = await startTestCoordinator({ SCAIMIND_HF_PYTHON: python })
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await coordinator?.close()
})

const lora = (path: string, more: Partial<JobSpec> = {}): JobSpec => ({
  name: 'planned',
  training_config: { training_type: 'LORA', base_model: { model_id: 'scaimind/byte-tiny' }, hyperparameters: { max_steps: '12' } },
  data_config: { sources: [{ path }], batch_size: 2, max_seq_length: 96 },
  resource_config: {},
  ...more,
})
const answer = (spec: JobSpec, by = tenant) => by.call<SubmitJobResponse__Output>('SubmitJob', { spec, dry_run: true })
const planOf = async (spec: JobSpec, by = tenant): Promise<JobPlan__Output> => {
  const { plan } = await answer(spec, by)
  if (!plan) throw new Error('No plan was answered.')
  return plan
}

describe('The plan of a job', () => {
  it('says what its data holds, what it needs and where it would start', async () => {
    const path = tenant.file('good.jsonl', records(40))
    const plan = await planOf(lora(path))
    expect(plan).toMatchObject({ acceptable: true, records: '40', total_steps: '12', starts_now: true, jobs_ahead: 0, blockers: [] })
    expect(plan.sources).toMatchObject([{ path, readable: true, records: '40', problems: [], bytes: String(records(40).length) }])
    expect(plan.sources[0]?.sample).toMatch(/^Question 0: what is 0 plus 0\?/)
    expect(plan.tokens).toBe(plan.sources[0]?.tokens_estimate)
    expect(Number(plan.estimated_start?.seconds)).toBeGreaterThan(1_700_000_000)
    const [memory] = plan.memory
    expect(memory).toMatchObject({ gpu_type: '', fits: true, nodes: plan.nodes })
    expect(Number(memory?.bytes_needed)).toBeLessThan(Number(memory?.bytes_available))
    const parts = [memory?.weights_bytes, memory?.gradients_bytes, memory?.optimizer_bytes, memory?.activations_bytes].map(Number)
    expect(Math.min(...parts)).toBeGreaterThan(0)
    expect(await tenant.call('ListJobs')).toMatchObject({ total_count: '0' })
  })

  it('names the job that would be submitted by its content', async () => {
    const spec = lora(tenant.file('same.jsonl', records(30)), { scheduling_config: { start_after: { seconds: 4_000_000_000 } } })
    const plan = await planOf(spec)
    const { job } = await tenant.call<SubmitJobResponse__Output>('SubmitJob', { spec })
    expect(plan.content_hash).toBe(job?.content_hash)
    expect(plan.sources[0]?.content_hash).toBe(job?.data_hashes[0]?.content_hash)
    expect(plan.nodes).toHaveLength(1)
  })

  it('says why it would wait, and until when where that is known', async () => {
    const path = tenant.file('wait.jsonl', records(10))
    const at = { seconds: '4000000000', nanos: 0 }
    const later = await planOf(lora(path, { scheduling_config: { start_after: at } }))
    expect(later).toMatchObject({ starts_now: false, estimated_start: at, blockers: [{ kind: 'START_TIME', until: at }] })
    const first = await tenant.submit(tenant.custom('', { scheduling_config: { start_after: at } }))
    const after = await planOf(lora(path, { scheduling_config: { depends_on: [first] } }))
    expect(after).toMatchObject({ starts_now: false, estimated_start: null, blockers: [{ kind: 'DEPENDENCY', jobs: [first] }] })
  })

  it('tells what is wrong with the data by its lines instead of refusing it', async () => {
    keepOnFailure(coordinator)
    const bad = tenant.file('bad.jsonl', `${records(2)}\n{"text": \n{"nothing": 1}\n`)
    const good = tenant.file('fine.jsonl', records(10))
    const spec = lora(bad, { data_config: { sources: [{ path: good }, { path: bad }] } })
    const { plan, message } = await answer(spec)
    expect(plan).toMatchObject({ acceptable: false, total_steps: '0', records: '12' })
    expect(message).toMatch(/data/)
    expect(plan?.sources[0]?.problems).toEqual([])
    expect(plan?.sources[1]).toMatchObject({ path: bad, readable: true, records: '2' })
    expect(plan?.sources[1]?.problems.map(({ line }) => line)).toEqual(['3', '4'])
    expect(plan?.sources[1]?.problems[0]?.message).not.toContain('bad.jsonl')
    // The submission itself is refused for it.
    expect((await tenant.refused('SubmitJob', { spec })).fields).toMatchObject([
      { path: 'data_config.sources[1].path' },
      { path: 'data_config.sources[1].path' },
    ])
  })

  it('is refused for any other field, as the submission would be', async () => {
    const bad = tenant.file('bad.jsonl', '{"text": \n')
    const spec = lora(bad, { name: '', resource_config: { gpu_count: 64 } })
    const [planned, submitted] = await Promise.all([true, false].map((dry_run) => tenant.refused('SubmitJob', { spec, dry_run })))
    expect(planned).toEqual(submitted)
    expect(planned?.fields.map(({ path }) => path)).toEqual(['name', 'resource_config.gpu_count', 'data_config.sources[0].path'])
    expect((await tenant.refused('SubmitJob', { spec: lora('/no/where.jsonl'), dry_run: true })).fields).toMatchObject([
      { path: 'data_config.sources[0].path' },
    ])
  })

  it('estimates its time by the pace of completed jobs of the same model, of the same tenant', async () => {
    const own = coordinator.tenant()
    const spec = lora(own.file('a.jsonl', records(40)))
    expect((await planOf(spec, own)).estimated_run_seconds).toBeUndefined()
    const database = openDatabase(coordinator.databaseUrl)
    const id = await own.submit({ ...spec, scheduling_config: { start_after: { seconds: 4_000_000_000 } } })
    // 100 tokens a second for 10 s.
    const [startedAt, finishedAt] = [new Date(Date.now() - 10_000), new Date()]
    await database.attempt.create({
      data: { jobId: id, number: 1, cause: 'FIRST', token: '', placement: '[]', submittedAt: startedAt, startedAt, finishedAt },
    })
    await database.job.update({
      where: { jobId: id },
      data: { status: 'COMPLETED', finishedAt, progress: JSON.stringify({ step: '5', tokens_seen: '1000' }) },
    })
    await database.$disconnect()
    const plan = await planOf(spec, own)
    const tokensARow = Math.min(96, Number(plan.tokens) / 40)
    expect(plan.estimated_run_seconds).toBeCloseTo((12 * 2 * tokensARow) / 100, 0)
    expect(plan.gpu_hours).toBe(0)
    expect((await planOf(lora(tenant.file('a.jsonl', records(40))))).estimated_run_seconds).toBeUndefined()
  })

  it('leaves out what nobody knows: steps and memory of a program that is not ours', async () => {
    const model = tenant.file('strange/config.json', '{}').replace('/config.json', '')
    const spec = tenant.custom('console.log(1)', { training: { base_model: { model_id: model } } })
    expect(await planOf(spec)).toMatchObject({
      acceptable: true,
      memory: [],
      total_steps: '0',
      records: '1',
      sources: [{ readable: true, sample: 'some text' }],
    })
  })
})

describe('The plan of a job on a HuggingFace model', () => {
  const model = () => tenant.file('llama/config.json', '{"model_type": "llama"}').replace(/\/config\.json$/, '')
  const tuned = (paths: string[], more: object = {}): JobSpec => ({
    name: 'planned',
    training_config: { training_type: 'SFT', base_model: { model_id: model() }, hyperparameters: { num_train_epochs: '2' } },
    data_config: { sources: paths.map((path) => ({ path })), batch_size: 16, ...more },
    resource_config: { gpu_count: 0 },
  })

  it('counts records as its trainer does, and the steps that they are', async () => {
    const paths = [tenant.file('table.csv', 'text\none\n'), tenant.file('table.parquet', 'PAR1')]
    const plan = await planOf(tuned(paths))
    expect(plan).toMatchObject({ acceptable: true, records: '600', tokens: '12000', total_steps: '76' })
  })

  it('tells the bad lines that its trainer names, for which the submission is refused', async () => {
    const spec = tuned([tenant.file('bad.jsonl', '{"text": \n')])
    const plan = await planOf(spec)
    expect(plan).toMatchObject({ acceptable: false, total_steps: '0', sources: [{ problems: [{ line: '42', message: 'not JSON.' }] }] })
    expect((await tenant.refused('SubmitJob', { spec })).fields).toEqual([
      { path: 'data_config.sources[0].path', message: 'bad.jsonl:42: not JSON.' },
    ])
  })

  it('is refused for any other field that its trainer finds wrong', async () => {
    const spec = tuned([tenant.file('fine.jsonl', records(3))], { max_seq_length: 512 })
    expect((await tenant.refused('SubmitJob', { spec, dry_run: true })).fields).toMatchObject([{ path: 'data_config.max_seq_length' }])
  })
})
