import type { FieldProblem } from '../../../contract/failure.js'
import type { Spec } from '../records/spec.js'
import { hfDefaults } from './defaults.js'
import type { Situation } from './field.js'
import { needsGpu, strategies } from './framework.js'
import { lossTypes } from './hyperparameters.js'

type Refuse = (path: string, message: string) => void

/** What does not go together in a submission for the trainer of HuggingFace models, each by the field that is to change. The rules are those of the trainer's own check. Pure. */
export function hfCombinationProblems(spec: Spec, situation: Situation): FieldProblem[] {
  const problems: FieldProblem[] = []
  const refuse: Refuse = (path, message) => {
    if (!problems.some((problem) => problem.path === path)) problems.push({ path, message })
  }
  frameworkRules(spec, situation, refuse)
  // What it would need besides is of no use to somebody whom it does not serve.
  if (situation.framework === 'MEGATRON' && problems.some(({ path }) => path === 'training_config.framework.type')) return problems
  if (situation.framework === 'MEGATRON') megatronRules(spec, refuse)
  processRules(spec, situation, refuse)
  hyperparameterRules(spec, situation, refuse)
  modelRules(spec, situation, refuse)
  dataRules(spec, situation, refuse)
  environmentRules(spec, refuse)
  return problems
}

const isTrue = (text: string | undefined) => text?.toLowerCase() === 'true'
/** Whether adapters are trained, not all weights. */
const hasAdapter = ({ training_config: training }: Spec, { type }: Situation) =>
  type === 'LORA' || type === 'QLORA' || ((type === 'DPO' || type === 'RLHF') && 'lora_r' in training.hyperparameters)

function frameworkRules({ training_config: { framework } }: Spec, { type, framework: name }: Situation, refuse: Refuse): void {
  const at = 'training_config.framework'
  const { config, distributed } = framework
  const strategy = distributed?.strategy ?? ''
  const known = strategies[name]
  if (strategy !== '' && known.length > 0 && !known.includes(strategy)) {
    refuse(`${at}.distributed.strategy`, `With ${name} the strategy is ${known.join(' or ')}, not ${strategy}.`)
  }
  const zero = /^zero([0-3])$/.exec(strategy)?.[1]
  if (zero !== undefined && (config.zero_stage ?? zero) !== zero) {
    refuse(`${at}.distributed.strategy`, `The strategy ${strategy} contradicts framework.config.zero_stage, which is ${config.zero_stage}.`)
  }
  const sharding = config.sharding_strategy ?? (name === 'FSDP' ? strategy : '')
  if (name === 'FSDP' && strategy !== '' && sharding !== strategy) {
    refuse(`${at}.distributed.strategy`, `The strategy ${strategy} contradicts framework.config.sharding_strategy, which is ${sharding}.`)
  }
  const stage = Number(config.zero_stage ?? zero ?? 2)
  if (name === 'DEEPSPEED') {
    if (type === 'QLORA' && stage === 3)
      refuse(`${at}.config.zero_stage`, 'QLORA does not work with ZeRO stage 3, which would split the 4-bit weights: give 0, 1 or 2.')
    if (config.offload_param === 'cpu' && stage !== 3)
      refuse(`${at}.config.offload_param`, 'Weights can be offloaded only with zero_stage 3.')
    if (config.offload_optimizer === 'cpu' && stage === 0)
      refuse(`${at}.config.offload_optimizer`, 'The optimizer can be offloaded only with zero_stage 1, 2 or 3.')
    if (isTrue(config.bf16) && isTrue(config.fp16)) refuse(`${at}.config.fp16`, 'Give bf16 or fp16, not both.')
  }
  if (name === 'FSDP') {
    if (type === 'QLORA') refuse(`${at}.type`, 'QLORA does not run under FSDP: give HF_TRAINER, or DEEPSPEED with zero_stage 0, 1 or 2.')
    if ((config.version ?? '2') === '2' && ['no_shard', 'hybrid_shard', 'hybrid_shard_zero2'].includes(sharding)) {
      const path = config.sharding_strategy ? `${at}.config.sharding_strategy` : `${at}.distributed.strategy`
      refuse(path, `${sharding} is of FSDP version 1: give framework.config.version 1 too.`)
    }
    const wrap = config.auto_wrap_policy ?? 'TRANSFORMER_BASED_WRAP'
    if ('min_num_params' in config && wrap !== 'SIZE_BASED_WRAP')
      refuse(`${at}.config.min_num_params`, 'It acts only with auto_wrap_policy SIZE_BASED_WRAP.')
    if ('transformer_layer_cls_to_wrap' in config && wrap !== 'TRANSFORMER_BASED_WRAP')
      refuse(`${at}.config.transformer_layer_cls_to_wrap`, 'It acts only with auto_wrap_policy TRANSFORMER_BASED_WRAP.')
  }
  if (name === 'MEGATRON' && type !== 'CONTINUED_PRETRAIN' && type !== 'FULL_FINETUNE') {
    const why = type === 'LORA' || type === 'QLORA' ? 'has no adapters' : `does not do ${type}`
    refuse(
      `${at}.type`,
      `Megatron-LM's pretrain_gpt.py trains all weights on text; it ${why}. It does CONTINUED_PRETRAIN and FULL_FINETUNE.`,
    )
  }
}

/** Megatron-LM counts steps, in rows of one length. */
function megatronRules({ training_config: { hyperparameters: given }, data_config: data }: Spec, refuse: Refuse): void {
  const at = (name: string) => `training_config.hyperparameters.${name}`
  if (!(Number(given.max_steps) >= 1)) refuse(at('max_steps'), 'Megatron-LM counts steps, not epochs: give max_steps.')
  const schedule = given.lr_scheduler_type ?? 'linear'
  if (!['linear', 'cosine', 'constant', 'constant_with_warmup'].includes(schedule))
    refuse(at('lr_scheduler_type'), `Megatron-LM has the schedules linear, cosine, constant and constant_with_warmup, not ${schedule}.`)
  if (given.optim !== undefined && !given.optim.startsWith('adamw_torch'))
    refuse(at('optim'), 'With MEGATRON the optimizer is Adam: leave optim out.')
  if (data.max_seq_length === 0) refuse('data_config.max_seq_length', 'Megatron-LM needs the tokens of a row: give max_seq_length.')
}

function processRules({ training_config: { framework }, resource_config: resources }: Spec, situation: Situation, refuse: Refuse): void {
  const { gpu_count: gpus, num_nodes: nodes } = resources
  const at = 'training_config.framework'
  const { world_size: size = 0, backend = '' } = framework.distributed ?? {}
  if (gpus === 0 && needsGpu(situation)) {
    if (situation.type === 'QLORA')
      refuse('resource_config.gpu_count', 'QLORA computes with 4-bit weights, which need a CUDA GPU: give at least 1, or train LORA.')
    else refuse(`${at}.type`, `${situation.framework} starts a process a GPU: set resource_config.gpu_count, or leave the type empty.`)
  }
  if (gpus > 0 && size > 0 && size !== gpus) {
    refuse(`${at}.distributed.world_size`, `There is one process a GPU: leave world_size out, or give ${gpus}, not ${size}.`)
  }
  if (gpus === 0 && size > 0 && size % nodes !== 0) {
    refuse(`${at}.distributed.world_size`, `${size} processes cannot be spread evenly over ${nodes} nodes.`)
  }
  if (backend === 'nccl' && gpus === 0) {
    refuse(`${at}.distributed.backend`, 'nccl needs GPUs, and resource_config.gpu_count is 0: give gloo, or leave it out.')
  }
}

function hyperparameterRules(spec: Spec, situation: Situation, refuse: Refuse): void {
  const { hyperparameters: given } = spec.training_config
  const { type } = situation
  const at = (name: string) => `training_config.hyperparameters.${name}`
  const losses = lossTypes[type === 'DPO' || type === 'RLHF' ? type : 'supervised']
  if (given.loss_type !== undefined && !losses.includes(given.loss_type))
    refuse(at('loss_type'), `${type} has the losses ${losses.join(', ')}, not ${given.loss_type}.`)
  if (Number(given.warmup_steps ?? 0) > 0 && Number(given.warmup_ratio ?? 0) > 0)
    refuse(at('warmup_ratio'), 'Give warmup_steps or warmup_ratio, not both.')
  if (Number(given.max_steps ?? -1) === 0) refuse(at('max_steps'), 'max_steps is 1 or more, or -1 to train for num_train_epochs.')
  if (Number(given.max_steps ?? -1) > 0 && given.num_train_epochs !== undefined)
    refuse(at('num_train_epochs'), 'Give max_steps or num_train_epochs, not both: with max_steps the epochs follow from it.')
  if (!hasAdapter(spec, situation)) {
    for (const name of Object.keys(given).filter((candidate) => /^(?:lora_|use_(?:rslora|dora)$)/.test(candidate)))
      refuse(at(name), `${type} trains adapters where lora_r is given, all weights otherwise: give lora_r too.`)
  }
  if (type === 'RLHF' && (given.reward_model === undefined) === (given.reward_function === undefined))
    refuse(at('reward_function'), 'RLHF needs either reward_function, the path of a .py file, or reward_model.')
  if (isTrue(given.assistant_only_loss) && isTrue(given.completion_only_loss))
    refuse(at('completion_only_loss'), 'Give assistant_only_loss or completion_only_loss, not both.')
  const { batch_size: batch, gradient_accumulation_steps: passes, validation_split: split } = spec.data_config
  const processes = Math.max(spec.training_config.framework.distributed?.world_size ?? 0, spec.resource_config.gpu_count)
  const generations = Number(given.num_generations ?? hfDefaults.num_generations)
  if (type === 'RLHF' && processes <= 1 && (batch * passes) % generations !== 0)
    refuse(
      at('num_generations'),
      `${generations} completions a prompt must divide batch_size × gradient_accumulation_steps, which is ${batch * passes}.`,
    )
  if (given.eval_steps !== undefined && !split)
    refuse(at('eval_steps'), 'Nothing is held out to evaluate on: give data_config.validation_split.')
}

function modelRules(spec: Spec, situation: Situation, refuse: Refuse): void {
  const { base_model: model } = spec.training_config
  const at = 'training_config.base_model'
  const isFolder = model.model_id.startsWith('/')
  if ((model.source === 'local' && !isFolder) || (model.source === 'huggingface' && isFolder))
    refuse(`${at}.source`, `${model.model_id} is ${isFolder ? 'a folder' : 'a HuggingFace id'}, not ${model.source}.`)
  if (isFolder && model.revision !== '') refuse(`${at}.revision`, 'A folder has no revisions; leave it out.')
  if (model.dtype === 'float16' && !hasAdapter(spec, situation))
    refuse(`${at}.dtype`, 'All weights cannot be trained in float16: give bfloat16 or float32.')
  if (spec.output_config.merge_adapter && !hasAdapter(spec, situation))
    refuse('output_config.merge_adapter', `${situation.type} has no adapter to merge without lora_r; it saves a whole model.`)
}

function dataRules({ data_config: data, training_config: training }: Spec, { type }: Situation, refuse: Refuse): void {
  const { sources, preprocess, max_seq_length: length, validation_split: split = 0 } = data
  const tokenizer = training.base_model.tokenizer_id
  if (tokenizer !== '' && preprocess?.tokenizer && preprocess.tokenizer !== tokenizer)
    refuse('data_config.preprocess.tokenizer', `It contradicts base_model.tokenizer_id, which is ${tokenizer}.`)
  const isPacked = training.hyperparameters.packing === undefined ? type === 'CONTINUED_PRETRAIN' : isTrue(training.hyperparameters.packing)
  if (isPacked && preprocess?.padding === 'max_length')
    refuse('data_config.preprocess.padding', 'Packed rows have no padding: leave it out, or set packing to false.')
  if (isPacked && preprocess?.truncation && preprocess.truncation !== 'right')
    refuse('data_config.preprocess.truncation', 'Packing cuts on the right: leave it out, or set packing to false.')
  if (preprocess?.padding === 'max_length' && length === 0)
    refuse('data_config.preprocess.padding', 'Padding to max_length needs data_config.max_seq_length.')
  if (length > 0 && length < 8) refuse('data_config.max_seq_length', `max_seq_length is 8 or more, not ${length}.`)
  if (Number(split) > 0.9) refuse('data_config.validation_split', `validation_split is at most 0.9, not ${split}.`)
  const weights = sources.filter(({ sampling }) => 'weight' in sampling).length
  for (const [index, source] of sources.entries()) {
    const at = `data_config.sources[${index}]`
    if (weights > 0 && !('weight' in source.sampling)) refuse(`${at}.sampling.weight`, 'Either every source has a weight, or none has.')
    if (source.type === 'huggingface' && !source.path.includes('/'))
      refuse(`${at}.path`, `A data set on the hub is named org/name, or org/name:config, not ${source.path}.`)
    if (source.type === 'huggingface' && source.format !== '')
      refuse(`${at}.format`, 'A data set on the hub knows its own format: leave it empty.')
    if (source.type !== 'huggingface' && source.split !== '' && /\.\w+$/.test(source.path))
      refuse(`${at}.split`, 'A file is one split: leave it empty, and use data_config.validation_split.')
  }
  if (type === 'RLHF') return
  for (const name of Object.keys(preprocess?.field_mapping ?? {})) {
    if (!recordFields.includes(name))
      refuse(`data_config.preprocess.field_mapping.${name}`, `The fields of a record are ${recordFields.join(', ')}.`)
  }
}

const recordFields = ['text', 'prompt', 'completion', 'messages', 'chosen', 'rejected', 'tools']

/** What says where models, data and compiled code are kept: one tenant must not look into, or write into, what is another's. */
const keepsElsewhere = /^(?:HF_HOME|HF_TOKEN_PATH|HF_STORED_TOKENS_PATH|XDG_\w+|TMPDIR|\w+_CACHE|\w+_CACHE_DIR|\w+_CACHE_PATH|TORCH_HOME)$/

function environmentRules({ training_config: { environment } }: Spec, refuse: Refuse): void {
  for (const { path, message } of hfEnvironmentProblems(environment, 'training_config.environment')) refuse(path, message)
}

/** What the trainer for HuggingFace models does not take of an environment, by field. Pure. */
export function hfEnvironmentProblems(environment: Record<string, string>, at: string): FieldProblem[] {
  return Object.keys(environment)
    .filter((name) => keepsElsewhere.test(name))
    .map((name) => ({
      path: `${at}.${name}`,
      message: `${name} says where the trainer keeps what it fetches; that is set by the coordinator.`,
    }))
}
