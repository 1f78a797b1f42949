import { describe, expect, it } from 'vitest'
import { numpy as np, type Tensors, tree } from '../../src/trainer/backend.js'
import { layRows, type Rows } from '../../src/trainer/data/batches.js'
import { PAIR_LAYOUT } from '../../src/trainer/data/pairs.js'
import { BOS, EOS, encodeText } from '../../src/trainer/data/tokens.js'
import { lossFunctions } from '../../src/trainer/gradients.js'
import { initialAdapters } from '../../src/trainer/model/adapters.js'
import { LINEAR_MODULES, type LinearModule, type ModelConfig } from '../../src/trainer/model/config.js'
import { initialWeights } from '../../src/trainer/model/initial.js'
import { toTensors } from '../../src/trainer/model/tensors.js'
import { likelihood, type Objective, preference } from '../../src/trainer/objective.js'
import { seededRandom } from '../../src/trainer/random.js'
import type { TensorMap } from '../../src/trainer/safetensors.js'
import { MINUTE } from './support.js'

const config: ModelConfig = { ...MINUTE, hidden_size: 8, intermediate_size: 6 }
const length = 12
const random = seededRandom(11, 'gradients')
const weights = shaken(initialWeights(config, 3))
const adapters = shaken(
  initialAdapters(config, { lora_r: 2, lora_alpha: 4, lora_target_modules: Object.keys(LINEAR_MODULES) as LinearModule[] }, 5),
)

/** Away from where tensors start: there B is zero, and norms are ones. */
function shaken(tensors: TensorMap): TensorMap {
  for (const { data } of tensors.values()) for (const at of data.keys()) data[at] = (data[at] as number) + random.normal() * 0.3
  return tensors
}

/** Half of it is a prompt. */
function exampleOf(text: string) {
  const tokens = Uint16Array.from([BOS, ...encodeText(text), EOS])
  return { tokens, learned: new Uint8Array(tokens.length).fill(1, tokens.length >> 1) }
}

const inFull = (tensors: TensorMap): Tensors =>
  Object.fromEntries(Object.entries(toTensors(tensors)).map(([name, tensor]) => [name, np.astype(tensor, np.float64)]))

/**
 * The largest relative difference between gradients and central differences of fourth order, over the four largest entries of each tensor. In
 * 64 bits, where only exponentials and logarithms are still computed to 24: the steps are wide enough for those.
 */
function worst(objective: Objective, rows: Rows, trained: TensorMap, frozen: TensorMap | null): { name: string; away: number } {
  const functions = lossFunctions(config, objective, { frozen: frozen && toTensors(frozen), adapterScale: 2 }, length)
  const parameters = inFull(trained)
  const { gradients } = functions.measureWithGradients(parameters, rows)
  const step = 2 ** -8
  let found = { name: 'none', away: 0 }
  for (const [name, parameter] of Object.entries(parameters)) {
    const gradient = [...(gradients[name]?.ref.dataSync() ?? [])]
    const order = gradient.map((_, at) => at).sort((a, b) => Math.abs(gradient[b] as number) - Math.abs(gradient[a] as number))
    expect(Math.abs(gradient[order[3] as number] as number), `the gradient of ${name}`).toBeGreaterThan(1e-4)
    for (const at of order.slice(0, 4)) {
      const lossAt = (change: number) => {
        const delta = new Float32Array(gradient.length)
        delta[at] = change
        const changed = parameter.ref.add(np.array(delta).reshape(parameter.shape))
        const { loss } = functions.measure({ ...parameters, [name]: changed }, rows)
        changed.dispose()
        return loss
      }
      const difference = (8 * (lossAt(step) - lossAt(-step)) - (lossAt(2 * step) - lossAt(-2 * step))) / (12 * step)
      const away = Math.abs(difference - (gradient[at] as number)) / Math.abs(difference)
      if (away > found.away) found = { name: `${name}[${at}]`, away }
    }
  }
  tree.dispose(parameters)
  tree.dispose(gradients)
  functions.dispose()
  return found
}

describe('The gradients of every tensor agree with central differences', () => {
  const examples = [exampleOf('some text'), exampleOf('other')]
  const rows = layRows(examples, 3, length, 1 / 8)

  it('of the mean cross-entropy, by all weights', () => {
    expect(worst(likelihood, rows, weights, null).away).toBeLessThan(0.01)
  })

  it('of the mean cross-entropy, by adapters', () => {
    expect(worst(likelihood, rows, adapters, weights).away).toBeLessThan(0.01)
  })

  // A reference that is near enough for no loss to be flat there.
  const pairs = [['some', 'text'] as const, ['other', 'word'] as const].map(([chosen, rejected], at) => ({
    chosen: exampleOf(chosen),
    rejected: exampleOf(rejected),
    reference: { chosen: -20 - at, rejected: -18 },
  }))
  const pairRows = PAIR_LAYOUT.lay(pairs, 3, length, { examples: 2, records: 2, targets: 6, tokens: 20 })

  it.each([
    ['DPO', { loss_type: 'sigmoid', label_smoothing: 0 }],
    ['robust DPO', { loss_type: 'robust', label_smoothing: 0.1 }],
    ['IPO', { loss_type: 'ipo', label_smoothing: 0 }],
  ] as const)('of the loss of %s, by all weights', (_, settings) => {
    expect(worst(preference({ beta: 0.5, ...settings }), pairRows, weights, null).away).toBeLessThan(0.01)
  })

  it('of the loss of DPO, by adapters', () => {
    expect(worst(preference({ beta: 0.5, loss_type: 'sigmoid', label_smoothing: 0 }), pairRows, adapters, weights).away).toBeLessThan(0.01)
  })
})
