import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isLocalModel } from './resolve.js'

/** The shape of a transformer, as far as its memory depends on it. */
export interface ModelShape {
  hidden: number
  layers: number
  heads: number
  keyValueHeads: number
  inner: number
  vocabulary: number
  /** Matrices of a feed-forward block: 3 where it is gated. */
  innerMatrices: 2 | 3
  /** The output layer is the embedding. */
  isTied: boolean
  /** `float32`, `bfloat16`, … as its configuration has it; empty where it does not say. */
  dtype: string
  positionsMax: number
  /** Attention that keeps its scores: memory grows with the square of a row's length. */
  keepsScores: boolean
}

const shippedModels = fileURLToPath(new URL('../../../../models/', import.meta.url))

/** The shape of a model from its `config.json`; null where there is none on this machine, or it is of a kind that we do not know. `modelId` has been resolved. */
export async function readModelShape(modelId: string): Promise<ModelShape | null> {
  const shipped = /^scaimind\/([A-Za-z0-9._-]+)$/.exec(modelId)?.[1]
  const folder = shipped ? join(shippedModels, shipped) : isLocalModel(modelId) ? modelId : null
  if (folder === null) return null
  try {
    return parseModelShape(JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')))
  } catch {
    // Whoever asks for a plan is told about a model that is not there by the check of its fields.
    return null
  }
}

/** Reads a HuggingFace `config.json` in the names of Llama and its kin, or of GPT-2. */
export function parseModelShape(config: { [name: string]: unknown }): ModelShape | null {
  const number = (...names: string[]) =>
    names.map((name) => config[name]).find((value): value is number => Number.isInteger(value) && Number(value) > 0)
  const hidden = number('hidden_size', 'n_embd', 'd_model')
  const layers = number('num_hidden_layers', 'n_layer', 'num_layers')
  const heads = number('num_attention_heads', 'n_head', 'num_heads')
  const vocabulary = number('vocab_size')
  if (!hidden || !layers || !heads || !vocabulary) return null
  const type = String(config.model_type ?? '')
  const isPlain = ['scaimind_byte', 'gpt2', 'gpt_neo', 'gpt_neox', 'opt', 'bloom', 'falcon', 'phi'].includes(type)
  const isTied = typeof config.tie_word_embeddings === 'boolean' ? config.tie_word_embeddings : ['scaimind_byte', 'gpt2'].includes(type)
  return {
    hidden,
    layers,
    heads,
    keyValueHeads: number('num_key_value_heads') ?? heads,
    inner: number('intermediate_size', 'n_inner', 'ffn_dim') ?? 4 * hidden,
    vocabulary,
    innerMatrices: isPlain ? 2 : 3,
    isTied,
    dtype: typeof config.torch_dtype === 'string' ? config.torch_dtype : typeof config.dtype === 'string' ? config.dtype : '',
    positionsMax: number('max_position_embeddings', 'n_positions') ?? 2048,
    keepsScores: type === 'scaimind_byte',
  }
}

/** Weights of a model: all, those of its embeddings, and of adapters of rank `rank` on the named layers (default: every linear one). */
export function countWeights(shape: ModelShape): { all: number; embeddings: number; adapters(rank: number, modules: string[]): number } {
  const { hidden, layers, heads, keyValueHeads, inner, vocabulary, innerMatrices, isTied } = shape
  const keyValue = Math.round((hidden * keyValueHeads) / heads)
  const linear: Record<string, [number, number]> = {
    q_proj: [hidden, hidden],
    k_proj: [hidden, keyValue],
    v_proj: [hidden, keyValue],
    o_proj: [hidden, hidden],
    up_proj: [hidden, inner],
    down_proj: [inner, hidden],
    ...(innerMatrices === 3 ? { gate_proj: [hidden, inner] as [number, number] } : {}),
  }
  const layer = Object.values(linear).reduce((sum, [from, to]) => sum + from * to, 2 * hidden)
  const embeddings = vocabulary * hidden * (isTied ? 1 : 2)
  return {
    all: embeddings + layers * layer + hidden,
    embeddings,
    adapters(rank, modules) {
      const named = modules.filter((name) => name in linear)
      const chosen = named.length > 0 ? named : Object.keys(linear)
      return layers * chosen.reduce((sum, name) => sum + rank * ((linear[name]?.[0] ?? 0) + (linear[name]?.[1] ?? 0)), 0)
    },
  }
}
