import { frameworkTypes, type TrainingType, trainingTypes } from '../../src/contract/statuses.js'
import { defaultFor, embeddedDefaults, hfDefaults } from '../../src/coordinator/jobs/fields/defaults.js'
import { answerOf, type Field, type Situation } from '../../src/coordinator/jobs/fields/field.js'
import { needsGpu } from '../../src/coordinator/jobs/fields/framework.js'
import { fields } from '../../src/coordinator/jobs/fields/table.js'
import { completeSpec, type Spec } from '../../src/coordinator/jobs/records/spec.js'
import type { JobSpec__Output } from '../../src/generated/proto/scaimind/v1/JobSpec.js'

/** Files that a submission names, each under the data roots. */
export interface SubmissionFiles {
  data: string
  script: string
  reward: string
  /** A checkout of Megatron-LM, as far as its `pretrain_gpt.py`. */
  megatron: string
}

/** Which fields go together in a cell of the table. */
export interface Cell {
  situation: Situation
  field: Field
}

const frameworksOf: Record<Situation['trainer'], readonly Situation['framework'][]> = {
  embedded: ['HF_TRAINER'],
  hf: frameworkTypes.filter((type) => type !== 'CUSTOM'),
  custom: ['CUSTOM'],
  program: ['HF_TRAINER'],
}

/** Every trainer with every training type and every framework that it knows. */
export const situations: Situation[] = (['embedded', 'hf', 'custom', 'program'] as const).flatMap((trainer) =>
  frameworksOf[trainer].flatMap((framework) => trainingTypes.map((type) => ({ trainer, type, framework }))),
)

/** A sound submission, with nothing in it that its situation does not need. */
export function soundSpec({ trainer, type, framework }: Situation, files: SubmissionFiles): Spec {
  const spec = completeSpec(null)
  const isHf = trainer === 'hf'
  spec.name = `${trainer} ${type} ${framework}`
  spec.training_config.training_type = type
  spec.training_config.base_model.model_id = trainer === 'embedded' ? 'scaimind/byte-tiny' : 'org/name'
  spec.training_config.framework.type = framework
  if (trainer === 'custom') spec.training_config.framework.custom_script_path = files.script
  if (isHf && framework === 'MEGATRON') {
    spec.training_config.framework.config.megatron_path = files.megatron
    spec.training_config.hyperparameters.max_steps = '10'
    spec.data_config.max_seq_length = 64
  }
  if (isHf && type === 'RLHF') spec.training_config.hyperparameters.reward_function = files.reward
  if (isHf && needsGpu({ type, framework })) spec.resource_config.gpu_count = 2
  spec.data_config.sources = [{ path: files.data, type: '', split: '', format: '', columns: [], filters: {}, sampling: {} }]
  return spec
}

/** The submission of a cell: a sound one with the field set to its example, and what the field needs besides. */
export function specOfCell({ situation, field }: Cell, files: SubmissionFiles): Spec {
  const spec = structuredClone(soundSpec(situation, files)) as unknown as Record<string, unknown>
  for (const [path, value] of Object.entries(field.with?.(situation) ?? {})) {
    const needed = fields.find((other) => other.path === path)
    if (value === undefined || (needed && 'acts' in answerOf(needed, situation))) set(spec, path, value)
  }
  set(spec, field.path, replaced(field.path, field.example(situation), files))
  return spec as unknown as JobSpec__Output & Spec
}

/** The defaults that the table tells of the hyperparameters that act for a training type. */
export function toldDefaults(trainer: 'embedded' | 'hf', type: TrainingType): Record<string, string> {
  const told = Object.entries(trainer === 'hf' ? hfDefaults : embeddedDefaults).flatMap(([name, given]) => {
    const field = fields.find(({ path }) => path === `training_config.hyperparameters.${name}`)
    const value = defaultFor(given, type)
    const acts = field && 'acts' in answerOf(field, { trainer, type, framework: 'HF_TRAINER' })
    return acts && value !== undefined ? [[name, value] as const] : []
  })
  return Object.fromEntries(told)
}

/** The path of a field in a submission: of the first source, and of a name where any is possible. */
export const pathIn = (row: string): string => row.replace('[]', '[0]').replace('.*', '.any')

function replaced(path: string, example: unknown, files: SubmissionFiles): unknown {
  const name = path.slice(path.lastIndexOf('.') + 1)
  const inPlace: Record<string, string> = {
    custom_script_path: files.script,
    reward_function: files.reward,
    megatron_path: files.megatron,
    vocab_file: files.data,
    merge_file: files.data,
  }
  if (path.endsWith('sources[].path')) return files.data
  return inPlace[name] ?? example
}

function set(spec: Record<string, unknown>, row: string, value: unknown): void {
  const names = row.replace('[]', '.0').replace('.*', '.any').replace('field_mapping.any', 'field_mapping.text').split('.')
  let at = spec
  for (const name of names.slice(0, -1)) {
    at[name] ??= name === 'preprocess' ? { tokenizer: '', padding: '', truncation: '', chat_template: '', field_mapping: {} } : {}
    if (name === 'distributed' && Object.keys(at[name] as object).length === 0)
      at[name] = { world_size: 0, backend: '', strategy: '', config: {} }
    at = at[name] as Record<string, unknown>
  }
  const last = names.at(-1) ?? ''
  if (value === undefined) delete at[last]
  else at[last] = value
}
