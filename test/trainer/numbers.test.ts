import { describe, expect, it } from 'vitest'
import type { Tensors } from '../../src/trainer/backend.js'
import { numpy as np, tree } from '../../src/trainer/backend.js'
import { type Example, layBatches, layRows, targetCount } from '../../src/trainer/data/batches.js'
import { encodeRecords } from '../../src/trainer/data/examples.js'
import { PAIR_RECORDS } from '../../src/trainer/data/pair-record.js'
import { encodePairs, PAIR_LAYOUT, type PairExample } from '../../src/trainer/data/pairs.js'
import { TEXT_RECORDS } from '../../src/trainer/data/record.js'
import { readJsonLines } from '../../src/trainer/data/records.js'
import { BOS, EOS, encodeText } from '../../src/trainer/data/tokens.js'
import { lossFunctions } from '../../src/trainer/gradients.js'
import { fromPeftNames, initialAdapters, mergeAdapters, toPeftNames } from '../../src/trainer/model/adapters.js'
import { linearShape, weightShapes } from '../../src/trainer/model/config.js'
import { generateText, tokenReader } from '../../src/trainer/model/decode.js'
import { attentionBias, logits } from '../../src/trainer/model/forward.js'
import { initialWeights } from '../../src/trainer/model/initial.js'
import { toTensors } from '../../src/trainer/model/tensors.js'
import { likelihood, preference } from '../../src/trainer/objective.js'
import { adamW, freshState } from '../../src/trainer/optimizer.js'
import { seededRandom } from '../../src/trainer/random.js'
import { readSafetensors, type TensorMap, writeSafetensors } from '../../src/trainer/safetensors.js'
import { learningRateAt } from '../../src/trainer/schedule.js'
import { MINUTE } from './support.js'

const weights = initialWeights(MINUTE, 1)
const lora = { lora_r: 4, lora_alpha: 8, lora_target_modules: ['q_proj', 'up_proj', 'down_proj'] as ('q_proj' | 'up_proj' | 'down_proj')[] }
const tokens = [BOS, ...encodeText('a plain line of text')]

function exampleOf(text: string) {
  const all = Uint16Array.from([BOS, ...encodeText(text), EOS])
  return { tokens: all, learned: new Uint8Array(all.length).fill(1, 1) }
}

/** Adapters that do something: B is zero at first. */
function trainedAdapters(): TensorMap {
  const random = seededRandom(3, 'test')
  const adapters = initialAdapters(MINUTE, lora, 5)
  for (const [name, tensor] of adapters) {
    if (name.endsWith('lora_B')) for (let at = 0; at < tensor.data.length; at++) tensor.data[at] = random.normal() * 0.3
  }
  return adapters
}

function scoresOf(base: TensorMap, adapters: Tensors): number[] {
  const ids = np.array(Int32Array.from(tokens)).reshape([1, tokens.length])
  return [
    ...logits(
      MINUTE,
      { base: toTensors(base), adapters, adapterScale: 2 },
      ids,
      np.zeros([1, tokens.length], { dtype: np.int32 }),
      attentionBias(MINUTE, tokens.length),
    ).dataSync(),
  ]
}

function furthest(a: readonly number[], b: readonly number[]): number {
  expect(a.length).toBe(b.length)
  return a.reduce((max, value, at) => Math.max(max, Math.abs(value - (b[at] as number))), 0)
}

describe('the model', () => {
  it('reads token by token what it computes for a whole row', () => {
    const read = tokenReader({ config: MINUTE, weights })
    const oneByOne = tokens.flatMap((token) => [...read(token)])
    expect(furthest(oneByOne, scoresOf(weights, {}))).toBeLessThan(1e-4)
  })

  it('looks at nothing that comes later', () => {
    const [first, ...rest] = tokens
    const read = (list: number[]) => {
      const ids = np.array(Int32Array.from(list)).reshape([1, list.length])
      const given = { base: toTensors(weights), adapters: {}, adapterScale: 1 }
      return [
        ...logits(MINUTE, given, ids, np.zeros([1, list.length], { dtype: np.int32 }), attentionBias(MINUTE, list.length)).dataSync(),
      ].slice(0, MINUTE.vocab_size)
    }
    expect(furthest(read([first as number, ...rest]), read([first as number, ...rest.map(() => 120)]))).toBeLessThan(1e-6)
  })

  it('with fresh adapters computes exactly what its base does', () => {
    expect(furthest(scoresOf(weights, toTensors(initialAdapters(MINUTE, lora, 5))), scoresOf(weights, {}))).toBe(0)
  })

  it('with merged adapters computes what it does with adapters beside it', () => {
    const adapters = trainedAdapters()
    const beside = scoresOf(weights, toTensors(adapters))
    expect(furthest(scoresOf(mergeAdapters(weights, adapters, 2), {}), beside)).toBeLessThan(1e-4)
    expect(furthest(scoresOf(weights, {}), beside)).toBeGreaterThan(1e-2)
  })

  it('generates the same text for the same seed, within the limit', () => {
    const model = { config: MINUTE, weights }
    expect(generateText(model, 'x', { seed: 4, maxTokens: 20 })).toBe(generateText(model, 'x', { seed: 4, maxTokens: 20 }))
    expect(generateText(model, 'x', { seed: 4, maxTokens: 20 })).not.toBe(generateText(model, 'x', { seed: 5, maxTokens: 20 }))
  })
})

describe('the loss', () => {
  it('is the mean cross-entropy of the targets, whatever the rows are padded to', () => {
    const example = exampleOf('some text')
    const lossAt = (length: number) => {
      const functions = lossFunctions(MINUTE, likelihood, { frozen: null, adapterScale: 1 }, length)
      return functions.measure(toTensors(weights), layRows([example], 2, length, 1 / (example.tokens.length - 1))).loss
    }
    const read = tokenReader({ config: MINUTE, weights })
    let expected = 0
    for (let at = 0; at + 1 < example.tokens.length; at++) {
      const scores = [...read(example.tokens[at] as number)]
      const total = scores.reduce((sum, score) => sum + Math.exp(score), 0)
      expected += Math.log(total) - (scores[example.tokens[at + 1] as number] as number)
    }
    expect(lossAt(16)).toBeCloseTo(expected / (example.tokens.length - 1), 4)
    expect(lossAt(32)).toBeCloseTo(lossAt(16), 5)
  })

  it('of a record is the same alone and in a row that it shares with others', () => {
    const records = readJsonLines(
      '{"prompt":"a","completion":"some text"}\n{"prompt":"b","completion":"other words"}\n{"prompt":"c","completion":"x"}',
      TEXT_RECORDS,
    ).records
    const lossOf = (packing: boolean) => {
      const settings = { maxSeqLength: 48, packAll: false, packing, trainOnPrompt: false, addBos: true, addEos: true }
      const { examples } = encodeRecords(records, settings)
      const targets = examples.reduce((sum, example) => sum + targetCount(example), 0)
      const functions = lossFunctions(MINUTE, likelihood, { frozen: null, adapterScale: 1 }, 48)
      return { rows: examples.length, loss: functions.measure(toTensors(weights), layRows(examples, 3, 48, 1 / targets)).loss }
    }
    expect(lossOf(true)).toEqual({ rows: 1, loss: expect.closeTo(lossOf(false).loss, 5) })
    expect(lossOf(false).rows).toBe(3)
  })

  it('of preferences is what the papers say, of the difference that each answer has made to the model before', () => {
    const pair = (chosen: string, rejected: string) => {
      const [record] = readJsonLines(JSON.stringify({ prompt: 'q', chosen, rejected }), PAIR_RECORDS).records
      const settings = { maxSeqLength: 16, packAll: false, packing: false, trainOnPrompt: false, addBos: true, addEos: true }
      return encodePairs(record ? [record] : [], settings).examples[0] as PairExample
    }
    const pairs = [pair('good', 'bad'), pair('a', 'longer')]
    const batching = { batchSize: 3, length: 16 }
    const measure = (settings: Parameters<typeof preference>[0], by: TensorMap) => {
      const [rows] = layBatches(pairs, batching, PAIR_LAYOUT).batches
      if (!rows) throw new Error('no rows')
      return lossFunctions(MINUTE, preference(settings), { frozen: null, adapterScale: 1 }, 16).measure(toTensors(by), rows)
    }
    const answer = (by: TensorMap, { tokens, learned }: Example) => {
      const read = tokenReader({ config: MINUTE, weights: by })
      let sum = 0
      for (const [at, token] of tokens.entries()) {
        if (at + 1 === tokens.length) break
        const scores = [...read(token)]
        const next = scores[tokens[at + 1] as number] as number
        if (learned[at + 1]) sum += next - Math.log(scores.reduce((all, score) => all + Math.exp(score), 0))
      }
      return sum
    }
    for (const one of pairs) one.reference = { chosen: answer(weights, one.chosen), rejected: answer(weights, one.rejected) }
    const sigmoid = { beta: 0.3, loss_type: 'sigmoid', label_smoothing: 0 } as const
    expect(measure(sigmoid, weights)).toMatchObject({
      loss: expect.closeTo(Math.LN2, 4),
      metrics: { rewards_margin: expect.closeTo(0, 4) },
    })

    const later = initialWeights(MINUTE, 2)
    const changes = pairs.map(({ chosen, rejected, reference }) => ({
      chosen: answer(later, chosen) - reference.chosen,
      rejected: answer(later, rejected) - reference.rejected,
      tokens: { chosen: targetCount(chosen), rejected: targetCount(rejected) },
    }))
    const mean = (of: (change: (typeof changes)[0]) => number) => changes.reduce((sum, change) => sum + of(change) / 2, 0)
    const surprise = (x: number) => Math.log(1 + Math.exp(-x))
    const margin = ({ chosen, rejected }: (typeof changes)[0]) => 0.3 * (chosen - rejected)
    const { loss, nats, metrics } = measure(sigmoid, later)
    expect(loss).toBeCloseTo(
      mean((change) => surprise(margin(change))),
      4,
    )
    expect(metrics.rewards_chosen).toBeCloseTo(
      mean(({ chosen }) => 0.3 * chosen),
      3,
    )
    expect(metrics.rewards_margin).toBeCloseTo(mean(margin), 3)
    const chosenTokens = changes.reduce((sum, { tokens: { chosen } }) => sum + chosen, 0)
    expect(nats).toBeCloseTo(-pairs.reduce((sum, { chosen }) => sum + answer(later, chosen), 0) / chosenTokens, 4)
    expect(measure({ ...sigmoid, loss_type: 'robust', label_smoothing: 0.2 }, later).loss).toBeCloseTo(
      mean((change) => (0.8 * surprise(margin(change)) - 0.2 * surprise(-margin(change))) / 0.6),
      3,
    )
    expect(measure({ ...sigmoid, loss_type: 'ipo' }, later).loss).toBeCloseTo(
      mean(({ chosen, rejected, tokens: of }) => (chosen / of.chosen - rejected / of.rejected - 1 / 0.6) ** 2),
      3,
    )
  })

  it('of preferences stays finite, and knows which way to go, however wrong the model is', () => {
    const rows = (reference: number) => {
      const example = { ...exampleOf('x'), learned: Uint8Array.of(0, 1, 1) }
      const pair = { chosen: example, rejected: exampleOf('y'), reference: { chosen: reference, rejected: -10 } }
      return PAIR_LAYOUT.lay([pair], 1, 16, { examples: 1, records: 1, targets: 2, tokens: 4 })
    }
    const settings = { beta: 1, loss_type: 'sigmoid', label_smoothing: 0 } as const
    const functions = lossFunctions(MINUTE, preference(settings), { frozen: null, adapterScale: 1 }, 16)
    const { measured, gradients } = functions.measureWithGradients(toTensors(weights), rows(500))
    expect(measured.loss).toBeGreaterThan(400)
    expect(measured.loss).toBeLessThan(600)
    const norm = [...(gradients['model.embed_tokens.weight']?.dataSync() ?? [])].reduce((sum, value) => sum + value * value, 0)
    expect(Number.isFinite(norm) && norm > 0).toBe(true)
  })
})

describe('the optimizer', () => {
  it('takes the step that AdamW describes, with weight decay and clipping', () => {
    const settings = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 1 }
    const update = adamW(settings)
    let state = freshState({ w: np.array([[1, -2]]) })
    const expected = { w: [1, -2], m: [0, 0], v: [0, 0] }
    for (const [step, gradient] of [
      [1, [3, 4]],
      [2, [0.1, -0.2]],
    ] as const) {
      const result = update(state, { w: np.array([[...gradient]]) }, step, 0.05)
      state = result.state
      const norm = Math.hypot(...gradient)
      expect(result.norm.item()).toBeCloseTo(norm, 5)
      for (const at of [0, 1] as const) {
        const g = gradient[at] * Math.min(1, 1 / norm)
        expected.m[at] = 0.9 * (expected.m[at] as number) + 0.1 * g
        expected.v[at] = 0.99 * (expected.v[at] as number) + 0.01 * g * g
        const change = (expected.m[at] as number) / (1 - 0.9 ** step) / (Math.sqrt((expected.v[at] as number) / (1 - 0.99 ** step)) + 1e-8)
        expected.w[at] = (expected.w[at] as number) - 0.05 * (change + 0.1 * (expected.w[at] as number))
      }
    }
    expect(furthest([...(state.parameters.w?.ref.dataSync() ?? [])], expected.w)).toBeLessThan(1e-5)
    tree.dispose(state)
  })
})

describe('schedules', () => {
  const schedule = { peak: 1, warmupSteps: 10, totalSteps: 110 }
  it.each([
    ['linear', [0, 0.5, 1, 0.5]],
    ['cosine', [0, 0.5, 1, 0.5]],
    ['constant_with_warmup', [0, 0.5, 1, 1]],
    ['constant', [1, 1, 1, 1]],
  ] as const)('%s starts, warms up, peaks and falls as in transformers', (name, expected) => {
    expect([1, 6, 11, 61].map((step) => learningRateAt(step, { name, ...schedule }))).toEqual(
      expected.map((value) => expect.closeTo(value, 9)),
    )
  })
})

describe('files of numbers', () => {
  it('a safetensors file reads back as it was written, its numbers at a multiple of eight bytes', () => {
    const bytes = writeSafetensors(weights, { format: 'pt' })
    expect(readSafetensors(bytes)).toEqual(weights)
    expect(Number(bytes.readBigUInt64LE(0)) % 8).toBe(0)
    expect(writeSafetensors(weights, { format: 'pt' }).equals(bytes)).toBe(true)
  })

  it('a safetensors file that is cut off is refused', () => {
    expect(() => readSafetensors(writeSafetensors(weights).subarray(0, -4))).toThrow(/ends inside tensor model.norm.weight/)
  })

  it('adapters have the names and shapes that PEFT gives them', () => {
    const peft = toPeftNames(initialAdapters(MINUTE, lora, 5))
    expect([...peft].map(([name, { shape }]) => [name, shape])).toEqual([
      ['base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight', [4, 16]],
      ['base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight', [16, 4]],
      ['base_model.model.model.layers.0.mlp.up_proj.lora_A.weight', [4, 16]],
      ['base_model.model.model.layers.0.mlp.up_proj.lora_B.weight', [32, 4]],
      ['base_model.model.model.layers.0.mlp.down_proj.lora_A.weight', [4, 32]],
      ['base_model.model.model.layers.0.mlp.down_proj.lora_B.weight', [16, 4]],
    ])
    expect(fromPeftNames(peft)).toEqual(initialAdapters(MINUTE, lora, 5))
    expect(() => fromPeftNames(weights)).toThrow(/not the name of a PEFT adapter/)
  })

  it('every linear layer of a block has its weight in the model file', () => {
    const shapes = weightShapes(MINUTE)
    expect(shapes.get('model.layers.0.mlp.down_proj.weight')).toEqual(linearShape(MINUTE, 'down_proj'))
    expect([...shapes.keys()]).toHaveLength(10)
  })
})
