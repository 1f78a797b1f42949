import type { MemoryEstimate__Output } from '../../../generated/proto/scaimind/v1/MemoryEstimate.js'
import type { EngineNode } from '../../engines/engine.js'
import { defaultFor, hfDefaults } from '../fields/defaults.js'
import type { Spec } from '../records/spec.js'
import { countWeights, type ModelShape } from './model-shape.js'
import { sharding } from './sharding.js'

/** What one GPU, or the process on a CPU, holds, in bytes. */
export interface MemoryNeed {
  weights: number
  gradients: number
  optimizer: number
  activations: number
  /** The runtime itself: libraries, the CUDA context. */
  overhead: number
}

const gpuOverhead = 1e9
const cpuOverhead = 150e6
/** 4 bits, and the constants that they are scaled by. */
const quantizedBytes = 0.5625

/**
 * What training a model of this shape needs, by the usual reckoning: weights in their precision, gradients and Adam's two moments of what is trained, and
 * the activations of one batch. An estimate to choose machines by, some 20 % either way. Pure.
 */
export function estimateMemory(spec: Spec, shape: ModelShape): MemoryNeed {
  const { training_config: training, resource_config: resources } = spec
  const options = training.hyperparameters
  const isQuantized = training.training_type === 'QLORA'
  const isAdapter = isQuantized || training.training_type === 'LORA' || Number(options.lora_r) > 0
  const shards = sharding(spec)
  const computed = isQuantized ? 2 : bytesOf(precision(spec, shape))
  // Whoever shards keeps a copy in full for the optimizer; else the weights themselves are in full, unless their format is named.
  const isInFull = shards.kind === 'none' && !isAdapter && ['', 'auto'].includes(training.base_model.dtype)
  const bytes = isInFull ? 4 : computed
  const { all, embeddings, adapters } = countWeights(shape)
  const frozen = isQuantized ? embeddings * 2 + (all - embeddings) * quantizedBytes : all * bytes
  const modules = (options.lora_target_modules ?? '').split(/[\s,]+/)
  const trained = isAdapter
    ? adapters(Number(options.lora_r) || Number(defaultFor(hfDefaults.lora_r, training.training_type)), modules)
    : all
  // Adapters are kept in full precision.
  const trainedBytes = isAdapter ? 4 : bytes
  const replicas = Math.max(1, resources.gpu_count)
  const copies = modelCopies(training.training_type, isAdapter)
  const isMixed = !isAdapter && bytes === 2 && shards.kind !== 'none'
  return {
    weights: Math.round((frozen * copies + (isAdapter ? trained * trainedBytes : 0)) / (shards.weights ? replicas : 1) / shards.parts),
    gradients: Math.round((trained * trainedBytes) / (shards.gradients ? replicas : 1) / shards.parts),
    optimizer: Math.round(
      (trained * (isMixed ? optimizerBytes(options.optim, 4) + 4 : optimizerBytes(options.optim, trainedBytes))) /
        (shards.optimizer ? replicas : 1) /
        shards.parts,
    ),
    activations: Math.round(activationBytes(spec, shape, computed) / shards.parts),
    overhead: resources.gpu_count > 0 ? gpuOverhead : cpuOverhead,
  }
}

/** The estimate for each type of GPU there is; for a job without GPUs, for each size of machine. Pure. */
export function fitToNodes(need: MemoryNeed, spec: Spec, nodes: EngineNode[]): MemoryEstimate__Output[] {
  const places = new Map<string, { gpuType: string; available: number; nodes: string[] }>()
  const add = (key: string, gpuType: string, available: number, nodeId: string) => {
    const place = places.get(key) ?? { gpuType, available, nodes: [] }
    place.available = Math.min(place.available, available)
    if (!place.nodes.includes(nodeId)) place.nodes.push(nodeId)
    places.set(key, place)
  }
  for (const { nodeId, gpus, memoryBytes } of nodes) {
    if (spec.resource_config.gpu_count === 0) add(String(memoryBytes), '', memoryBytes, nodeId)
    // Not every engine tells how large its GPUs are: of those nothing can be said.
    else for (const { type, memoryBytes: ofGpu } of gpus) if (ofGpu > 0) add(type, type, ofGpu, nodeId)
  }
  const needed = need.weights + need.gradients + need.optimizer + need.activations + need.overhead
  return [...places.values()].map(({ gpuType, available, nodes: ids }) => ({
    gpu_type: gpuType,
    bytes_needed: String(needed),
    bytes_available: String(available),
    fits: needed <= available,
    nodes: ids,
    weights_bytes: String(need.weights),
    gradients_bytes: String(need.gradients),
    optimizer_bytes: String(need.optimizer),
    activations_bytes: String(need.activations),
  }))
}

/** The precision that is computed in: asked for, else the model's own. */
function precision({ training_config: { base_model: model, hyperparameters } }: Spec, shape: ModelShape): string {
  if (model.dtype !== '' && model.dtype !== 'auto') return model.dtype
  if (hyperparameters.bf16 === 'true' || hyperparameters.fp16 === 'true') return 'bfloat16'
  return shape.dtype
}

function bytesOf(dtype: string): number {
  if (/^(?:b?float16|[bf]{1,2}16|half)$/.test(dtype)) return 2
  return /^(?:u?int8|fp8|float8)/.test(dtype) ? 1 : 4
}

/** Bytes a trained weight: Adam keeps two moments in the precision of what it changes. */
function optimizerBytes(optimizer = '', bytes: number): number {
  if (/8bit/.test(optimizer)) return 2
  if (/adafactor/.test(optimizer)) return 0.1
  return (/^sgd/.test(optimizer) ? 1 : 2) * bytes
}

/** DPO compares with the model as it was, which with adapters is the same weights; RLHF holds a reference, a reward and a value model besides. */
function modelCopies(trainingType: string, isAdapter: boolean): number {
  if (trainingType === 'RLHF') return isAdapter ? 2 : 4
  return trainingType === 'DPO' && !isAdapter ? 2 : 1
}

/** Of one batch: 34 bytes a token, layer and hidden unit in half precision (Korthikanti et al., 2022), and the logits with their gradient in full. */
function activationBytes({ training_config: training, data_config: data }: Spec, shape: ModelShape, bytes: number): number {
  const { hidden, layers, heads, vocabulary, positionsMax, keepsScores } = shape
  const length = data.max_seq_length || Math.min(positionsMax, 2048)
  // Chosen and rejected answers go through together.
  const rows = data.batch_size * (training.training_type === 'DPO' ? 2 : 1)
  const tokens = rows * length
  const halves = Math.max(bytes, 2) / 2
  const scores = keepsScores ? 5 * heads * length : 0
  const layer = tokens * (34 * hidden + scores) * halves
  const isRecomputed = training.hyperparameters.gradient_checkpointing === 'true'
  const held = isRecomputed ? layers * tokens * hidden * 2 * halves + layer : layers * layer
  return held + tokens * vocabulary * 8
}
