import { isUnset } from './job.js'
import { LINEAR_MODULES, type LinearModule } from './model/config.js'
import type { Problem } from './problems.js'
import { SCHEDULES, type ScheduleName } from './schedule.js'

/** The training types that the embedded trainer knows. */
export const TRAINING_TYPES = ['LORA', 'SFT', 'FULL_FINETUNE', 'CONTINUED_PRETRAIN', 'DPO'] as const

export type TrainingType = (typeof TRAINING_TYPES)[number]

/** The losses of DPO, by trl's names. */
export const PREFERENCE_LOSSES = ['sigmoid', 'robust', 'ipo'] as const

/** Hyperparameters, read and checked, with defaults filled in. Names and meanings are transformers', PEFT's and trl's. */
export interface Hyperparameters {
  learning_rate: number
  /** Optimizer steps; 0 where `num_train_epochs` decides. */
  max_steps: number
  num_train_epochs: number
  warmup_steps: number
  warmup_ratio: number
  lr_scheduler_type: ScheduleName
  weight_decay: number
  adam_beta1: number
  adam_beta2: number
  adam_epsilon: number
  max_grad_norm: number
  logging_steps: number
  eval_steps: number
  /** 0 where DPO trains all weights. */
  lora_r: number
  lora_alpha: number
  lora_target_modules: LinearModule[]
  train_on_prompt: boolean
  packing: boolean
  beta: number
  loss_type: (typeof PREFERENCE_LOSSES)[number]
  label_smoothing: number
}

type Name = keyof Hyperparameters
type Rule = {
  /** What is accepted, in words. */
  text: string
  value: unknown
  /** Other defaults, by training type. */
  values?: Partial<Record<TrainingType, unknown>>
  /** The training types on which it acts. Default: all. */
  on?: readonly TrainingType[]
  read: (text: string) => unknown
}

const number =
  (min: number, max: number, open = false) =>
  (text: string) => {
    const value = Number(text)
    const inside = open ? value > min && value <= max : value >= min && value <= max
    return text.trim() !== '' && Number.isFinite(value) && inside ? value : undefined
  }
const boolean = (text: string) => ({ true: true, false: false })[text.trim().toLowerCase()]
const below = (max: number) => (text: string) => (Number(text) === max ? undefined : number(0, max)(text))
const integer = (min: number, max: number) => (text: string) => {
  const value = number(min, max)(text)
  return Number.isInteger(value) ? value : undefined
}
const allModules = Object.keys(LINEAR_MODULES) as LinearModule[]

/**
 * Every hyperparameter, what it accepts and its default:
 *
 * | name | default |
 * | --- | --- |
 * | learning_rate | 0.002 for LORA, 0.0001 for DPO, 0.0005 for the others |
 * | max_steps | 0: `num_train_epochs` decides; otherwise it wins over `num_train_epochs`. -1 is 0. |
 * | num_train_epochs | 3; may be a fraction |
 * | warmup_steps | 0; where it is not 0, `warmup_ratio` is not used |
 * | warmup_ratio | 0 |
 * | lr_scheduler_type | linear |
 * | weight_decay | 0; applies to matrices |
 * | adam_beta1, adam_beta2, adam_epsilon | 0.9, 0.999, 1e-8 |
 * | max_grad_norm | 1; 0 turns clipping off |
 * | logging_steps | 10: how often a line goes to the log; metrics have every step |
 * | eval_steps | 0: evaluate before and after training only |
 * | lora_r | LORA: 8. DPO: none, so that all weights are trained; with it, adapters are |
 * | lora_alpha | 16 |
 * | lora_target_modules | all linear layers, also spelled all-linear |
 * | train_on_prompt | false: the loss is on completions and assistant messages only |
 * | packing | true: records share rows of max_seq_length where they fit, each read as if it were alone; a batch counts rows |
 * | beta | DPO: 0.1: what holds the model to what it was, the larger the more |
 * | loss_type | DPO: sigmoid |
 * | label_smoothing | DPO with loss_type robust: 0; the share of preferences that are taken to be the wrong way round |
 */
const RULES: Record<Name, Rule> = {
  learning_rate: { text: 'a number above 0 and at most 10', value: 5e-4, values: { LORA: 2e-3, DPO: 1e-4 }, read: number(0, 10, true) },
  max_steps: { text: 'a whole number from 1 to 1000000, or 0 or -1 to count epochs', value: 0, read: (text) => maxSteps(text) },
  num_train_epochs: { text: 'a number above 0 and at most 10000', value: 3, read: number(0, 10_000, true) },
  warmup_steps: { text: 'a whole number from 0 to 1000000', value: 0, read: integer(0, 1_000_000) },
  warmup_ratio: { text: 'a number from 0 to 1', value: 0, read: number(0, 1) },
  lr_scheduler_type: {
    text: `one of ${SCHEDULES.join(', ')}`,
    value: 'linear',
    read: (text) => SCHEDULES.find((name) => name === text.trim()),
  },
  weight_decay: { text: 'a number from 0 to 10', value: 0, read: number(0, 10) },
  adam_beta1: { text: 'a number from 0 to below 1', value: 0.9, read: below(1) },
  adam_beta2: { text: 'a number from 0 to below 1', value: 0.999, read: below(1) },
  adam_epsilon: { text: 'a number above 0 and at most 1', value: 1e-8, read: number(0, 1, true) },
  max_grad_norm: { text: 'a number from 0 (no clipping) to 1000000', value: 1, read: number(0, 1e6) },
  logging_steps: { text: 'a whole number from 1 to 1000000', value: 10, read: integer(1, 1_000_000) },
  eval_steps: { text: 'a whole number from 0 (only at the end) to 1000000', value: 0, read: integer(0, 1_000_000) },
  lora_r: { text: 'a whole number from 1 to 256', value: 8, values: { DPO: 0 }, on: ['LORA', 'DPO'], read: integer(1, 256) },
  lora_alpha: { text: 'a number above 0 and at most 10000', value: 16, on: ['LORA', 'DPO'], read: number(0, 10_000, true) },
  lora_target_modules: {
    text: `all-linear, or a comma-separated choice of ${allModules.join(', ')}`,
    value: allModules,
    on: ['LORA', 'DPO'],
    read: (text) => readModules(text),
  },
  train_on_prompt: { text: 'true or false', value: false, on: ['LORA', 'SFT', 'FULL_FINETUNE'], read: boolean },
  packing: { text: 'true or false', value: true, on: ['LORA', 'SFT', 'FULL_FINETUNE'], read: boolean },
  beta: { text: 'a number above 0 and at most 100', value: 0.1, on: ['DPO'], read: number(0, 100, true) },
  loss_type: {
    text: `one of ${PREFERENCE_LOSSES.join(', ')}`,
    value: 'sigmoid',
    on: ['DPO'],
    read: (text) => PREFERENCE_LOSSES.find((name) => name === text.trim()),
  },
  label_smoothing: { text: 'a number from 0 to below 0.5', value: 0, on: ['DPO'], read: below(0.5) },
}

/** The names that `readHyperparameters` knows for a training type, in the order of the table. */
export function knownHyperparameters(trainingType: TrainingType): Name[] {
  return (Object.keys(RULES) as Name[]).filter((name) => RULES[name].on?.includes(trainingType) ?? true)
}

/** Reads the strings of `training_config.hyperparameters`. Unknown names and values out of range are problems; then the default is returned in their place. */
export function readHyperparameters(
  given: Readonly<Record<string, unknown>>,
  trainingType: TrainingType,
): { values: Hyperparameters; problems: Problem[] } {
  const problems: Problem[] = []
  const known = knownHyperparameters(trainingType)
  for (const name of Object.keys(given)) {
    if (known.some((candidate) => candidate === name)) continue
    const { on } = RULES[name as Name] ?? {}
    const reason = on
      ? `acts only on training type ${on.join(', ')}, not ${trainingType}`
      : 'is not a hyperparameter of the embedded trainer'
    problems.push({
      path: `training_config.hyperparameters.${name}`,
      message: `${name} ${reason}${didYouMean(name, known)}. Known: ${known.join(', ')}.`,
    })
  }
  const values: Partial<Record<Name, unknown>> = {}
  for (const [name, rule] of Object.entries(RULES) as [Name, Rule][]) {
    values[name] = rule.values?.[trainingType] ?? rule.value
    const text = given[name]
    if (text === undefined || text === null || text === '' || !known.includes(name)) continue
    const value = rule.read(String(text))
    if (value !== undefined) values[name] = value
    else
      problems.push({
        path: `training_config.hyperparameters.${name}`,
        message: `${name} must be ${rule.text}, not ${JSON.stringify(text)}.`,
      })
  }
  for (const [name, { needs, isMet }] of Object.entries(DEPENDENT)) {
    if (trainingType === 'DPO' && !isUnset(given[name]) && !isMet(values as unknown as Hyperparameters))
      problems.push({
        path: `training_config.hyperparameters.${name}`,
        message: `${name} acts on DPO only with ${needs}; leave it out, or give that too.`,
      })
  }
  return { values: values as unknown as Hyperparameters, problems }
}

/** What acts on DPO only beside something else. */
const DEPENDENT: { [name: string]: { needs: string; isMet: (values: Hyperparameters) => boolean } } = {
  lora_alpha: { needs: 'lora_r', isMet: ({ lora_r }) => lora_r > 0 },
  lora_target_modules: { needs: 'lora_r', isMet: ({ lora_r }) => lora_r > 0 },
  label_smoothing: { needs: 'loss_type robust', isMet: ({ loss_type }) => loss_type === 'robust' },
}

function maxSteps(text: string): number | undefined {
  const value = integer(-1, 1_000_000)(text)
  return value === -1 ? 0 : value
}

function readModules(text: string): LinearModule[] | undefined {
  if (text.trim() === 'all-linear') return allModules
  const names = text.split(',').map((name) => name.trim())
  return names.every((name) => name in LINEAR_MODULES) ? allModules.filter((module) => names.includes(module)) : undefined
}

function didYouMean(name: string, known: readonly string[]): string {
  const nearest = known.map((candidate) => ({ candidate, away: editDistance(name, candidate) })).sort((a, b) => a.away - b.away)[0]
  return nearest && nearest.away <= 3 ? ` (did you mean ${nearest.candidate}?)` : ''
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
