import { seededRandom } from '../random.js'
import type { TensorMap } from '../safetensors.js'
import { type ModelConfig, weightShapes } from './config.js'

/** Untrained weights: norms are ones, matrices normal with a deviation of 1/√in; those that feed the residual stream are smaller. */
export function initialWeights(config: ModelConfig, seed: number): TensorMap {
  const random = seededRandom(seed, 'initial weights')
  const weights: TensorMap = new Map()
  for (const [name, shape] of weightShapes(config)) {
    const size = shape.reduce((product, length) => product * length, 1)
    const data = new Float32Array(size)
    if (shape.length === 1) data.fill(1)
    else {
      const feedsResidual = name.includes('o_proj') || name.includes('down_proj')
      const deviation = name.includes('embed')
        ? 0.05
        : (shape[1] as number) ** -0.5 / (feedsResidual ? Math.sqrt(2 * config.num_hidden_layers) : 1)
      for (let index = 0; index < size; index++) data[index] = random.normal() * deviation
    }
    weights.set(name, { shape, data })
  }
  return weights
}
