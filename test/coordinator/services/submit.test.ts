import { existsSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { status as grpc } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JobSpec } from '../../../src/generated/proto/scaimind/v1/JobSpec.js'
import type { ListJobsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListJobsResponse.js'
import type { SubmitJobResponse__Output } from '../../../src/generated/proto/scaimind/v1/SubmitJobResponse.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'
import { records } from '../../support/jobs.js'

let coordinator: TestCoordinator
let strict: TestCoordinator
let tenant: CoordinatorTenant

beforeAll(async () => {
  coordinator = await startTestCoordinator()
  strict = await startTestCoordinator({ SCAIMIND_ALLOW_CUSTOM_CODE: 'false' })
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await coordinator?.close()
  await strict?.close()
})

type Config = { [key: string]: unknown }
interface Parts {
  name: string
  labels: Record<string, string>
  training_config: Config
  data_config: Config
  resource_config: Config
  output_config: Config
  scheduling_config: Config
}
const sound = (): Parts => ({
  name: 'sound',
  labels: {},
  training_config: { training_type: 'LORA', base_model: { model_id: 'scaimind/byte-tiny' }, hyperparameters: { max_steps: '2' } },
  data_config: { sources: [{ path: tenant.file('good.jsonl', records(20)) }] },
  resource_config: {},
  output_config: {},
  scheduling_config: {},
})
const training = (change: Config) => (job: Parts) => Object.assign(job.training_config, change)
const model = (change: Config) => training({ base_model: { model_id: 'scaimind/byte-tiny', ...change } })
const data = (change: Config) => (job: Parts) => Object.assign(job.data_config, change)
const resources = (change: Config) => (job: Parts) => Object.assign(job.resource_config, change)
const output = (change: Config) => (job: Parts) => Object.assign(job.output_config, change)
const scheduling = (change: Config) => (job: Parts) => Object.assign(job.scheduling_config, change)
const outside = () => {
  const link = join(tenant.files, `link-${Math.random()}.jsonl`)
  const target = join(coordinator.dataDir, 'outside.jsonl')
  writeFileSync(target, records(5))
  symlinkSync(target, link)
  return link
}

const mistakes: [string, (job: Parts) => unknown, string, RegExp][] = [
  ['no name', (job) => Object.assign(job, { name: '' }), 'name', /1 to 255/],
  ['a name of 256 characters', (job) => Object.assign(job, { name: 'n'.repeat(256) }), 'name', /1 to 255/],
  ['a line break in the name', (job) => Object.assign(job, { name: 'a\nb' }), 'name', /control/],
  ['the reserved label', (job) => Object.assign(job, { labels: { type: 'evaluation' } }), 'labels.type', /ScaiMind/],
  [
    '65 labels',
    (job) => Object.assign(job, { labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`l${i}`, ''])) }),
    'labels',
    /64/,
  ],
  ['an escape in a label', (job) => Object.assign(job, { labels: { a: '\u001b[31m' } }), 'labels', /control/],
  ['no training type', training({ training_type: 'TRAINING_TYPE_UNSPECIFIED' }), 'training_config.training_type', /SFT/],
  ['a training type that its trainer cannot do', training({ training_type: 'RLHF' }), 'training_config.training_type', /RLHF/],
  ['no model', model({ model_id: '' }), 'training_config.base_model.model_id', /required/],
  ['a model by URL', model({ model_id: 'https://example.com/m' }), 'training_config.base_model.model_id', /URL/],
  ['a model that is not there', model({ model_id: 'meta/llama' }), 'training_config.base_model.model_id', /llama/],
  ['a model outside the roots', model({ model_id: '/etc' }), 'training_config.base_model.model_id', /allowed|under|roots/],
  ['code from the model', model({ trust_remote_code: true }), 'training_config.base_model.trust_remote_code', /operator/],
  ['priority 11', training({ priority: 11 }), 'training_config.priority', /0 to 10/],
  ['101 retries', training({ max_retries: 101 }), 'training_config.max_retries', /100/],
  [
    'a CUSTOM job without a script',
    training({ framework: { type: 'CUSTOM' } }),
    'training_config.framework.custom_script_path',
    /required/,
  ],
  [
    'a model by what names none',
    training({ base_model: { model_id: 'bad id!' } }),
    'training_config.base_model.model_id',
    /no model "bad id!": give a HuggingFace id \(org\/name\), scaimind\/byte-tiny, or the path of a folder .* beginning with \/ or \.\/\.$/,
  ],
  ['a framework that is not there', training({ framework: { type: 'DEEPSPEED' } }), 'training_config.framework.type', /DEEPSPEED/],
  [
    'an environment name that is refused',
    training({ environment: { LD_PRELOAD: 'x' } }),
    'training_config.environment.LD_PRELOAD',
    /LD_PRELOAD/,
  ],
  [
    'an unknown hyperparameter',
    training({ hyperparameters: { learnin_rate: '1' } }),
    'training_config.hyperparameters.learnin_rate',
    /learning_rate/,
  ],
  ['a checkpoint that is not there', training({ resume_from_checkpoint: 'ckpt_x' }), 'training_config.resume_from_checkpoint', /ckpt_x/],
  [
    'a checkpoint by its path',
    training({ resume_from_checkpoint: `/data/${'x'.repeat(80)}` }),
    'training_config.resume_from_checkpoint',
    /by its id, ckpt_….*not by "\/data\/x+…"\.$/,
  ],
  ['no data', data({ sources: [] }), 'data_config.sources', /required/],
  [
    'a path that is not there',
    (job) => data({ sources: [{ path: join(tenant.files, 'absent.jsonl') }] })(job),
    'data_config.sources[0].path',
    /absent/,
  ],
  [
    'a path that leaves by ..',
    (job) => data({ sources: [{ path: `${tenant.files}/../../../../../../../etc/passwd` }] })(job),
    'data_config.sources[0].path',
    /allowed|under|roots/,
  ],
  [
    'a path that leaves by a link',
    (job) => data({ sources: [{ path: outside() }] })(job),
    'data_config.sources[0].path',
    /allowed|under|roots/,
  ],
  [
    'a line that is no record',
    (job) => data({ sources: [{ path: tenant.file('bad.jsonl', '{"text": "fine"}\n{"text": \n') }] })(job),
    'data_config.sources[0].path',
    /2/,
  ],
  ['a split of 1.5', data({ validation_split: 1.5 }), 'data_config.validation_split', /0\.0 to 1\.0/],
  ['a split that is no number', data({ validation_split: Number.NaN }), 'data_config.validation_split', /0\.0 to 1\.0/],
  ['more GPUs than there are', resources({ gpu_count: 64 }), 'resource_config.gpu_count', /64 GPUs.*: 0\./],
  ['GPUs that do not divide', resources({ gpu_count: 3, num_nodes: 2 }), 'resource_config.gpu_count', /evenly/],
  ['a GPU type that is not there', resources({ gpu_count: 1, gpu_type: 'h900' }), 'resource_config.gpu_type', /no GPUs/],
  ['a GPU type that is no word', resources({ gpu_count: 1, gpu_type: 'a b' }), 'resource_config.gpu_type', /letters/],
  ['more nodes than there are', resources({ num_nodes: 2 }), 'resource_config.num_nodes', /: 1\./],
  ['more CPU slots than there are', resources({ cpus_per_node: 5 }), 'resource_config.cpus_per_node', /: 4\./],
  ['more memory than there is', resources({ memory_gb_per_node: 900_000 }), 'resource_config.memory_gb_per_node', /GB/],
  ['an unknown node selector', resources({ node_selector: { zone: 'a' } }), 'resource_config.node_selector', /node_id/],
  ['a node that is not there', resources({ node_selector: { node_id: 'nowhere' } }), 'resource_config', /could hold/],
  ['a result outside the roots', output({ output_uri: '/etc/result' }), 'output_config.output_uri', /allowed|under|roots/],
  ['a registered name that is a path', output({ register_as: '../best' }), 'output_config.register_as', /letters/],
  ['a registered name that is hidden', output({ register_as: '.best' }), 'output_config.register_as', /no dot/],
  ['a registered name that commands take for an option', output({ register_as: '-best' }), 'output_config.register_as', /no dot or dash/],
  ['a registered name that is too long', output({ register_as: 'b'.repeat(129) }), 'output_config.register_as', /128/],
  [
    'a registered name that is too long for what is merged',
    output({ register_as: 'b'.repeat(122), merge_adapter: true }),
    'output_config.register_as',
    /121/,
  ],
  ['checkpoints published under no name', output({ publish_checkpoints: true }), 'output_config.publish_checkpoints', /register_as/],
  ['an export that nobody writes', output({ export_format: 'gguf' }), 'output_config.export_format', /safetensors/],
  ['a queue that is no word', scheduling({ queue: 'a b' }), 'scheduling_config.queue', /letters/],
  ['a dependency that is not there', scheduling({ depends_on: ['job_none'] }), 'scheduling_config.depends_on[0]', /job_none/],
]

describe('A submission with', () => {
  it.each(mistakes)('%s is refused', async (_, make, path, says) => {
    const spec = sound()
    make(spec)
    const refusal = await tenant.refused('SubmitJob', { spec })
    expect(refusal).toMatchObject({ code: 'INVALID_ARGUMENT', status: grpc.INVALID_ARGUMENT })
    expect(refusal.fields.map((field) => field.path)).toContain(path)
    expect(refusal.fields.find((field) => field.path === path)?.message).toMatch(says)
    // One mistake is told once.
    expect(refusal.fields.filter((field) => field.path === path)).toHaveLength(1)
  })

  it('nothing in it at all names everything that is required', async () => {
    const { fields } = await tenant.refused('SubmitJob', {})
    const paths = fields.map(({ path }) => path)
    expect(paths).toEqual(
      expect.arrayContaining(['name', 'training_config.training_type', 'training_config.base_model.model_id', 'data_config.sources']),
    )
  })

  it('code of its own is refused where the operator has not allowed it', async () => {
    const other = strict.tenant()
    const { fields } = await other.refused('SubmitJob', { spec: other.custom('console.log(1)') })
    expect(fields).toMatchObject([
      { path: 'training_config.framework.type', message: expect.stringContaining('SCAIMIND_ALLOW_CUSTOM_CODE') },
    ])
  })

  it("another tenant's job or checkpoint is refused like one that is not there", async () => {
    const foreign = await coordinator.tenant('foreign').submit(coordinator.tenant('foreign').custom('console.log(1)'))
    const { fields } = await tenant.refused('SubmitJob', { spec: { ...sound(), scheduling_config: { depends_on: [foreign] } } as JobSpec })
    expect(fields).toEqual([{ path: 'scheduling_config.depends_on[0]', message: `There is no job "${foreign}".` }])
  })

  it('a mistake leaves nothing behind', async () => {
    expect(await tenant.call('ListJobs')).toMatchObject({ total_count: '0' })
    expect(existsSync(join(coordinator.dataDir, 'jobs', tenant.id))).toBe(false)
  })
})

describe('An idempotency key', () => {
  it('answers a repeat with the first job, and refuses another request', async () => {
    keepOnFailure(coordinator)
    const own = coordinator.tenant()
    const spec = own.custom('console.log(1)')
    const first = await own.call<SubmitJobResponse__Output>('SubmitJob', { spec, idempotency_key: 'key 1' })
    expect(await own.call('SubmitJob', { spec, idempotency_key: 'key 1' })).toEqual(first)
    const conflict = await own.refused('SubmitJob', { spec: { ...spec, name: 'another' }, idempotency_key: 'key 1' })
    expect(conflict).toMatchObject({ code: 'IDEMPOTENCY_CONFLICT', status: grpc.ALREADY_EXISTS })
    expect(await own.call('ListJobs')).toMatchObject({ total_count: '1' })
    expect((await coordinator.tenant().refused('SubmitJob', { spec: {}, idempotency_key: 'key 1' })).code).toBe('INVALID_ARGUMENT')
  })

  it('makes one job of many submissions at once', async () => {
    const own = coordinator.tenant()
    const spec = own.custom('console.log(1)')
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => own.call<SubmitJobResponse__Output>('SubmitJob', { spec, idempotency_key: 'same' })),
    )
    expect(new Set(answers.map(({ job }) => job?.job_id)).size).toBe(1)
    expect(await own.call('ListJobs')).toMatchObject({ total_count: '1' })
  })

  it('is not used up by a refusal or a dry run', async () => {
    const own = coordinator.tenant()
    const spec = own.custom('console.log(1)')
    await own.refused('SubmitJob', { spec: { ...spec, name: '' }, idempotency_key: 'k' })
    await own.call('SubmitJob', { spec, idempotency_key: 'k', dry_run: true })
    await own.submit(spec, { idempotency_key: 'k' })
    expect((await own.refused('SubmitJob', { spec, idempotency_key: 'é' })).fields).toMatchObject([{ path: 'idempotency_key' }])
  })
})

describe('A listing', () => {
  it('goes page by page, each job once, in any order', async () => {
    const own = coordinator.tenant()
    const later = { scheduling_config: { start_after: { seconds: 4_000_000_000 } } }
    const ids: string[] = []
    for (let i = 0; i < 7; i++) {
      ids.push(
        await own.submit(
          own.custom('', {
            ...later,
            name: `job ${i % 3}`,
            labels: { half: String(i % 2), 'a"b.c': 'x\\y' },
            training: { priority: i % 4 },
          }),
        ),
      )
    }
    await own.call('CancelJob', { job_id: ids[3] })
    for (const order_by of ['', 'created_at', '-priority', 'name', 'status', '-finished_at', 'started_at']) {
      const seen: string[] = []
      for (let page_token = ''; ; ) {
        const page = await own.call<ListJobsResponse__Output>('ListJobs', { page_size: 2, page_token, order_by })
        expect(page.total_count).toBe('7')
        expect(page.snapshot_cursor !== '').toBe(page_token === '')
        seen.push(...page.jobs.map(({ job_id }) => job_id))
        page_token = page.next_page_token
        if (page_token === '') break
      }
      expect([...seen].sort(), order_by).toEqual([...ids].sort())
      if (order_by === 'created_at') expect(seen).toEqual(ids)
    }
  })

  it('is filtered by status, training type and labels', async () => {
    const own = coordinator.tenant()
    const later = { scheduling_config: { start_after: { seconds: 4_000_000_000 } } }
    const a = await own.submit(own.custom('', { ...later, labels: { team: 'a"b', x: '1' } }))
    const b = await own.submit(own.custom('', { ...later, labels: { team: 'b' }, training: { training_type: 'DPO' } }))
    await own.call('CancelJob', { job_id: b })
    const list = async (request: object) => (await own.call<ListJobsResponse__Output>('ListJobs', request)).jobs.map(({ job_id }) => job_id)
    expect(await list({ labels: { team: 'a"b' } })).toEqual([a])
    expect(await list({ labels: { team: 'a"b', x: '2' } })).toEqual([])
    expect(await list({ statuses: ['CANCELLED', 'FAILED'] })).toEqual([b])
    expect(await list({ training_types: ['SFT'] })).toEqual([a])
    expect(await list({ training_types: ['SFT', 'DPO'] })).toEqual([b, a])
  })

  it('refuses an unknown order, a page of 101, and a token of another listing', async () => {
    const own = coordinator.tenant()
    for (let i = 0; i < 2; i++) await own.submit(own.custom('console.log(1)'))
    const { next_page_token: page_token } = await own.call<ListJobsResponse__Output>('ListJobs', { page_size: 1 })
    for (const [request, path] of [
      [{ order_by: 'size' }, 'order_by'],
      [{ page_size: 101 }, 'page_size'],
      [{ page_token, order_by: 'name' }, 'page_token'],
      [{ page_token: 'nonsense' }, 'page_token'],
    ] as const) {
      expect((await own.refused('ListJobs', request)).fields).toMatchObject([{ path }])
    }
  })
})
