import type { FrameworkType } from '../../../contract/statuses.js'
import { type Field, forTrainers } from './field.js'
import { anyText, boolean, integer, type Kind, oneOf, path, wordList } from './kinds.js'

const at = 'training_config.framework'
const shardings = ['full_shard', 'shard_grad_op', 'no_shard', 'hybrid_shard', 'hybrid_shard_zero2']

/** The words of `distributed.strategy` for each framework. */
export const strategies: Record<FrameworkType, string[]> = {
  HF_TRAINER: ['ddp'],
  DEEPSPEED: ['zero0', 'zero1', 'zero2', 'zero3'],
  FSDP: shardings,
  MEGATRON: [],
  CUSTOM: [],
}

type Row = [name: string, kind: Kind, example: string | Field['example'], acts: string, needs?: Field['with']]

const size = integer(1, 1024)
const large = integer(1, 1e12)
const ofDeepspeed: Row[] = [
  ['zero_stage', integer(0, 3), '2', 'What is split: 1 the optimizer, 2 gradients too, 3 weights too. Default 2.'],
  ['offload_optimizer', oneOf('none', 'cpu'), 'cpu', 'Where the optimizer is kept; cpu from zero_stage 1 on.'],
  [
    'offload_param',
    oneOf('none', 'cpu'),
    ({ type }) => (type === 'QLORA' ? 'none' : 'cpu'),
    'Where weights are kept; cpu with zero_stage 3.',
    ({ type }) => (type === 'QLORA' ? {} : { [`${at}.config.zero_stage`]: '3' }),
  ],
  ['bf16', boolean, 'true', 'Trains in bfloat16.'],
  ['fp16', boolean, 'true', 'Trains in float16; not with bf16.'],
  ['overlap_comm', boolean, 'true', 'Reduces gradients while the backward pass runs.'],
  ['contiguous_gradients', boolean, 'true', 'Copies gradients into one buffer.'],
  ['reduce_bucket_size', large, '500000000', 'Elements reduced at once.'],
  ['allgather_bucket_size', large, '500000000', 'Elements gathered at once.'],
  ['stage3_prefetch_bucket_size', large, '50000000', 'Elements fetched ahead.'],
  ['stage3_param_persistence_threshold', integer(0, 1e12), '100000', 'Smaller weights are not split.'],
]
const ofFsdp: Row[] = [
  ['sharding_strategy', oneOf(...shardings), 'full_shard', 'What is split. Those but full_shard and shard_grad_op are of version 1.'],
  ['auto_wrap_policy', oneOf('TRANSFORMER_BASED_WRAP', 'SIZE_BASED_WRAP', 'NO_WRAP'), 'NO_WRAP', 'Which parts are split by themselves.'],
  ['transformer_layer_cls_to_wrap', wordList, 'LlamaDecoderLayer', "The classes of layers. Default: the model's own."],
  [
    'min_num_params',
    large,
    '1000000',
    'With SIZE_BASED_WRAP: the least size of a part.',
    () => ({ [`${at}.config.auto_wrap_policy`]: 'SIZE_BASED_WRAP' }),
  ],
  ['cpu_offload', boolean, 'true', 'Keeps weights and gradients in the memory of the node.'],
  ['version', integer(1, 2), '2', 'FSDP 1 or 2. Default 2.'],
  ['activation_checkpointing', boolean, 'true', 'Computes activations again instead of keeping them.'],
]
const ofMegatron: Row[] = [
  ['megatron_path', path, '/data/megatron', "The checkout of Megatron-LM, under the data roots. Default: the operator's."],
  ['tensor_model_parallel_size', size, '1', 'GPUs that a layer is cut over.'],
  ['pipeline_model_parallel_size', size, '1', 'GPUs that the layers are spread over.'],
  ['context_parallel_size', size, '1', 'GPUs that a sequence is cut over.'],
  ['micro_batch_size', integer(1, 65_536), '1', 'Sequences a GPU and pass. Default: data_config.batch_size.'],
  ['global_batch_size', integer(1, 1_000_000), '8', 'Sequences a step.'],
  ['num_layers', integer(1, 10_000), '2', "Layers. Default: the model's own."],
  ['hidden_size', integer(1, 1_000_000), '64', "Width. Default: the model's own."],
  ['ffn_hidden_size', integer(1, 10_000_000), '256', "Inner width. Default: the model's own."],
  ['num_attention_heads', integer(1, 10_000), '4', "Heads. Default: the model's own."],
  ['num_query_groups', integer(1, 10_000), '2', "Groups of heads. Default: the model's own."],
  ['max_position_embeddings', integer(1, 100_000_000), '2048', "Positions. Default: the model's own."],
  ['tokenizer_type', anyText, 'HuggingFaceTokenizer', 'The kind of tokenizer.'],
  ['tokenizer_model', anyText, 'org/name', 'The tokenizer: a HuggingFace id, or a path under the data roots.'],
  ['vocab_file', path, '/data/vocab.json', 'A vocabulary under the data roots.'],
  ['merge_file', path, '/data/merges.txt', 'Merges under the data roots.'],
  ['swiglu', boolean, 'true', 'Gated inner layers.'],
  ['use_rotary_position_embeddings', boolean, 'true', 'Rotary positions.'],
  ['sequence_parallel', boolean, 'true', 'Cuts norms and dropouts over the tensor-parallel GPUs too.'],
  ['use_distributed_optimizer', boolean, 'true', 'Splits the optimizer over data-parallel GPUs.'],
]

const inHyperparameters = 'The embedded trainer takes its settings in training_config.hyperparameters.'
const isOneProcess = 'The embedded trainer is one process on one machine.'

const configField = (frameworks: FrameworkType[], prefix: string, refusal: string) => {
  return ([name, kind, example, acts, needs]: Row): Field => ({
    path: `${at}.${prefix}.${name}`,
    cells: forTrainers({ embedded: { refused: refusal }, hf: { acts, kind, frameworks } }),
    example: typeof example === 'function' ? example : () => example,
    ...(needs ? { with: needs } : {}),
  })
}

/** `training_config.framework` and what is in it. */
export const frameworkFields: Field[] = [
  {
    path: `${at}.type`,
    cells: {
      embedded: { acts: 'HF_TRAINER.' },
      hf: {
        acts: 'What starts and spreads the processes: HF_TRAINER, FSDP, DEEPSPEED (on GPUs) or MEGATRON (on GPUs; CONTINUED_PRETRAIN and FULL_FINETUNE only).',
      },
      custom: { acts: 'CUSTOM.' },
      program: { acts: "Chooses the operator's program, and what starts it." },
    },
    example: ({ framework }) => framework,
  },
  {
    path: `${at}.custom_script_path`,
    cells: {
      embedded: { refused: 'A script is run only for framework type CUSTOM.' },
      hf: { refused: 'A script is run only for framework type CUSTOM.' },
      custom: { acts: 'The script, a file under the data roots. Needs SCAIMIND_ALLOW_CUSTOM_CODE.' },
      program: { acts: 'In `job.json`.' },
    },
    example: () => '/data/train.py',
  },
  ...ofDeepspeed.map(configField(['DEEPSPEED'], 'config', inHyperparameters)),
  ...ofFsdp.map(configField(['FSDP'], 'config', inHyperparameters)),
  ...ofMegatron.map(configField(['MEGATRON'], 'config', inHyperparameters)),
  {
    path: `${at}.distributed.world_size`,
    cells: {
      embedded: { refused: isOneProcess },
      hf: { acts: 'Processes that train together: as many as GPUs; without GPUs the same number on each node.' },
      custom: { refused: 'One process a node is started.' },
      program: { acts: 'In `job.json`; without GPUs, so many processes are started.' },
    },
    example: () => 2,
  },
  {
    path: `${at}.distributed.backend`,
    cells: forTrainers({
      embedded: { refused: isOneProcess },
      hf: { acts: 'How processes talk: nccl (default on GPUs) or gloo.', kind: oneOf('nccl', 'gloo') },
    }),
    example: () => 'gloo',
  },
  {
    path: `${at}.distributed.strategy`,
    cells: forTrainers({
      embedded: { refused: isOneProcess },
      hf: {
        acts: "The framework's own word for how the work is split: ddp; zero0 to zero3; a sharding strategy of FSDP.",
        frameworks: ['HF_TRAINER', 'DEEPSPEED', 'FSDP'],
      },
    }),
    example: ({ framework }) => ({ DEEPSPEED: 'zero2', FSDP: 'full_shard' })[framework as string] ?? 'ddp',
  },
  ...(
    [
      ['timeout_seconds', integer(1, 604_800), '600', 'How long a process waits for the others.'],
      ['find_unused_parameters', boolean, 'true', 'Looks for weights that took no part in a step.'],
      ['bucket_cap_mb', integer(1, 100_000), '25', 'Megabytes of gradients reduced at once.'],
    ] satisfies Row[]
  ).map((row: Row) =>
    configField(
      row[0] === 'timeout_seconds' ? ['HF_TRAINER', 'DEEPSPEED', 'FSDP', 'MEGATRON'] : ['HF_TRAINER'],
      'distributed.config',
      isOneProcess,
    )(row),
  ),
]

/** Whether such a job runs on GPUs only: 4-bit weights, and what DeepSpeed's and Megatron's processes are started for. */
export const needsGpu = ({ type, framework }: { type: string; framework: string }): boolean =>
  type === 'QLORA' || framework === 'DEEPSPEED' || framework === 'MEGATRON'
