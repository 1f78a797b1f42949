import { VOCABULARY } from '../data/tokens.js'

/** The shape of a byte-level decoder-only transformer, as its `config.json` has it. */
export interface ModelConfig {
  model_type: 'scaimind_byte'
  /** Width of the residual stream. */
  hidden_size: number
  num_hidden_layers: number
  num_attention_heads: number
  /** Width inside the feed-forward blocks. */
  intermediate_size: number
  /** The longest row that a job may ask for, in tokens. */
  max_position_embeddings: number
  vocab_size: number
  rms_norm_eps: number
}

/** The shape of `scaimind/byte-tiny`. */
export const BYTE_TINY: ModelConfig = {
  model_type: 'scaimind_byte',
  hidden_size: 128,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  intermediate_size: 512,
  max_position_embeddings: 512,
  vocab_size: VOCABULARY,
  rms_norm_eps: 1e-5,
}

/** The linear layers of a block, by the name that `lora_target_modules` uses, with the path of each inside the block. */
export const LINEAR_MODULES = {
  q_proj: 'self_attn.q_proj',
  k_proj: 'self_attn.k_proj',
  v_proj: 'self_attn.v_proj',
  o_proj: 'self_attn.o_proj',
  up_proj: 'mlp.up_proj',
  down_proj: 'mlp.down_proj',
} as const

export type LinearModule = keyof typeof LINEAR_MODULES

/** The shape [out, in] of a linear layer's weight. */
export function linearShape(config: ModelConfig, module: LinearModule): [number, number] {
  const { hidden_size: hidden, intermediate_size: inner } = config
  if (module === 'up_proj') return [inner, hidden]
  if (module === 'down_proj') return [hidden, inner]
  return [hidden, hidden]
}

/** Every weight's name (HuggingFace's way of naming) and shape, in the order of the file. The output layer is the embedding. */
export function weightShapes(config: ModelConfig): Map<string, number[]> {
  const shapes = new Map<string, number[]>([['model.embed_tokens.weight', [config.vocab_size, config.hidden_size]]])
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const block = `model.layers.${layer}`
    shapes.set(`${block}.input_layernorm.weight`, [config.hidden_size])
    for (const [module, path] of Object.entries(LINEAR_MODULES)) {
      if (module === 'up_proj') shapes.set(`${block}.post_attention_layernorm.weight`, [config.hidden_size])
      shapes.set(`${block}.${path}.weight`, linearShape(config, module as LinearModule))
    }
  }
  shapes.set('model.norm.weight', [config.hidden_size])
  return shapes
}

/** How much a head cares about distance: ALiBi's slopes, a geometric series from 2^(-8/heads) to 2^-8. */
export function alibiSlope(head: number, heads: number): number {
  return 2 ** ((-8 * (head + 1)) / heads)
}
