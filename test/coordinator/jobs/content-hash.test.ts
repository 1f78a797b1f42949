import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { jobContent } from '../../../src/coordinator/jobs/content/content.js'
import { contentHashOf, type Ingredients } from '../../../src/coordinator/jobs/content/content-hash.js'
import { completeSpec } from '../../../src/coordinator/jobs/records/spec.js'
import type { JobSpec__Output } from '../../../src/generated/proto/scaimind/v1/JobSpec.js'

const submission = {
  name: 'first',
  labels: { team: 'a' },
  training_config: {
    training_type: 'LORA',
    base_model: { model_id: 'scaimind/byte-tiny', revision: 'main' },
    hyperparameters: { max_steps: '10', learning_rate: '0.001' },
    priority: 3,
    max_retries: 1,
  },
  data_config: {
    sources: [{ path: '/data/a.jsonl', columns: ['prompt', 'completion'], sampling: {} }],
    batch_size: 4,
    validation_split: 0.1,
  },
  scheduling_config: { queue: 'night' },
  output_config: { output_uri: '/out' },
}
type Submission = typeof submission
const nothingSaid = { world_size: 0, backend: 'nccl', strategy: '', config: {} }

const hash = (change: (given: Submission) => unknown = () => {}, more: Partial<Ingredients> = {}) => {
  const given = structuredClone(submission)
  change(given)
  return contentHashOf({
    spec: completeSpec(given as unknown as JobSpec__Output),
    dataHashes: [{ path: given.data_config.sources[0]?.path ?? '', content_hash: 'sha256:aa', records: '3', dataset_id: '' }],
    code: { trainer: 'embedded', version: '1', content_hash: 'sha256:cc' },
    modelContent: `name:${given.training_config.base_model.model_id}`,
    ...more,
  })
}

/** The same object with its fields in another order, all the way down. */
function shuffled<Value>(value: Value, seed: number): Value {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const entries = Object.entries(value).map(([key, inner], index) => ({
    key,
    inner: shuffled(inner, seed),
    at: (index * 7919 + seed * 31) % 101,
  }))
  return Object.fromEntries(entries.sort((a, b) => a.at - b.at).map(({ key, inner }) => [key, inner])) as Value
}

describe('The content hash of a job', () => {
  it('is the same for the same work, in whatever order its fields come', () => {
    expect(hash()).toMatch(/^sha256:[0-9a-f]{64}$/)
    fc.assert(fc.property(fc.nat(1000), (seed) => hash((given) => Object.assign(given, shuffled(given, seed))) === hash()))
  })

  it.each<[string, (given: Submission) => unknown]>([
    ['a name', (given) => Object.assign(given, { name: 'second' })],
    ['labels', (given) => Object.assign(given, { labels: {} })],
    ['a priority', (given) => Object.assign(given.training_config, { priority: 9 })],
    ['retries', (given) => Object.assign(given.training_config, { max_retries: 5 })],
    ['a queue', (given) => Object.assign(given.scheduling_config, { queue: 'day' })],
    ['a place for the result', (given) => Object.assign(given.output_config, { output_uri: '/elsewhere' })],
    ['a place of the data', (given) => Object.assign(given.data_config.sources[0] ?? {}, { path: '/other/b.jsonl' })],
    ['a default that is spelled out', (given) => Object.assign(given.data_config, { seed: '42', gradient_accumulation_steps: 1 })],
    ['more memory', (given) => Object.assign(given, { resource_config: { memory_gb_per_node: 16, cpus_per_node: 4 } })],
    [
      'a preprocessing that says nothing',
      (given) => Object.assign(given.data_config, { preprocess: { tokenizer: '', field_mapping: {} } }),
    ],
    [
      'defaults of how processes work together',
      (given) => Object.assign(given.training_config, { framework: { type: 'HF_TRAINER', distributed: nothingSaid } }),
    ],
    ['the kind of its model spelled out', (given) => Object.assign(given.training_config.base_model, { source: 'huggingface' })],
    ['its model’s own tokenizer', (given) => Object.assign(given.training_config.base_model, { tokenizer_id: 'scaimind/byte-tiny' })],
    [
      'columns in another order',
      (given) => Object.assign(given.data_config.sources[0] ?? {}, { columns: ['completion', 'prompt', 'prompt'] }),
    ],
    ['another spelling of a number', (given) => Object.assign(given.training_config.hyperparameters, { learning_rate: ' 1e-3' })],
  ])('does not change with %s', (_, change) => expect(hash(change)).toBe(hash()))

  it.each<[string, (given: Submission) => unknown]>([
    ['the step count', (given) => Object.assign(given.training_config.hyperparameters, { max_steps: '11' })],
    ['the model', (given) => Object.assign(given.training_config.base_model, { model_id: 'scaimind/other' })],
    ['its revision', (given) => Object.assign(given.training_config.base_model, { revision: 'v2' })],
    ['the training type', (given) => Object.assign(given.training_config, { training_type: 'SFT' })],
    ['the batch size', (given) => Object.assign(given.data_config, { batch_size: 8 })],
    ['the number of GPUs', (given) => Object.assign(given, { resource_config: { gpu_count: 8 } })],
    ['the columns', (given) => Object.assign(given.data_config.sources[0] ?? {}, { columns: ['text'] })],
    ['an empty variable', (given) => Object.assign(given.training_config, { environment: { SEED: '' } })],
    ['the environment', (given) => Object.assign(given.training_config, { environment: { SEED: '1' } })],
  ])('changes with %s', (_, change) => expect(hash(change)).not.toBe(hash()))

  it('takes the settings of a script as they are written: only our trainers read 1.10 and 1.1 as one number', () => {
    const code = (trainer: string) => ({ code: { trainer, version: '', content_hash: 'sha256:dd' } })
    const withVersion = (version: string) => (given: Submission) => Object.assign(given.training_config.hyperparameters, { version })
    expect(hash(withVersion('1.10'), code('custom'))).not.toBe(hash(withVersion('1.1'), code('custom')))
    expect(hash(withVersion('1.10'), code('hf'))).toBe(hash(withVersion('1.1'), code('hf')))
  })

  it('changes with the records, the code and what stands at a path of a model', () => {
    const record = { path: '/data/a.jsonl', content_hash: 'sha256:bb', records: '3', dataset_id: '' }
    const others = [
      hash(undefined, { dataHashes: [record] }),
      hash(undefined, { code: { trainer: 'custom', version: '', content_hash: 'sha256:dd' } }),
      hash(undefined, { modelContent: 'files:1' }),
      hash(undefined, { modelContent: 'files:2' }),
    ]
    expect(new Set([hash(), ...others]).size).toBe(5)
    expect(hash((given) => Object.assign(given.training_config.base_model, { model_id: '/a/path' }), { modelContent: 'files:1' })).toBe(
      others[2],
    )
  })

  it('is that of a commit, whatever name led to it, and unknown while that is', () => {
    const atCommit = { modelContent: 'commit:meta/llama@1' }
    const onBranch = (given: Submission) => Object.assign(given.training_config.base_model, { revision: 'main' })
    expect(hash(onBranch, atCommit)).toBe(hash(undefined, atCommit))
    expect(hash(onBranch, { modelContent: 'commit:meta/llama@2' })).not.toBe(hash(undefined, atCommit))
    expect(hash(undefined, { modelContent: '' })).toBe('')
  })

  it('is the same with another token: it says what may be fetched, not what is trained', () => {
    const withToken = (token: string) => (given: Submission) => Object.assign(given.training_config, { environment: { HF_TOKEN: token } })
    expect(hash(withToken('a'))).toBe(hash(withToken('b')))
  })

  it('changes with the order of its sources: they are read one after the other', () => {
    const of = (...contents: string[]) =>
      hash(
        (given) => {
          given.data_config.sources = contents.map((name) => ({ path: `/data/${name}.jsonl`, columns: [], sampling: {} }))
        },
        { dataHashes: contents.map((name) => ({ path: '', content_hash: `sha256:${name}`, records: '1', dataset_id: '' })) },
      )
    expect(of('a', 'b')).not.toBe(of('b', 'a'))
  })

  it('is not known before the records are', () => {
    expect(hash(undefined, { dataHashes: [{ path: '', content_hash: '', records: '0', dataset_id: '' }] })).toBe('')
  })
})

describe('What the settings of the trainer for real models name', () => {
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-named-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const file = (name: string, text: string) => {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  file('model/config.json', '{"model_type": "llama"}')
  const data = file('data.jsonl', '{"text": "one"}\n')
  let commit: string | null = '1'
  const hashes = { of: async () => ({ contentHash: 'sha256:aa', records: 1, bytes: 1 }), known: async () => null }
  const hf = { python: null, wrapper: [], modules: [], cacheHome: folder, megatronPath: null }
  const content = jobContent({ hashes, hub: { commitOf: async () => commit }, settings: { trainer: { python: 'python3', hf } } })
  async function hashWith(training: object): Promise<string> {
    const given = structuredClone(submission)
    Object.assign(given.training_config, { base_model: { model_id: join(folder, 'model') }, ...training })
    Object.assign(given.data_config.sources[0] ?? {}, { path: data, type: '', filters: {} })
    const spec = completeSpec(given as unknown as JobSpec__Output)
    return (await content.soon({ given: spec, resolved: spec })).contentHash
  }
  const megatron = (config: object) => ({ training_type: 'FULL_FINETUNE', framework: { type: 'MEGATRON', config } })

  it.each<[string, object, string]>([
    ['a reward model', { hyperparameters: { reward_model: join(folder, 'reward') } }, 'reward/config.json'],
    ['a reward function', { hyperparameters: { reward_function: join(folder, 'reward.py') } }, 'reward.py'],
    ['a checkout of Megatron-LM', megatron({ megatron_path: join(folder, 'megatron') }), 'megatron/pretrain_gpt.py'],
    ['a vocabulary', megatron({ vocab_file: join(folder, 'vocab.json') }), 'vocab.json'],
  ])('%s counts by what stands there', async (_, training, name) => {
    file(name, 'before')
    const before = await hashWith(training)
    expect(await hashWith(training)).toBe(before)
    file(name, 'afterwards')
    expect(await hashWith(training)).not.toBe(before)
  })

  it('counts on a hub by its commit, and nothing is known while that is not', async () => {
    const training = { hyperparameters: { reward_model: 'org/reward' } }
    const before = await hashWith(training)
    commit = '2'
    expect(await hashWith(training)).not.toBe(before)
    commit = null
    expect(await hashWith(training)).toBe('')
  })
})
