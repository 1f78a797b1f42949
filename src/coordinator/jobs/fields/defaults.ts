import type { TrainingType } from '../../../contract/statuses.js'

/** What a hyperparameter is where it is not given: the same for all training types, or by type. */
export type Default = string | ({ [type in TrainingType]?: string } & { others?: string })

const ofAll: Record<string, Default> = {
  warmup_steps: '0',
  warmup_ratio: '0',
  lr_scheduler_type: 'linear',
  weight_decay: '0',
  adam_beta1: '0.9',
  adam_beta2: '0.999',
  adam_epsilon: '1e-8',
  max_grad_norm: '1',
  max_steps: '-1',
  logging_steps: '10',
  lora_target_modules: 'all-linear',
}

/** The defaults of the trainer for HuggingFace models, by name; one that is not here has none, or depends on other fields. */
export const hfDefaults: Record<string, Default> = {
  ...ofAll,
  learning_rate: { LORA: '2e-4', QLORA: '2e-4', DPO: '1e-6', RLHF: '1e-6', others: '2e-5' },
  num_train_epochs: '1',
  optim: 'adamw_torch_fused',
  gradient_checkpointing: 'false',
  lora_r: { LORA: '16', QLORA: '16' },
  lora_alpha: '32',
  lora_dropout: '0',
  lora_bias: 'none',
  use_rslora: 'false',
  use_dora: 'false',
  bnb_4bit_quant_type: 'nf4',
  bnb_4bit_compute_dtype: 'bfloat16',
  bnb_4bit_use_double_quant: 'true',
  packing: { CONTINUED_PRETRAIN: 'true', others: 'false' },
  assistant_only_loss: 'false',
  loss_type: { DPO: 'sigmoid', RLHF: 'dapo', others: 'nll' },
  beta: { DPO: '0.1', RLHF: '0' },
  label_smoothing: '0',
  reference_free: 'false',
  num_generations: '8',
  max_completion_length: '256',
  temperature: '1',
  top_p: '1',
  epsilon: '0.2',
  algorithm: 'grpo',
  skip_bad_records: 'false',
}

/** The defaults of the embedded trainer. */
export const embeddedDefaults: Record<string, Default> = {
  ...ofAll,
  learning_rate: { LORA: '0.002', DPO: '0.0001', others: '0.0005' },
  num_train_epochs: '3',
  lora_r: { LORA: '8' },
  lora_alpha: '16',
  packing: 'true',
  train_on_prompt: 'false',
  beta: '0.1',
  loss_type: 'sigmoid',
  label_smoothing: '0',
}

/** The default for one training type; undefined where there is none. */
export function defaultFor(given: Default | undefined, type: string): string | undefined {
  if (typeof given !== 'object') return given
  const byType: Record<string, string | undefined> = given
  return byType[type] ?? given.others
}

/** A default as a sentence; nothing where there is none. */
export function inWords(given: Default | undefined): string {
  if (given === undefined) return ''
  if (typeof given === 'string') return ` Default ${given}.`
  const { others, ...byType } = given
  const values = [...new Set(Object.values(byType))]
  const told = values.map((value) => {
    const types = Object.entries(byType).flatMap(([type, one]) => (one === value ? [type] : []))
    return `${value} for ${types.join(' and ')}`
  })
  return ` Default ${told.join(', ')}${others === undefined ? '' : `, else ${others}`}.`
}
