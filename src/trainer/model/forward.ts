import { nn, numpy as np, type Tensor, type Tensors } from '../backend.js'
import { alibiSlope, LINEAR_MODULES, type LinearModule, type ModelConfig } from './config.js'

/** What the forward pass multiplies by; adapters are pairs `<layer path>.lora_A` [r, in] and `.lora_B` [out, r], or none. */
export interface ForwardWeights {
  base: Tensors
  adapters: Tensors
  /** lora_alpha / r. */
  adapterScale: number
}

/** Added to the score of what a token must not see: its share is 0 exactly. */
const NEVER_SEEN = -1e9

/** Causal mask and ALiBi distance penalty in one array [1, heads, length, length], to be added to attention scores. */
export function attentionBias(config: ModelConfig, length: number): Tensor {
  const heads = config.num_attention_heads
  const bias = new Float32Array(heads * length * length)
  for (let head = 0, at = 0; head < heads; head++) {
    const slope = alibiSlope(head, heads)
    for (let query = 0; query < length; query++) {
      for (let key = 0; key < length; key++) bias[at++] = key > query ? NEVER_SEEN : (key - query) * slope
    }
  }
  return np.array(bias).reshape([1, heads, length, length])
}

/**
 * The cross-entropy of each target, in nats, [rows, length]: `tokens` and `targets` are int32 [rows, length]. Takes `tokens`, `targets`,
 * `segments` and `bias`; uses each weight exactly once.
 */
export function crossEntropies(
  config: ModelConfig,
  weights: ForwardWeights,
  tokens: Tensor,
  targets: Tensor,
  segments: Tensor,
  bias: Tensor,
): Tensor {
  const [rows, length] = tokens.shape as [number, number]
  const scores = logits(config, weights, tokens, segments, bias)
  const picked = scores.ref.mul(nn.oneHot(targets.reshape([rows * length]), config.vocab_size)).sum(-1)
  return nn.logsumexp(scores, -1).sub(picked).reshape([rows, length])
}

/**
 * Scores of the next token, [rows × length, vocabulary]. `segments`, int32 [rows, length], says which tokens may see each other: those
 * of the same number. Takes `tokens`, `segments` and `bias`; uses each weight exactly once.
 */
export function logits(
  config: ModelConfig,
  { base, adapters, adapterScale }: ForwardWeights,
  tokens: Tensor,
  segments: Tensor,
  bias: Tensor,
): Tensor {
  const [rows, length] = tokens.shape as [number, number]
  const { hidden_size: hidden, num_attention_heads: heads } = config
  const headSize = hidden / heads
  const weight = (name: string): Tensor => {
    const found = base[name]
    if (!found) throw new Error(`the model has no weight ${name}`)
    return found
  }
  const linear = (x: Tensor, block: string, module: LinearModule): Tensor => {
    const path = `${block}.${LINEAR_MODULES[module]}`
    const a = adapters[`${path}.lora_A`]
    const b = adapters[`${path}.lora_B`]
    if (!a || !b) return np.matmul(x, np.transpose(weight(`${path}.weight`)))
    const low = np.matmul(np.matmul(x.ref, np.transpose(a)), np.transpose(b)).mul(adapterScale)
    return np.matmul(x, np.transpose(weight(`${path}.weight`))).add(low)
  }
  const norm = (x: Tensor, name: string): Tensor => {
    const square = np.mean(np.square(x.ref), -1, { keepdims: true }).add(config.rms_norm_eps)
    return x.div(np.sqrt(square)).mul(weight(name))
  }
  const splitHeads = (x: Tensor): Tensor => np.transpose(x.reshape([rows, length, heads, headSize]), [0, 2, 1, 3])

  const embedding = weight('model.embed_tokens.weight')
  const sameRecord = np.equal(segments.ref.reshape([rows, 1, length, 1]), segments.reshape([rows, 1, 1, length]))
  const visible = np.where(sameRecord, bias, NEVER_SEEN)
  let x: Tensor = embedding.ref.slice(tokens.reshape([rows * length]))
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const block = `model.layers.${layer}`
    const h = norm(x.ref, `${block}.input_layernorm.weight`)
    const query = splitHeads(linear(h.ref, block, 'q_proj'))
    const key = splitHeads(linear(h.ref, block, 'k_proj'))
    const value = splitHeads(linear(h, block, 'v_proj'))
    const scores = np.matmul(query, np.transpose(key, [0, 1, 3, 2])).mul(headSize ** -0.5)
    const mixed = np.matmul(nn.softmax(scores.add(visible.ref), -1), value)
    x = x.add(linear(np.transpose(mixed, [0, 2, 1, 3]).reshape([rows * length, hidden]), block, 'o_proj'))
    const inner = nn.relu(linear(norm(x.ref, `${block}.post_attention_layernorm.weight`), block, 'up_proj'))
    x = x.add(linear(np.square(inner), block, 'down_proj'))
  }
  visible.dispose()
  return np.matmul(norm(x, 'model.norm.weight'), np.transpose(embedding))
}
