import type { Spec } from '../records/spec.js'

/** What a distributed framework spreads over the GPUs instead of repeating it on each. */
export interface Sharding {
  kind: 'none' | 'fsdp' | 'zero' | 'megatron'
  weights: boolean
  gradients: boolean
  optimizer: boolean
  /** Into so many parts the model itself is cut (tensor and pipeline parallel). */
  parts: number
}

/** How a submission asks for its model to be spread: FSDP's strategy, DeepSpeed's ZeRO stage, Megatron's parallel sizes. Pure. */
export function sharding({ training_config: { framework } }: Pick<Spec, 'training_config'>): Sharding {
  const settings: Record<string, string> = { ...framework.config, ...framework.distributed?.config }
  const strategy = `${framework.distributed?.strategy ?? ''} ${settings.strategy ?? ''} ${settings.sharding_strategy ?? ''}`.toLowerCase()
  if (framework.type === 'MEGATRON') {
    const size = (...names: string[]) => Math.max(1, ...names.map((name) => Number(settings[name]) || 1))
    const tensor = size('tensor_model_parallel_size', 'tensor_parallel_size')
    const pipeline = size('pipeline_model_parallel_size', 'pipeline_parallel_size')
    return { ...whole, kind: 'megatron', parts: tensor * pipeline }
  }
  if (framework.type === 'DEEPSPEED' || /zero|deepspeed/.test(strategy)) {
    const given =
      settings.zero_stage ?? settings.stage ?? settings['zero_optimization.stage'] ?? /(?:zero|stage)[\s_-]*([0-3])/.exec(strategy)?.[1]
    const stage = given === undefined ? 2 : Number(given)
    return { kind: 'zero', optimizer: stage >= 1, gradients: stage >= 2, weights: stage >= 3, parts: 1 }
  }
  if (framework.type === 'FSDP' || /fsdp|shard/.test(strategy)) {
    if (/no_shard/.test(strategy)) return whole
    return { kind: 'fsdp', optimizer: true, gradients: true, weights: !/grad_op/.test(strategy), parts: 1 }
  }
  return whole
}

const whole: Sharding = { kind: 'none', weights: false, gradients: false, optimizer: false, parts: 1 }
