import type { Hyperparameters } from '../hyperparameters.js'
import { seededRandom } from '../random.js'
import type { NamedTensor, TensorMap } from '../safetensors.js'
import { LINEAR_MODULES, linearShape, type ModelConfig } from './config.js'

type LoraSettings = Pick<Hyperparameters, 'lora_r' | 'lora_alpha' | 'lora_target_modules'>

/** How much an adapter's product counts: lora_alpha / r. */
export function adapterScale({ lora_r, lora_alpha }: Pick<LoraSettings, 'lora_r' | 'lora_alpha'>): number {
  return lora_alpha / lora_r
}

/**
 * Adapters that change nothing yet, initialised as PEFT does: A [r, in] uniform within ±1/√in, B [out, r] zero. Names are the layer's
 * path and `.lora_A` or `.lora_B`.
 */
export function initialAdapters(config: ModelConfig, { lora_r, lora_target_modules }: LoraSettings, seed: number): TensorMap {
  const random = seededRandom(seed, 'initial adapters')
  const adapters: TensorMap = new Map()
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    for (const module of lora_target_modules) {
      const [outputs, inputs] = linearShape(config, module)
      const path = `model.layers.${layer}.${LINEAR_MODULES[module]}`
      const data = Float32Array.from({ length: lora_r * inputs }, () => (random.uniform() * 2 - 1) * inputs ** -0.5)
      adapters.set(`${path}.lora_A`, { shape: [lora_r, inputs], data })
      adapters.set(`${path}.lora_B`, { shape: [outputs, lora_r], data: new Float32Array(outputs * lora_r) })
    }
  }
  return adapters
}

const PEFT_PREFIX = 'base_model.model.'
const PEFT_SUFFIX = '.weight'

/** The same adapters under the names that PEFT gives them in `adapter_model.safetensors`. */
export function toPeftNames(adapters: TensorMap): TensorMap {
  return new Map([...adapters].map(([name, tensor]) => [`${PEFT_PREFIX}${name}${PEFT_SUFFIX}`, tensor]))
}

/** Adapters read from PEFT's names. Throws an Error that names a tensor that is none. */
export function fromPeftNames(tensors: TensorMap): TensorMap {
  return new Map(
    [...tensors].map(([name, tensor]) => {
      if (!name.startsWith(PEFT_PREFIX) || !name.endsWith(PEFT_SUFFIX))
        throw new Error(`${name} is not the name of a PEFT adapter's tensor`)
      return [name.slice(PEFT_PREFIX.length, -PEFT_SUFFIX.length), tensor]
    }),
  )
}

/** The contents of PEFT's `adapter_config.json`. */
export function peftConfig({ lora_r, lora_alpha, lora_target_modules }: LoraSettings, baseModel: string): Record<string, unknown> {
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: baseModel,
    r: lora_r,
    lora_alpha,
    lora_dropout: 0,
    target_modules: lora_target_modules,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    modules_to_save: null,
    use_dora: false,
    use_rslora: false,
  }
}

/** The base weights with the adapters' products added: W + scale · B · A. Leaves both as they are. */
export function mergeAdapters(base: TensorMap, adapters: TensorMap, scale: number): TensorMap {
  const merged: TensorMap = new Map(base)
  for (const [name, a] of adapters) {
    if (!name.endsWith('.lora_A')) continue
    const path = name.slice(0, -'.lora_A'.length)
    const weight = base.get(`${path}.weight`)
    const b = adapters.get(`${path}.lora_B`)
    if (!weight || !b) throw new Error(`the base model has no layer ${path}`)
    merged.set(`${path}.weight`, addProduct(weight, b, a, scale))
  }
  return merged
}

function addProduct(weight: NamedTensor, b: NamedTensor, a: NamedTensor, scale: number): NamedTensor {
  const [outputs = 0, inputs = 0] = weight.shape
  const rank = a.shape[0] ?? 0
  const data = Float32Array.from(weight.data)
  for (let row = 0; row < outputs; row++) {
    for (let k = 0; k < rank; k++) {
      const factor = scale * (b.data[row * rank + k] as number)
      for (let column = 0; column < inputs; column++)
        data[row * inputs + column] = (data[row * inputs + column] as number) + factor * (a.data[k * inputs + column] as number)
    }
  }
  return { shape: weight.shape, data }
}
