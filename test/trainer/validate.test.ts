import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkJob } from '../../src/trainer/check.js'
import { knownHyperparameters, readHyperparameters } from '../../src/trainer/hyperparameters.js'
import { validateJob } from '../../src/trainer/validate.js'
import { jobOf, pairsFile, preferencesFile, temporaryFolder, validate } from './support.js'

const path = pairsFile(20)
const good = { sources: [{ path, type: '', split: '', format: '', columns: [] }] }

function problemsOf(parts: Parameters<typeof jobOf>[0]): { path: string; message: string }[] {
  return checkJob(jobOf({ ...parts, data: { ...good, ...parts.data } })).problems
}

describe('hyperparameters', () => {
  it('defaults are those of the table', () => {
    const { values, problems } = readHyperparameters({}, 'LORA')
    expect(problems).toEqual([])
    expect(values).toMatchObject({
      learning_rate: 2e-3,
      max_steps: 0,
      num_train_epochs: 3,
      lora_r: 8,
      lora_alpha: 16,
      lr_scheduler_type: 'linear',
    })
    expect(readHyperparameters({}, 'SFT').values.learning_rate).toBe(5e-4)
  })

  it('an unknown name is an error that says which is meant and which are known', () => {
    const { problems } = readHyperparameters({ learnin_rate: '1e-3' }, 'LORA')
    expect(problems).toHaveLength(1)
    expect(problems[0]?.path).toBe('training_config.hyperparameters.learnin_rate')
    expect(problems[0]?.message).toContain('did you mean learning_rate?')
    for (const name of knownHyperparameters('LORA')) expect(problems[0]?.message).toContain(name)
  })

  it.each([
    ['learning_rate', 'fast'],
    ['learning_rate', '0'],
    ['learning_rate', '-1'],
    ['learning_rate', 'Infinity'],
    ['max_steps', '1.5'],
    ['max_steps', '-2'],
    ['num_train_epochs', '0'],
    ['warmup_ratio', '1.5'],
    ['lr_scheduler_type', 'polynomial'],
    ['adam_beta1', '1'],
    ['lora_r', '0'],
    ['lora_target_modules', 'q_proj,c_attn'],
    ['train_on_prompt', 'maybe'],
  ])('a value out of range is an error that says what is accepted: %s = %s', (name, value) => {
    const { problems } = readHyperparameters({ [name]: value }, 'LORA')
    expect(problems).toHaveLength(1)
    expect(problems[0]?.path).toBe(`training_config.hyperparameters.${name}`)
    expect(problems[0]?.message).toContain(JSON.stringify(value))
  })

  it('adapter settings are refused where all weights are trained', () => {
    expect(readHyperparameters({ lora_r: '4' }, 'SFT').problems[0]?.message).toContain('acts only on training type LORA')
  })

  it('DPO trains all weights, and adapters where lora_r says how large', () => {
    expect(readHyperparameters({}, 'DPO').values).toMatchObject({ lora_r: 0, beta: 0.1, loss_type: 'sigmoid', label_smoothing: 0 })
    const plan = (hyperparameters: object) => validateJob({ training_config: { training_type: 'DPO', hyperparameters } }).plan
    expect([plan({}).trainsAdapter, plan({ lora_r: '4' }).trainsAdapter]).toEqual([false, true])
  })

  it.each([
    ['lora_alpha', 'DPO', {}, /only with lora_r/],
    ['label_smoothing', 'DPO', {}, /only with loss_type robust/],
    ['packing', 'DPO', {}, /only on training type LORA, SFT, FULL_FINETUNE, not DPO/],
    ['beta', 'SFT', {}, /only on training type DPO, not SFT/],
    ['loss_type', 'DPO', { loss_type: 'hinge' }, /one of sigmoid, robust, ipo/],
  ] as const)('%s is refused on %s where it would do nothing', (name, trainingType, given, message) => {
    const { problems } = readHyperparameters({ [name]: '0.2', ...given }, trainingType)
    expect(problems).toEqual([{ path: `training_config.hyperparameters.${name}`, message: expect.stringMatching(message) }])
  })

  it('target modules are a comma-separated choice of linear layers', () => {
    expect(readHyperparameters({ lora_target_modules: 'v_proj, q_proj' }, 'LORA').values.lora_target_modules).toEqual(['q_proj', 'v_proj'])
  })
})

describe('a submission', () => {
  it('that is right has no problem, and its data is counted', () => {
    expect(checkJob(jobOf({ data: good }))).toEqual({
      problems: [],
      data: [{ source: 0, records: 20, bytes: expect.any(Number), tokens: expect.any(Number) }],
      total_steps: 15,
    })
  })

  it('whose prompts fill every row is refused, since nothing is left to learn', () => {
    const file = join(temporaryFolder(), 'long.jsonl')
    writeFileSync(file, JSON.stringify({ prompt: 'q'.repeat(200), completion: 'a' }))
    expect(checkJob(jobOf({ data: { sources: [{ path: file }] } })).problems).toMatchObject([{ path: 'data_config.max_seq_length' }])
  })

  it('whose fields are unset takes the defaults', () => {
    const { plan, problems } = validateJob({
      training_config: {
        training_type: 'LORA',
        base_model: { model_id: 'scaimind/byte-tiny', revision: '', dtype: null },
        framework: null,
        hyperparameters: {},
      },
      data_config: { sources: [{ path: '/x/y.txt' }], max_seq_length: 0, batch_size: 0, preprocess: { tokenizer: '', field_mapping: {} } },
      output_config: { save_strategy: 'SAVE_STRATEGY_UNSPECIFIED', save_steps: 0 },
    })
    expect(problems).toEqual([])
    expect(plan.data).toMatchObject({ maxSeqLength: 0, batchSize: 8, accumulation: 1, validationSplit: 0, seed: 42, addBos: true })
    expect(plan.output).toMatchObject({ saveStrategy: 'STEPS', saveSteps: 100, saveTotalLimit: 3, mergeAdapter: false })
  })

  it.each<[string, Parameters<typeof jobOf>[0], string]>([
    ['an unknown training type', { training: { training_type: 'KTO' } }, 'training_config.training_type'],
    ['RLHF', { training: { training_type: 'RLHF' } }, 'training_config.training_type'],
    ['QLORA', { training: { training_type: 'QLORA' } }, 'training_config.training_type'],
    ['no model', { training: { base_model: {} } }, 'training_config.base_model.model_id'],
    ['a model that would have to be fetched', { training: { base_model: { model_id: 'gpt2' } } }, 'training_config.base_model.model_id'],
    ['a folder without a model', { training: { base_model: { model_id: temporaryFolder() } } }, 'training_config.base_model.model_id'],
    ['a revision', { training: { base_model: { model_id: 'scaimind/byte-tiny', revision: 'v2' } } }, 'training_config.base_model.revision'],
    [
      'half precision',
      { training: { base_model: { model_id: 'scaimind/byte-tiny', dtype: 'bfloat16' } } },
      'training_config.base_model.dtype',
    ],
    ['another framework', { training: { framework: { type: 'DEEPSPEED' } } }, 'training_config.framework.type'],
    ['framework settings', { training: { framework: { config: { fp16: 'true' } } } }, 'training_config.framework.config'],
    [
      'several processes',
      { training: { framework: { distributed: { world_size: 2 } } } },
      'training_config.framework.distributed.world_size',
    ],
    ['a GPU', { resources: { gpu_count: 1 } }, 'resource_config.gpu_count'],
    ['two nodes', { resources: { num_nodes: 2 } }, 'resource_config.num_nodes'],
    ['no source', { data: { sources: [] } }, 'data_config.sources'],
    ['a relative path', { data: { sources: [{ path: 'x.jsonl' }] } }, 'data_config.sources[0].path'],
    ['an unknown format', { data: { sources: [{ path: '/x.parquet' }] } }, 'data_config.sources[0].format'],
    ['another split', { data: { sources: [{ path, split: 'test' }] } }, 'data_config.sources[0].split'],
    ['filters', { data: { sources: [{ path, filters: { lang: 'en' } }] } }, 'data_config.sources[0].filters'],
    ['sampling', { data: { sources: [{ path, sampling: { weight: '2' } }] } }, 'data_config.sources[0].sampling'],
    ['columns', { data: { sources: [{ path, columns: ['a'] }] } }, 'data_config.sources[0].columns'],
    ['a validation split over 1', { data: { validation_split: 1.5 } }, 'data_config.validation_split'],
    ['a batch of half a row', { data: { batch_size: 0.5 } }, 'data_config.batch_size'],
    ['rows longer than the model reads', { data: { max_seq_length: 4096 } }, 'data_config.max_seq_length'],
    ['worker processes', { data: { num_workers: 2 } }, 'data_config.num_workers'],
    ['a chat template', { data: { preprocess: { chat_template: '{{x}}' } } }, 'data_config.preprocess.chat_template'],
    [
      'a mapping of an unknown field',
      { data: { preprocess: { field_mapping: { input: 'q' } } } },
      'data_config.preprocess.field_mapping.input',
    ],
    ['an unknown save strategy', { output: { save_strategy: 'ALWAYS' } }, 'output_config.save_strategy'],
    ['another export format', { output: { export_format: 'gguf' } }, 'output_config.export_format'],
    ['merging without an adapter', { training: { training_type: 'SFT' }, output: { merge_adapter: true } }, 'output_config.merge_adapter'],
  ])('with %s is refused by its path', (_, parts, expected) => {
    const { training, ...rest } = parts
    const problems = problemsOf({ ...rest, training: { ...training } })
    expect(problems.map((problem) => problem.path)).toEqual([expected])
  })

  it.each([
    ['QLORA', /LORA trains the same adapters/],
    ['RLHF', /DPO learns preferences/],
  ])('of type %s is told what would do instead, and nothing of its data', (training_type, instead) => {
    const data = { sources: [{ path: preferencesFile(2) }] }
    expect(problemsOf({ training: { training_type }, data })).toEqual([
      { path: 'training_config.training_type', message: expect.stringMatching(instead) },
    ])
  })

  it('is checked by the program, which reads it from standard input and names every mistake at once', () => {
    const file = join(temporaryFolder(), 'bad.jsonl')
    writeFileSync(file, '{"text":"fine"}\nnot json\n')
    const { problems } = validate(jobOf({ hyperparameters: { learnin_rate: '1' }, data: { sources: [{ path: file }], batch_size: -1 } }))
    expect(problems.map((problem) => problem.path)).toEqual([
      'training_config.hyperparameters.learnin_rate',
      'data_config.batch_size',
      'data_config.sources[0].path',
    ])
    expect(problems[2]?.message).toContain('bad.jsonl:2: not JSON')
  })
})
