import { describe, expect, it } from 'vitest'
import { toJobFile } from '../../../src/coordinator/jobs/content/job-file.js'
import { answerOf, type Field, type Situation } from '../../../src/coordinator/jobs/fields/field.js'
import { hfProblems } from '../../../src/coordinator/jobs/fields/hf-problems.js'
import { fields, givenFields } from '../../../src/coordinator/jobs/fields/table.js'
import { completeSpec, type Spec } from '../../../src/coordinator/jobs/records/spec.js'
import { fieldProblems } from '../../../src/coordinator/jobs/requests/validate-fields.js'
import { readHyperparameters, TRAINING_TYPES } from '../../../src/trainer/hyperparameters.js'
import { validateJob } from '../../../src/trainer/validate.js'
import { pathIn, situations, soundSpec, specOfCell, toldDefaults } from '../../support/submission-fields.js'

const files = { data: '/data/train.jsonl', script: '/data/train.py', reward: '/data/reward.py', megatron: '/data/megatron' }
const about = { job_id: 'job_1', tenant_id: 't', attempt: 1, token: '', resume_from: null }

/** What is wrong with a submission as far as its own words say it: the part of its check that looks at no file. */
function problemsOf(spec: Spec, { trainer }: Situation) {
  const problems = fieldProblems(spec, { allowCustomCode: true, allowTrustRemoteCode: true })
  if (trainer === 'hf') return [...problems, ...hfProblems(spec)]
  return trainer === 'embedded' ? [...problems, ...validateJob(toJobFile(spec, about)).problems] : problems
}

/** A cell where something else is wrong than what the table says, in one line. */
function disagreement(situation: Situation, field: Field): string[] {
  const answer = answerOf(field, situation)
  const problems = problemsOf(specOfCell({ situation, field }, files), situation)
  const path = pathIn(field.path).replace('field_mapping.any', 'field_mapping.text')
  // The embedded trainer refuses maps as a whole.
  const isOfIt = (problem: { path: string }) => path === problem.path || path.startsWith(`${problem.path}.`)
  const isAsTold = 'acts' in answer ? problems.length === 0 : problems.some(isOfIt) && problems.every(isOfIt)
  const told = problems.map((problem) => `${problem.path}: ${problem.message}`).join(' | ')
  return isAsTold ? [] : [`${Object.values(situation).join(' ')} ${field.path} should ${'acts' in answer ? 'act' : 'be refused'}: ${told}`]
}

/** Where a trainer does not do a training type at all, or not with a framework: the field that says so. */
const refusedWhole: { where: (situation: Situation) => boolean; path: string }[] = [
  {
    where: ({ trainer, type }) => trainer === 'embedded' && ['QLORA', 'RLHF'].includes(type),
    path: 'training_config.training_type',
  },
  {
    where: ({ trainer, type, framework }) => trainer === 'hf' && framework === 'FSDP' && type === 'QLORA',
    path: 'training_config.framework.type',
  },
  {
    where: ({ trainer, type, framework }) =>
      trainer === 'hf' && framework === 'MEGATRON' && !['CONTINUED_PRETRAIN', 'FULL_FINETUNE'].includes(type),
    path: 'training_config.framework.type',
  },
]
const wholeRefusal = (situation: Situation) => refusedWhole.find(({ where }) => where(situation))
const inWords = ({ trainer, type, framework }: Situation) => `${type} by ${framework}, ${trainer}`

describe('Every field of a submission acts or is refused by name', () => {
  it.each(situations.map((situation) => [inWords(situation), situation] as const))('%s', (_, situation) => {
    const whole = wholeRefusal(situation)
    const sound = problemsOf(soundSpec(situation, files), situation)
    if (whole) return expect(sound.map(({ path }) => path)).toEqual([whole.path])
    expect(sound).toEqual([])
    expect(fields.flatMap((field) => disagreement(situation, field))).toEqual([])
  })

  it('has a row for every field there is', () => {
    const spec = soundSpec({ trainer: 'hf', type: 'SFT', framework: 'HF_TRAINER' }, files)
    const known = new Set(fields.map(({ path }) => path))
    const all = leaves({ ...completeSpec(null), data_config: { ...spec.data_config, preprocess: emptyPreprocess } })
    expect(all.filter((path) => ![...known].some((row) => row === path || row.startsWith(`${path}.`)))).toEqual([])
  })
})

it("the defaults of the embedded trainer's hyperparameters are those of the table", () => {
  for (const type of TRAINING_TYPES) {
    expect(readHyperparameters(toldDefaults('embedded', type), type).values).toEqual(readHyperparameters({}, type).values)
  }
})

const emptyPreprocess = { tokenizer: '', add_bos: null, add_eos: null, padding: '', truncation: '', chat_template: '', field_mapping: {} }
function leaves(value: unknown, path = ''): string[] {
  if (Array.isArray(value) && value.length > 0) return leaves(value[0], `${path}[]`)
  if (typeof value !== 'object' || value === null || Array.isArray(value) || Object.keys(value).length === 0) return [path]
  return Object.entries(value).flatMap(([name, inner]) => leaves(inner, path === '' ? name : `${path}.${name}`))
}

describe('A submission for the trainer of HuggingFace models', () => {
  const lora: Situation = { trainer: 'hf', type: 'LORA', framework: 'HF_TRAINER' }
  const refusal = (situation: Situation, change: (spec: Spec) => unknown) => {
    const spec = soundSpec(situation, files)
    change(spec)
    return problemsOf(spec, situation).map(({ path, message }) => `${path.replace('training_config.', '')}: ${message}`)
  }
  const hyperparameters =
    (given: Record<string, string>) =>
    ({ training_config }: Spec) =>
      Object.assign(training_config.hyperparameters, given)
  const framework =
    (given: object) =>
    ({ training_config }: Spec) =>
      Object.assign(training_config.framework, given)

  it.each<[string, Situation, (spec: Spec) => unknown, RegExp]>([
    [
      'a name that nearly is one',
      lora,
      hyperparameters({ learnin_rate: '1' }),
      /^hyperparameters\.learnin_rate: .*did you mean learning_rate\?/,
    ],
    [
      'adapters where all weights are trained',
      { ...lora, type: 'FULL_FINETUNE' },
      hyperparameters({ lora_r: '8' }),
      /lora_r: .*FULL_FINETUNE.*LORA/,
    ],
    ['a number that is none', lora, hyperparameters({ learning_rate: 'fast' }), /learning_rate must be a number above 0/],
    ['a part of a step', lora, hyperparameters({ max_steps: '1.5' }), /max_steps must be a whole number/],
    ['a word that is not among those', lora, hyperparameters({ lr_scheduler_type: 'cosin' }), /must be one of linear, cosine/],
    ['steps and epochs', lora, hyperparameters({ max_steps: '5', num_train_epochs: '1' }), /num_train_epochs: .*not both/],
    ['a loss of another type', { ...lora, type: 'DPO' }, hyperparameters({ loss_type: 'nll' }), /loss_type: DPO has the losses sigmoid/],
    [
      'settings of another framework',
      lora,
      framework({ config: { zero_stage: '2' } }),
      /framework\.config\.zero_stage: .*HF_TRAINER.*DEEPSPEED/,
    ],
    [
      '4-bit weights that ZeRO would split',
      { ...lora, type: 'QLORA', framework: 'DEEPSPEED' },
      framework({ config: { zero_stage: '3' } }),
      /zero_stage: QLORA.*stage 3/,
    ],
    [
      '4-bit weights without a GPU',
      { ...lora, type: 'QLORA' },
      (spec) => Object.assign(spec.resource_config, { gpu_count: 0 }),
      /^resource_config\.gpu_count: QLORA.*CUDA/,
    ],
    ['adapters by Megatron', { ...lora, framework: 'MEGATRON' }, () => {}, /framework\.type: Megatron.*no adapters/],
    [
      'a process for half of the GPUs',
      { ...lora, framework: 'DEEPSPEED' },
      framework({ distributed: { world_size: 1, backend: '', strategy: '', config: {} } }),
      /world_size: .*one process a GPU/,
    ],
    [
      'neither reward',
      { ...lora, type: 'RLHF' },
      (spec) => Object.assign(spec.training_config, { hyperparameters: {} }),
      /reward_function: RLHF needs either/,
    ],
    [
      'a cache of its own',
      lora,
      (spec) => Object.assign(spec.training_config.environment, { HF_HUB_CACHE: '/tmp' }),
      /environment\.HF_HUB_CACHE/,
    ],
    [
      'a path as a data set on the hub',
      lora,
      (spec) => Object.assign(spec.data_config.sources[0] ?? {}, { type: 'huggingface', path: '../x' }),
      /sources\[0\]\.path: .*org\/name/,
    ],
    [
      'a data set on the hub without its owner',
      lora,
      (spec) => Object.assign(spec.data_config.sources[0] ?? {}, { type: 'huggingface', path: 'squad' }),
      /sources\[0\]\.path: .*org\/name.*not squad/,
    ],
    [
      'the format of a data set on the hub',
      lora,
      (spec) => Object.assign(spec.data_config.sources[0] ?? {}, { type: 'huggingface', path: 'org/data', format: 'jsonl' }),
      /sources\[0\]\.format: .*its own format/,
    ],
    [
      'an unknown word of sampling',
      lora,
      (spec) => Object.assign(spec.data_config.sources[0]?.sampling ?? {}, { wieght: '1' }),
      /sampling\.wieght: .*did you mean weight/,
    ],
    [
      'a kwarg that is not let through',
      lora,
      (spec) => Object.assign(spec.training_config.base_model.model_kwargs, { device_map: 'auto' }),
      /model_kwargs\.device_map/,
    ],
  ])('is refused for %s', (_, situation, change, message) => {
    expect(refusal(situation, change)).toEqual([expect.stringMatching(message)])
  })

  it('names every field that is set, those nobody knows among them', () => {
    const spec = soundSpec(lora, files)
    spec.data_config.sources[0] = { ...spec.data_config.sources[0], filters: { 'a.b': '>1' } } as Spec['data_config']['sources'][number]
    Object.assign(spec.training_config.hyperparameters, { nonsense: '' })
    expect(givenFields(spec)).toEqual(
      expect.arrayContaining([
        { path: 'data_config.sources[0].filters.a.b', row: 'data_config.sources[].filters.*', value: '>1' },
        { path: 'training_config.hyperparameters.nonsense', row: 'training_config.hyperparameters.nonsense', value: '' },
      ]),
    )
  })
})
