import { BOS, decodeTokens, EOS, encodeText, PAD } from '../data/tokens.js'
import { seededRandom } from '../random.js'
import type { TensorMap } from '../safetensors.js'
import { alibiSlope, LINEAR_MODULES, type LinearModule, type ModelConfig } from './config.js'

/** A model that can be read token by token. */
export interface Decodable {
  config: ModelConfig
  weights: TensorMap
}

export interface SamplingSettings {
  /** Tokens at most. Default 160. */
  maxTokens?: number
  /** 0 takes the likeliest token always. Default 0.7. */
  temperature?: number
  seed: number
}

/**
 * Text that continues `prompt`, up to EOS, a full context or `maxTokens`. Plain JavaScript with a key-value cache: about a millisecond
 * a token for byte-tiny, and nothing to compile.
 */
export function generateText(model: Decodable, prompt: string, { maxTokens = 160, temperature = 0.7, seed }: SamplingSettings): string {
  const context = model.config.max_position_embeddings
  const read = tokenReader(model)
  const random = seededRandom(seed, 'sampling')
  // The end of a prompt matters most, and half the context is kept for what follows.
  const given = [BOS, ...encodeText(prompt).slice(-Math.floor(context / 2))]
  let scores = new Float32Array()
  for (const token of given) scores = read(token)
  const generated: number[] = []
  while (generated.length < maxTokens && given.length + generated.length < context) {
    const token = pick(scores, temperature, random.uniform())
    if (token >= BOS) break
    generated.push(token)
    scores = read(token)
  }
  return decodeTokens(generated)
}

/** Reads one token after another; each call answers the scores of what comes next, [vocabulary]. */
export function tokenReader({ config, weights }: Decodable): (token: number) => Float32Array<ArrayBuffer> {
  const { hidden_size: hidden, num_attention_heads: heads, rms_norm_eps: epsilon } = config
  const headSize = hidden / heads
  const cache = Array.from({ length: config.num_hidden_layers }, () => ({ keys: [] as Float32Array[], values: [] as Float32Array[] }))
  const weight = (name: string): Float32Array => {
    const found = weights.get(name)
    if (!found) throw new Error(`the model has no weight ${name}`)
    return found.data
  }
  const linear = (x: Float32Array, block: string, module: LinearModule) => multiply(weight(`${block}.${LINEAR_MODULES[module]}.weight`), x)
  const norm = (x: Float32Array, name: string): Float32Array => {
    const scale = 1 / Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length + epsilon)
    const gain = weight(name)
    return x.map((value, index) => value * scale * (gain[index] as number))
  }
  const attend = (query: Float32Array, { keys, values }: { keys: Float32Array[]; values: Float32Array[] }): Float32Array => {
    const mixed = new Float32Array(hidden)
    for (let head = 0; head < heads; head++) {
      const from = head * headSize
      const scores = keys.map((key, at) => {
        let dot = 0
        for (let i = from; i < from + headSize; i++) dot += (query[i] as number) * (key[i] as number)
        return dot * headSize ** -0.5 - (keys.length - 1 - at) * alibiSlope(head, heads)
      })
      const shares = softmax(scores)
      for (const [at, share] of shares.entries()) {
        const value = values[at] as Float32Array
        for (let i = from; i < from + headSize; i++) mixed[i] = (mixed[i] as number) + share * (value[i] as number)
      }
    }
    return mixed
  }
  return (token) => {
    const embedding = weight('model.embed_tokens.weight')
    const x = embedding.slice(token * hidden, (token + 1) * hidden)
    for (const [layer, memory] of cache.entries()) {
      const block = `model.layers.${layer}`
      const h = norm(x, `${block}.input_layernorm.weight`)
      memory.keys.push(linear(h, block, 'k_proj'))
      memory.values.push(linear(h, block, 'v_proj'))
      addInto(x, linear(attend(linear(h, block, 'q_proj'), memory), block, 'o_proj'))
      const inner = linear(norm(x, `${block}.post_attention_layernorm.weight`), block, 'up_proj').map((value) => Math.max(0, value) ** 2)
      addInto(x, linear(inner, block, 'down_proj'))
    }
    return multiply(embedding, norm(x, 'model.norm.weight'))
  }
}

function multiply(matrix: Float32Array, x: Float32Array): Float32Array<ArrayBuffer> {
  const inputs = x.length
  const result = new Float32Array(matrix.length / inputs)
  for (let row = 0; row < result.length; row++) {
    let sum = 0
    for (let column = 0, at = row * inputs; column < inputs; column++, at++) sum += (matrix[at] as number) * (x[column] as number)
    result[row] = sum
  }
  return result
}

function addInto(x: Float32Array, more: Float32Array): void {
  for (let index = 0; index < x.length; index++) x[index] = (x[index] as number) + (more[index] as number)
}

function softmax(scores: readonly number[]): number[] {
  const highest = scores.reduce((max, score) => Math.max(max, score), Number.NEGATIVE_INFINITY)
  const weights = scores.map((score) => Math.exp(score - highest))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return weights.map((weight) => weight / total)
}

/** A token by its share of the probability; only bytes and EOS are ever picked. */
function pick(scores: Float32Array, temperature: number, chance: number): number {
  const allowed = [...scores].map((score, token) => (token === BOS || token >= PAD ? Number.NEGATIVE_INFINITY : score))
  if (temperature === 0) return allowed.indexOf(Math.max(...allowed))
  let left = chance
  for (const [token, share] of softmax(allowed.map((score) => score / temperature)).entries()) {
    left -= share
    if (left < 0) return token
  }
  return EOS
}
