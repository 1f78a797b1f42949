import { describe, expect, it } from 'vitest'
import type { EngineNode } from '../../../src/coordinator/engines/engine.js'
import { estimateMemory, fitToNodes } from '../../../src/coordinator/jobs/content/memory.js'
import { countWeights, parseModelShape, readModelShape } from '../../../src/coordinator/jobs/content/model-shape.js'
import { completeSpec } from '../../../src/coordinator/jobs/records/spec.js'
import type { JobSpec__Output } from '../../../src/generated/proto/scaimind/v1/JobSpec.js'

/** Llama 2 with 7 billion weights, by its published configuration. */
const llama = parseModelShape({
  model_type: 'llama',
  hidden_size: 4096,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  intermediate_size: 11_008,
  vocab_size: 32_000,
  max_position_embeddings: 4096,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
})
const shapeOf = (shape: typeof llama) => {
  if (!shape) throw new Error('No shape.')
  return shape
}

const spec = (training: object, data: object = {}, gpuCount = 1) =>
  completeSpec({
    training_config: { training_type: 'FULL_FINETUNE', ...training },
    data_config: { sources: [], batch_size: 1, max_seq_length: 2048, ...data },
    resource_config: { gpu_count: gpuCount },
  } as unknown as JobSpec__Output)
const need = (training: object, data: object = {}, gpuCount = 1) => estimateMemory(spec(training, data, gpuCount), shapeOf(llama))
const total = ({ weights, gradients, optimizer, activations, overhead }: ReturnType<typeof need>) =>
  (weights + gradients + optimizer + activations + overhead) / 1e9
const fsdp = (strategy = 'full_shard') => ({ framework: { type: 'FSDP', distributed: { strategy } } })
const zero = (stage: string) => ({ framework: { type: 'DEEPSPEED', config: { zero_stage: stage } } })

describe('The shape of a model', () => {
  it('has as many weights as it is published with', () => {
    expect(countWeights(shapeOf(llama)).all).toBeCloseTo(6_738_415_616, -6)
    expect(countWeights(shapeOf(llama)).adapters(8, ['q_proj', 'v_proj'])).toBe(4_194_304)
  })

  it('is read from the configuration of a model on this machine, and is unknown for others', async () => {
    expect(await readModelShape('scaimind/byte-tiny')).toMatchObject({ hidden: 128, layers: 3, isTied: true, innerMatrices: 2 })
    expect(await readModelShape('meta-llama/Llama-2-7b')).toBeNull()
    expect(await readModelShape('/no/such/folder')).toBeNull()
    expect(parseModelShape({ n_embd: 768, n_layer: 12, n_head: 12, vocab_size: 50_257, model_type: 'gpt2' })).toMatchObject({
      inner: 3072,
      isTied: true,
    })
  })
})

describe('The memory that training needs', () => {
  it('is 16 bytes a weight for all of them, half of it in 16 bits where these are asked for, and a fraction of it for adapters', () => {
    for (const [dtype, bytes] of [
      ['float32', 16],
      ['', 16],
      ['bfloat16', 8],
    ] as const) {
      const full = need({ base_model: { dtype } })
      expect((full.weights + full.gradients + full.optimizer) / 6.738e9).toBeCloseTo(bytes, 1)
    }
    const lora = need({ training_type: 'LORA', hyperparameters: { lora_r: '8', lora_target_modules: 'q_proj,v_proj' } })
    expect(lora.weights / 1e9).toBeCloseTo(13.49, 1)
    expect(lora.gradients).toBe(4 * 4_194_304)
    expect(lora.optimizer).toBe(8 * 4_194_304)
    const byDefault = need({ training_type: 'LORA', hyperparameters: { lora_target_modules: 'q_proj,v_proj' } })
    expect(byDefault.optimizer).toBe(2 * lora.optimizer)
    const qlora = need({ training_type: 'QLORA', hyperparameters: { lora_r: '8' } })
    expect(qlora.weights / 1e9).toBeGreaterThan(3.5)
    expect(qlora.weights / 1e9).toBeLessThan(4.7)
  })

  it('grows with the batch and the length of rows, and shrinks by recomputing', () => {
    const one = need({}).activations
    expect(need({}, { batch_size: 4 }).activations).toBe(4 * one)
    expect(need({}, { max_seq_length: 1024 }).activations).toBe(one / 2)
    expect(need({ hyperparameters: { gradient_checkpointing: 'true' } }).activations).toBeLessThan(one / 7)
    expect(need({ training_type: 'DPO' }).activations).toBe(2 * one)
    expect(need({ training_type: 'DPO' }).weights).toBe(2 * need({}).weights)
  })

  it('is spread over GPUs as far as the framework is asked to', () => {
    const alone = need({ base_model: { dtype: 'bfloat16' } }, {}, 8)
    const sharded = need(fsdp(), {}, 8)
    expect(sharded.weights).toBe(Math.round(alone.weights / 8))
    expect(sharded.gradients).toBe(Math.round(alone.gradients / 8))
    const [one, two, three] = ['1', '2', '3'].map((stage) => need(zero(stage), {}, 8))
    expect([one, two, three].map((stage) => stage?.weights)).toEqual([alone.weights, alone.weights, Math.round(alone.weights / 8)])
    expect([one, two, three].map((stage) => stage?.gradients === alone.gradients)).toEqual([true, false, false])
    expect(one?.optimizer).toBeLessThan(alone.optimizer)
    expect(need(fsdp('no_shard'), {}, 8)).toEqual(need({}, {}, 8))
    const megatron = { framework: { type: 'MEGATRON', config: { tensor_model_parallel_size: '4', pipeline_model_parallel_size: '2' } } }
    expect(need(megatron, {}, 8).weights).toBe(Math.round(alone.weights / 8))
  })

  it('is held against every type of GPU, and tells the known cases apart', () => {
    const gpu = (type: string, gigabytes: number) => ({
      index: 0,
      type,
      memoryBytes: gigabytes * 2 ** 30,
      memoryUsedBytes: null,
      utilization: null,
    })
    const node = (nodeId: string, ...gpus: ReturnType<typeof gpu>[]) => ({ nodeId, gpus, memoryBytes: 64e9 }) as unknown as EngineNode
    const nodes = [node('a', gpu('a100', 80)), node('b', gpu('t4', 16), gpu('t4', 15)), node('c', gpu('a100', 80))]
    const fits = (given: ReturnType<typeof spec>) =>
      Object.fromEntries(
        fitToNodes(estimateMemory(given, shapeOf(llama)), given, nodes).map(({ gpu_type, fits: does }) => [gpu_type, does]),
      )
    expect(fits(spec({}))).toEqual({ a100: false, t4: false })
    expect(total(need({}))).toBeGreaterThan(80)
    const checkpointed = { hyperparameters: { gradient_checkpointing: 'true' } }
    expect(fits(spec({ training_type: 'LORA', ...checkpointed }))).toEqual({ a100: true, t4: false })
    expect(fits(spec({ training_type: 'QLORA', ...checkpointed }))).toEqual({ a100: true, t4: true })
    const [a100, t4] = fitToNodes(need({}), spec({}), nodes)
    expect(a100).toMatchObject({ nodes: ['a', 'c'], bytes_available: String(80 * 2 ** 30) })
    expect(t4).toMatchObject({ nodes: ['b'], bytes_available: String(15 * 2 ** 30) })
    const cpu = spec({}, {}, 0)
    expect(fitToNodes(estimateMemory(cpu, shapeOf(llama)), cpu, nodes)).toMatchObject([
      { gpu_type: '', bytes_available: '64000000000', nodes: ['a', 'b', 'c'] },
    ])
  })
})
