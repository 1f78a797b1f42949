import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readSafetensors, type TensorMap } from '../safetensors.js'
import { type ModelConfig, weightShapes } from './config.js'

/** The model that is shipped with the package. */
export const BYTE_TINY_ID = 'scaimind/byte-tiny'

/** What would be right where a model is named by nothing that names one. */
export const MODEL_NAMES = `a HuggingFace id (org/name), ${BYTE_TINY_ID}, or the path of a folder under the data roots, beginning with / or ./`

/** A model as read from its folder. */
export interface Model {
  config: ModelConfig
  weights: TensorMap
  /** SHA-256 of model.safetensors, in hex. */
  hash: string
}

/** The folder of a `model_id`: the shipped model's, or the id itself where it is an absolute path. Null for anything else. */
export function modelFolder(modelId: string): string | null {
  if (modelId === BYTE_TINY_ID) return fileURLToPath(new URL('../../../models/byte-tiny/', import.meta.url))
  return modelId.startsWith('/') ? modelId : null
}

/** Reads a folder's `config.json`. Throws an Error that says which file or number is wrong. */
export function readModelConfig(folder: string): ModelConfig {
  if (existsSync(join(folder, 'adapter_config.json')) && !existsSync(join(folder, 'config.json'))) {
    throw new Error(`${folder} holds an adapter, not a model; merge it first (output_config.merge_adapter)`)
  }
  const path = join(folder, 'config.json')
  if (!existsSync(path)) throw new Error(`there is no config.json in ${folder}`)
  const config = JSON.parse(readFileSync(path, 'utf8')) as Partial<ModelConfig>
  if (config.model_type !== 'scaimind_byte') {
    throw new Error(`${path} describes a model of type ${String(config.model_type)}; the embedded trainer knows only scaimind_byte`)
  }
  for (const name of ['hidden_size', 'num_hidden_layers', 'num_attention_heads', 'intermediate_size', 'max_position_embeddings'] as const) {
    if (!Number.isInteger(config[name]) || Number(config[name]) < 1) throw new Error(`${path} has no usable ${name}`)
  }
  return config as ModelConfig
}

/** Reads a model's configuration and weights. Throws an Error that names the file and what is wrong with it. */
export function readModel(folder: string): Model {
  const config = readModelConfig(folder)
  const path = join(folder, 'model.safetensors')
  if (!existsSync(path)) throw new Error(`there is no model.safetensors in ${folder}`)
  const bytes = readFileSync(path)
  const weights = readTensors(path, bytes)
  for (const [name, shape] of weightShapes(config)) {
    const found = weights.get(name)
    if (!found) throw new Error(`${path} has no tensor ${name}`)
    if (found.shape.join() !== shape.join()) throw new Error(`${path}: ${name} is [${found.shape}], expected [${shape}]`)
  }
  return { config, weights, hash: createHash('sha256').update(bytes).digest('hex') }
}

function readTensors(path: string, bytes: Buffer): TensorMap {
  try {
    return readSafetensors(bytes)
  } catch (cause) {
    throw new Error(`${path} cannot be read: ${(cause as Error).message}`, { cause })
  }
}
