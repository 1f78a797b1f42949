import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Job__Output } from '../../../src/generated/proto/scaimind/v1/Job.js'
import type { ListRegisteredModelsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListRegisteredModelsResponse.js'
import type { RegisteredModel__Output } from '../../../src/generated/proto/scaimind/v1/RegisteredModel.js'
import type { RetentionPlan__Output } from '../../../src/generated/proto/scaimind/v1/RetentionPlan.js'
import { eventually } from '../../support/api.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'
import { type ArtefactFiles, adapterFiles, leavesArtefacts } from '../../support/registered-models.js'

let coordinator: TestCoordinator

beforeAll(async () => {
  coordinator = await startTestCoordinator()
})
afterAll(async () => {
  await coordinator?.close()
})

const list = (tenant: CoordinatorTenant, request: object = {}) =>
  tenant.call<ListRegisteredModelsResponse__Output>('ListRegisteredModels', request)
const folderOf = (tenant: CoordinatorTenant) => join(coordinator.dataDir, 'models', tenant.id)
const base = { base_model: { model_id: 'org/base', revision: 'v2' } }

/** Runs a job that leaves this adapter, registered under a name, to its end. */
async function tuned(tenant: CoordinatorTenant, weights: string, register_as = 'tuned'): Promise<Job__Output> {
  const script = leavesArtefacts([{ kind: 'adapter', path: 'output', files: adapterFiles(weights, 24) }])
  const id = await tenant.submit(tenant.custom(script, { training: base, output_config: { register_as } }))
  await tenant.until(id, 'COMPLETED')
  return await tenant.job(id)
}

/** The hash that anybody can compute: a line a file, in the order of the names, its name and the SHA-256 of its content. */
function hashOf(files: ArtefactFiles): string {
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
  const names = Object.keys(files).sort()
  return `sha256:${sha256(names.map((name) => `${name}\n${sha256(files[name] ?? '')}\n`).join(''))}`
}

describe('A job with register_as', () => {
  it('registers its output when it completes: by the hash of its files, at a path made of name and hash, as the current one', async () => {
    keepOnFailure(coordinator)
    const tenant = coordinator.tenant()
    const job = await tuned(tenant, 'abc')
    const { models, total_count } = await list(tenant)
    const contentHash = hashOf(adapterFiles('abc', 24))
    const path = join(folderOf(tenant), `tuned@${contentHash.slice(7, 19)}`)
    expect(total_count).toBe('1')
    expect(models).toMatchObject([
      {
        name: 'tuned',
        tenant_id: tenant.id,
        content_hash: contentHash,
        kind: 'adapter',
        path,
        files: ['adapter_config.json', 'adapter_model.safetensors'],
        bytes: String(Object.values(adapterFiles('abc', 24)).join('').length),
        base_model: { model_id: 'org/base', revision: 'v2' },
        base_path: 'org/base',
        lora_rank: 24,
        job_id: job.job_id,
        checkpoint_id: '',
        current: true,
      },
    ])
    expect(job.output).toMatchObject({
      content_hash: contentHash,
      registered_model_id: models[0]?.registered_model_id,
      registered_path: path,
    })
    expect(readFileSync(join(folderOf(tenant), 'tuned@current', 'adapter_model.safetensors'), 'utf8')).toBe('abc')
    expect(await tenant.call('GetRegisteredModel', { registered_model_id: models[0]?.registered_model_id })).toEqual(models[0])
  })

  it('registers the same output at the same path, and another beside it', async () => {
    const tenant = coordinator.tenant()
    const one = await tuned(tenant, 'same')
    const other = await tuned(tenant, 'other')
    const same = await tuned(tenant, 'same')
    expect(same.output?.registered_path).toBe(one.output?.registered_path)
    const { models } = await list(tenant)
    expect(models.map(({ job_id, current }) => [job_id, current])).toEqual([
      [same.job_id, true],
      [other.job_id, false],
    ])
    expect((await list(tenant, { job_id: other.job_id })).models).toMatchObject([{ path: other.output?.registered_path }])
    expect((await list(tenant, { name: 'tuned', current_only: true })).models).toHaveLength(1)
    expect((await list(tenant, { name: 'another' })).total_count).toBe('0')
  })

  it('registers a merged model beside its adapter, each with its own files only', async () => {
    const tenant = coordinator.tenant()
    const merged = { 'config.json': JSON.stringify({ model_type: 'llama' }), 'model.safetensors': 'merged' }
    const script = leavesArtefacts([
      { kind: 'adapter', path: 'output', files: adapterFiles('a') },
      { kind: 'model', path: 'output/merged', files: merged },
    ])
    const id = await tenant.submit(tenant.custom(script, { training: base, output_config: { register_as: 'pair', merge_adapter: true } }))
    await tenant.until(id, 'COMPLETED')
    const { models } = await list(tenant)
    expect(models.map(({ name, kind, content_hash, model_type }) => [name, kind, content_hash, model_type])).toEqual([
      ['pair-merged', 'model', hashOf(merged), 'llama'],
      ['pair', 'adapter', hashOf(adapterFiles('a')), ''],
    ])
    expect((await tenant.job(id)).output?.registered_path).toBe(models[0]?.path)
  })

  it('that fails, or leaves no output, registers nothing', async () => {
    const tenant = coordinator.tenant()
    const output_config = { register_as: 'nothing' }
    const artefact = { kind: 'model' as const, path: 'output', files: { weights: 'w' } }
    const failing = `${leavesArtefacts([artefact])}\nprocess.exit(1)`
    const ids = await Promise.all([failing, ''].map((script) => tenant.submit(tenant.custom(script, { output_config }))))
    await Promise.all([tenant.until(ids[0] ?? '', 'FAILED'), tenant.until(ids[1] ?? '', 'COMPLETED')])
    expect([(await list(tenant)).models, existsSync(folderOf(tenant))]).toEqual([[], false])
    expect((await tenant.job(ids[1] ?? '')).message).toBe('Completed. It left no model to register as nothing.')
  })
})

describe('With publish_checkpoints', () => {
  it('a server that follows the link gets each checkpoint’s weights while the job trains, and then its output; the checkpoint before stays for who still reads it', async () => {
    keepOnFailure(coordinator)
    const tenant = coordinator.tenant()
    const go = join(tenant.files, 'go')
    // Names as transformers, peft and accelerate write them.
    const state = [
      'optimizer.pt',
      'optimizer.bin',
      'scheduler.pt',
      'scaler.pt',
      'rng_state.pth',
      'rng_state_0.pth',
      'training_args.bin',
      'trainer_state.json',
    ]
    const others = ['global_step2/mp_rank_00_model_states.pt', 'optimizer_0/__0_0.distcp', 'random_states_0.pkl', 'manifest.json']
    const left = JSON.stringify(Object.fromEntries([...state, ...others].map((name) => [name, 'large']))).slice(1, -1)
    const weights = ['model-00001-of-00002.safetensors', 'model.safetensors.index.json', 'config.json', 'generation_config.json']
    const tokenizer = ['tokenizer.json', 'tokenizer.model', 'spiece.model', 'qwen.tiktoken', 'vocab.json', 'vocab.txt', 'merges.txt']
    const more = [
      'chat_template.jinja',
      'additional_chat_templates/tools.jinja',
      'added_tokens.json',
      'special_tokens_map.json',
      'modeling_own.py',
    ]
    const kept = Object.fromEntries([...weights, ...tokenizer, ...more, 'preprocessor_config.json'].map((name) => [name, 'served']))
    const then = `
for (const step of [1, 2, 3]) {
  const path = 'checkpoints/step-' + step
  write(path + '.part', { ...${JSON.stringify(adapterFiles(''))}, 'adapter_model.safetensors': 'step ' + step, ${left}, ...${JSON.stringify(kept)} })
  renameSync(path + '.part', path)
  tell({ type: 'checkpoint', checkpoint_id: 'step-' + step, step, path, bytes: 1, metrics: {} })
  while (!existsSync(${JSON.stringify(go)} + step)) await new Promise((later) => setTimeout(later, 10))
}`
    const script = leavesArtefacts([{ kind: 'adapter', path: 'output', files: adapterFiles('done') }], then)
    const output_config = { register_as: 'live', publish_checkpoints: true }
    const id = await tenant.submit(tenant.custom(script, { training: base, output_config }))
    const served = () => join(folderOf(tenant), 'live@current', 'adapter_model.safetensors')
    for (const step of [1, 2, 3]) {
      await eventually(() => existsSync(served()) && readFileSync(served(), 'utf8') === `step ${step}`)
      const before = step === 1 ? [] : [{ step: String(step - 1), current: false }]
      const { models } = await eventually(
        () => list(tenant),
        ({ models: found }) => found.length === 1 + before.length,
      )
      expect(models).toMatchObject([
        { step: String(step), current: true, job_id: id, files: [...Object.keys(adapterFiles('')), ...Object.keys(kept)].sort() },
        ...before,
      ])
      writeFileSync(go + step, '')
    }
    await tenant.until(id, 'COMPLETED')
    expect(readFileSync(served(), 'utf8')).toBe('done')
    expect((await list(tenant)).models).toMatchObject([{ content_hash: hashOf(adapterFiles('done')), checkpoint_id: '' }, { step: '3' }])
  })
})

describe('A registered model', () => {
  it('stays when retention deletes the job that made it', async () => {
    const tenant = coordinator.tenant()
    const { job_id } = await tuned(tenant, 'stays')
    const finished_before = { seconds: Math.floor(Date.now() / 1000) + 86_400 }
    const { plan_id } = await tenant.call<RetentionPlan__Output>('PlanRetention', { scope: 'JOBS', finished_before, archived_only: false })
    await tenant.call('ApplyRetention', { plan_id })
    expect((await tenant.refused('GetJob', { job_id })).code).toBe('JOB_NOT_FOUND')
    expect((await list(tenant)).models).toMatchObject([{ job_id, current: true }])
    expect(readFileSync(join(folderOf(tenant), 'tuned@current', 'adapter_model.safetensors'), 'utf8')).toBe('stays')
  })

  it('is listed page by page, the last registered first', async () => {
    const tenant = coordinator.tenant()
    const names = ['a', 'b', 'c']
    for (const name of names) await tuned(tenant, name, name)
    const first = await list(tenant, { page_size: 2 })
    const second = await list(tenant, { page_size: 2, page_token: first.next_page_token })
    expect([...first.models, ...second.models].map(({ name }) => name)).toEqual(['c', 'b', 'a'])
    expect([second.next_page_token, second.total_count]).toEqual(['', '3'])
    for (const request of [{ page_size: 101 }, { page_token: 'x' }]) {
      expect((await tenant.refused('ListRegisteredModels', request)).fields).toMatchObject([{ path: Object.keys(request)[0] }])
    }
  })

  it('is a base model by its name and hash; it is not deleted while such a job may run', async () => {
    const tenant = coordinator.tenant()
    const { output } = await tuned(tenant, 'base')
    const { models } = await list(tenant)
    const [{ registered_model_id, content_hash } = {} as RegisteredModel__Output] = models
    const model_id = `models/tuned@${content_hash.slice(7, 19)}`
    const on = (id: string) => tenant.custom('setTimeout(() => {}, 60_000)', { training: { base_model: { model_id: id } } })
    for (const unknown of ['models/tuned@000000000000', 'models/tuned@current']) {
      expect((await tenant.refused('SubmitJob', { spec: on(unknown) })).fields).toMatchObject([
        { path: 'training_config.base_model.model_id', message: /no registered model/ },
      ])
    }
    const other = coordinator.tenant()
    const foreign = other.custom('', { training: { base_model: { model_id } } })
    expect((await other.refused('SubmitJob', { spec: foreign })).code).toBe('INVALID_ARGUMENT')

    const user = await tenant.submit(on(model_id))
    await tenant.until(user, 'TRAINING')
    const file = join(coordinator.dataDir, 'jobs', tenant.id, user, 'attempts', '1', 'job.json')
    expect(JSON.parse(readFileSync(file, 'utf8')).training_config.base_model.model_id).toBe(output?.registered_path)
    const refusal = await tenant.refused('DeleteRegisteredModel', { registered_model_id })
    expect(refusal).toMatchObject({ code: 'INVALID_ARGUMENT', fields: [{ path: 'registered_model_id', message: new RegExp(user) }] })
    await tenant.call('CancelJob', { job_id: user })
    await tenant.until(user, 'CANCELLED')
    await tenant.call('DeleteRegisteredModel', { registered_model_id })
    expect(readdirSync(folderOf(tenant))).toEqual([])
  })

  it('is its tenant’s own', async () => {
    const [tenant, other] = [coordinator.tenant(), coordinator.tenant()]
    await tuned(tenant, 'own')
    const [{ registered_model_id } = {} as RegisteredModel__Output] = (await list(tenant)).models
    expect((await list(other)).models).toEqual([])
    expect((await list(other, { registered_model_ids: [registered_model_id] })).total_count).toBe('0')
    for (const method of ['GetRegisteredModel', 'DeleteRegisteredModel']) {
      expect((await other.refused(method, { registered_model_id })).code).toBe('MODEL_NOT_FOUND')
    }
    expect(readlinkSync(join(folderOf(tenant), 'tuned@current'))).toMatch(/^tuned@[0-9a-f]{12}$/)
  })
})
