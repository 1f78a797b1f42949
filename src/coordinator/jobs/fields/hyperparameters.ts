import type { FrameworkType, TrainingType } from '../../../contract/statuses.js'
import { type Default, embeddedDefaults, hfDefaults, inWords } from './defaults.js'
import { type Acts, type Field, forTrainers, type Situation } from './field.js'
import { anyText, boolean, integer, type Kind, number, oneOf, path, wordList } from './kinds.js'

const supervised: TrainingType[] = ['SFT', 'LORA', 'QLORA', 'CONTINUED_PRETRAIN', 'FULL_FINETUNE']
const answering = supervised.filter((type) => type !== 'CONTINUED_PRETRAIN')
/** DPO and RLHF train all weights unless `lora_r` is given. */
const withAdapters: TrainingType[] = ['LORA', 'QLORA', 'DPO', 'RLHF']
const notRlhf: TrainingType[] = [...supervised, 'DPO']

const optimizers = [
  ...['adamw_torch', 'adamw_torch_fused', 'adafactor', 'sgd'],
  ...['lion_32bit', 'lion_8bit', 'adamw_8bit', 'paged_adamw_8bit', 'paged_adamw_32bit'],
]
const schedules = ['linear', 'cosine', 'cosine_with_restarts', 'constant', 'constant_with_warmup', 'inverse_sqrt', 'polynomial']

/** The losses of trl by what is trained. */
export const lossTypes = {
  supervised: ['nll', 'dft'],
  DPO: [
    ...['sigmoid', 'hinge', 'ipo', 'exo_pair', 'nca_pair', 'robust', 'bco_pair', 'sppo_hard', 'aot', 'aot_unpaired'],
    ...['apo_zero', 'apo_down', 'discopop', 'sft', 'sigmoid_norm'],
  ],
  RLHF: ['grpo', 'dapo', 'dr_grpo', 'bnpo'],
}

const notOfEmbedded = 'It is not a hyperparameter of the embedded trainer.'

interface Row {
  /** What it does for the trainer of real models, and for the embedded one where that does the same. */
  acts: string
  kind: Kind
  example: string | ((situation: Situation) => string)
  types?: TrainingType[]
  /** The embedded trainer: `true` as above; left out: refused. */
  embedded?: true | Acts
  with?: Field['with']
}

const needsRank = { with: () => ({ 'training_config.hyperparameters.lora_r': '8' }) }
const loraOfEmbedded = (acts: string): Acts => ({ acts, types: ['LORA', 'DPO'] })
const dpoOfEmbedded = (acts: string): Acts => ({ acts, types: ['DPO'] })
const rowsOfEmbedded = (acts: string): Acts => ({ acts, types: ['SFT', 'LORA', 'FULL_FINETUNE'] })

const rows: Record<string, Row> = {
  learning_rate: { acts: 'The highest learning rate.', kind: number(0, 10, { above: true }), example: '0.0001', embedded: true },
  num_train_epochs: { acts: 'Passes over the data.', kind: number(0, 10_000, { above: true }), example: '2', embedded: true },
  max_steps: { acts: 'Optimizer steps; -1: as many as the epochs take.', kind: integer(-1, 100_000_000), example: '10', embedded: true },
  warmup_steps: { acts: 'Steps in which the learning rate rises.', kind: integer(0, 10_000_000), example: '5', embedded: true },
  warmup_ratio: { acts: 'The same as a fraction of all steps.', kind: number(0, 0.999), example: '0.1', embedded: true },
  lr_scheduler_type: { acts: 'How the learning rate falls.', kind: oneOf(...schedules), example: 'cosine', embedded: true },
  weight_decay: { acts: 'Weight decay.', kind: number(0, 10), example: '0.1', embedded: true },
  adam_beta1: { acts: "Adam's first beta.", kind: number(0, 0.999999), example: '0.9', embedded: true },
  adam_beta2: { acts: "Adam's second beta.", kind: number(0, 0.999999), example: '0.95', embedded: true },
  adam_epsilon: { acts: "Adam's epsilon.", kind: number(0, 1, { above: true }), example: '1e-8', embedded: true },
  max_grad_norm: {
    acts: 'The norm that gradients are clipped to; 0: they are not.',
    kind: number(0, 1_000_000),
    example: '1',
    embedded: true,
  },
  optim: {
    acts: 'The optimizer; those of 8 bits, paged ones and lion need bitsandbytes.',
    kind: oneOf(...optimizers),
    example: 'adamw_torch',
  },
  gradient_checkpointing: { acts: 'Computes activations again instead of keeping them.', kind: boolean, example: 'true' },
  logging_steps: { acts: 'Steps between lines in the log.', kind: integer(1, 1_000_000), example: '5', embedded: true },
  eval_steps: {
    acts: 'Steps between evaluations on the validation split.',
    kind: integer(1, 10_000_000),
    types: notRlhf,
    example: '50',
    embedded: true,
    with: () => ({ 'data_config.validation_split': 0.1 }),
  },
  neftune_noise_alpha: {
    acts: 'Noise in the embeddings (NEFTune).',
    kind: number(0, 1000, { above: true }),
    types: supervised,
    example: '5',
  },
  lora_r: {
    acts: 'Rank of the adapters. DPO and RLHF train adapters where it is given, else all weights.',
    kind: integer(1, 4096),
    types: withAdapters,
    example: '8',
    embedded: loraOfEmbedded('Rank of the adapters. DPO trains adapters where it is given, else all weights.'),
  },
  lora_alpha: {
    acts: 'Scale of the adapters: they count lora_alpha / lora_r.',
    kind: integer(1, 65_536),
    types: withAdapters,
    example: '16',
    embedded: loraOfEmbedded('Scale of the adapters: they count lora_alpha / lora_r.'),
    ...needsRank,
  },
  lora_dropout: { acts: 'Dropout of what goes into adapters.', kind: number(0, 0.9), types: withAdapters, example: '0.1', ...needsRank },
  lora_target_modules: {
    acts: 'The layers that get adapters, separated by commas, or `all-linear`.',
    kind: wordList,
    types: withAdapters,
    example: 'all-linear',
    embedded: loraOfEmbedded('The layers that get adapters, separated by commas, or `all-linear`.'),
    ...needsRank,
  },
  lora_bias: {
    acts: 'Which biases are trained.',
    kind: oneOf('none', 'all', 'lora_only'),
    types: withAdapters,
    example: 'none',
    ...needsRank,
  },
  use_rslora: { acts: 'Scales adapters by the root of their rank.', kind: boolean, types: withAdapters, example: 'true', ...needsRank },
  use_dora: { acts: 'Adapters of direction and length (DoRA).', kind: boolean, types: withAdapters, example: 'true', ...needsRank },
  bnb_4bit_quant_type: { acts: 'The 4-bit format of the frozen weights.', kind: oneOf('nf4', 'fp4'), types: ['QLORA'], example: 'nf4' },
  bnb_4bit_compute_dtype: {
    acts: 'What 4-bit weights are computed in.',
    kind: oneOf('bfloat16', 'float16', 'float32'),
    types: ['QLORA'],
    example: 'bfloat16',
  },
  bnb_4bit_use_double_quant: { acts: 'Quantises the scales too.', kind: boolean, types: ['QLORA'], example: 'true' },
  packing: {
    acts: 'Puts several records into one row.',
    kind: boolean,
    types: supervised,
    example: 'true',
    embedded: rowsOfEmbedded('Puts several records into one row.'),
  },
  completion_only_loss: { acts: 'Takes the loss on completions only.', kind: boolean, types: answering, example: 'true' },
  assistant_only_loss: { acts: "Takes the loss on the assistant's messages only.", kind: boolean, types: answering, example: 'true' },
  train_on_prompt: {
    acts: '',
    kind: boolean,
    types: [],
    example: 'true',
    embedded: rowsOfEmbedded('Takes the loss on prompts too. Of models of HuggingFace: completion_only_loss.'),
  },
  loss_type: {
    acts: `The loss: ${lossTypes.supervised.join(', ')}; of DPO ${lossTypes.DPO.join(', ')}; of RLHF ${lossTypes.RLHF.join(', ')}.`,
    kind: oneOf(...Object.values(lossTypes).flat()),
    example: ({ type }) => ({ DPO: 'ipo', RLHF: 'grpo' })[type as string] ?? 'nll',
    embedded: dpoOfEmbedded('The loss: sigmoid, robust or ipo.'),
  },
  beta: {
    acts: 'How strongly it is held to the reference model.',
    kind: number(0, 1000),
    types: ['DPO', 'RLHF'],
    example: '0.1',
    embedded: dpoOfEmbedded('How strongly it is held to the reference model.'),
  },
  label_smoothing: {
    acts: 'How far preferences may be wrong.',
    kind: number(0, 0.4999),
    types: ['DPO'],
    example: '0.1',
    embedded: dpoOfEmbedded('How far preferences may be wrong, for the loss robust.'),
    with: ({ trainer }) => (trainer === 'embedded' ? { 'training_config.hyperparameters.loss_type': 'robust' } : {}),
  },
  reference_free: { acts: 'Compares with no reference model.', kind: boolean, types: ['DPO'], example: 'true' },
  num_generations: { acts: 'Completions a prompt that are compared.', kind: integer(2, 1024), types: ['RLHF'], example: '4' },
  max_completion_length: { acts: 'Most tokens of a completion.', kind: integer(1, 131_072), types: ['RLHF'], example: '64' },
  max_prompt_length: { acts: 'Most tokens of a prompt.', kind: integer(1, 1_048_576), types: ['RLHF'], example: '64' },
  temperature: { acts: 'Of drawing completions.', kind: number(0, 100, { above: true }), types: ['RLHF'], example: '0.9' },
  top_p: { acts: 'Of drawing completions.', kind: number(0, 1, { above: true }), types: ['RLHF'], example: '0.9' },
  epsilon: {
    acts: 'How far a step may lead from the old policy (clipping).',
    kind: number(0, 1, { above: true }),
    types: ['RLHF'],
    example: '0.2',
  },
  algorithm: { acts: 'How is learned from rewards.', kind: oneOf('grpo'), types: ['RLHF'], example: 'grpo' },
  reward_model: {
    acts: 'A model that scores completions: a HuggingFace id or a folder under the data roots. Or reward_function.',
    kind: anyText,
    types: ['RLHF'],
    example: 'org/reward',
    with: () => ({ 'training_config.hyperparameters.reward_function': undefined }),
  },
  reward_function: {
    acts: 'A .py file under the data roots with `def reward(completions, prompts=None, **columns)`. Needs SCAIMIND_ALLOW_CUSTOM_CODE.',
    kind: path,
    types: ['RLHF'],
    example: '/data/reward.py',
  },
  skip_bad_records: { acts: 'Leaves out records that cannot be used, at most one in a hundred.', kind: boolean, example: 'true' },
}

/** What is mapped to arguments of Megatron-LM. */
const ofMegatron = [
  ...['learning_rate', 'max_steps', 'warmup_steps', 'warmup_ratio', 'lr_scheduler_type', 'weight_decay', 'adam_beta1', 'adam_beta2'],
  ...['adam_epsilon', 'max_grad_norm', 'optim', 'gradient_checkpointing', 'logging_steps', 'eval_steps'],
]
const withoutMegatron: FrameworkType[] = ['HF_TRAINER', 'DEEPSPEED', 'FSDP']

/** `training_config.hyperparameters` by name. */
export const hyperparameterFields: Field[] = Object.entries(rows).map(([name, { kind, example, types, acts, embedded, ...more }]) => ({
  path: `training_config.hyperparameters.${name}`,
  cells: forTrainers({
    embedded: embedded ? withDefault(embedded === true ? { acts } : embedded, embeddedDefaults[name]) : { refused: notOfEmbedded },
    hf:
      acts === ''
        ? { refused: `${name} is of the embedded trainer; give completion_only_loss.` }
        : withDefault(
            { acts, kind, ...(types ? { types } : {}), ...(ofMegatron.includes(name) ? {} : { frameworks: withoutMegatron }) },
            hfDefaults[name],
          ),
  }),
  example: typeof example === 'function' ? example : () => example,
  ...more,
}))

function withDefault(cell: Acts, given: Default | undefined): Acts {
  return { ...cell, acts: `${cell.acts}${inWords(given)}` }
}
