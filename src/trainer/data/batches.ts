import { permutation } from '../random.js'
import { PAD } from './tokens.js'

/** One training row: at most `length` + 1 tokens, each token but the first being the target of the one before it. */
export interface Example {
  tokens: Uint16Array
  /** 1 for each token that counts as a target, 0 for those that are only read. The first never counts. */
  learned: Uint8Array
  /** Where several records share a row: each token's record, counted from 0. A record is read as if it were alone. */
  segments?: Uint16Array
}

/** Rows of equal length as the model takes them, flat and row-major. */
export interface Rows {
  count: number
  length: number
  tokens: Int32Array<ArrayBuffer>
  targets: Int32Array<ArrayBuffer>
  /** 1 / (targets of the whole optimizer step) where a target counts, so that the weighted losses of a step's rows add up to its mean loss. */
  targetWeights: Float32Array<ArrayBuffer>
  /** Which of a row's records a token belongs to; tokens see only their own. */
  segments: Int32Array<ArrayBuffer>
  /** Where rows are pairs: the first half of them the chosen answers, the other the rejected ones in the same order. */
  pairs?: PairRows
}

/** What is known of rows that are pairs. Their `targetWeights` are 1. */
export interface PairRows {
  /** The log-probability of each row's answer, in nats, under the model as it was before training. */
  reference: Float32Array<ArrayBuffer>
  /** Targets of each row, at least 1. */
  lengths: Float32Array<ArrayBuffer>
  /** 1 / (pairs of the whole optimizer step) for each pair, 0 for padding. */
  weights: Float32Array<ArrayBuffer>
  /** 1 / (targets of all chosen answers of the whole optimizer step). */
  targetWeight: number
}

/** How much there is in an example, or in several. */
export interface Size {
  targets: number
  /** Tokens read, padding not counted. */
  tokens: number
  records: number
}

/** How examples of one kind become rows. */
export interface Layout<E> {
  /** Positions that an example needs. */
  lengthOf(example: E): number
  sizeOf(example: E): Size
  /** At most `count` examples of a step that has `step` examples and targets in all, laid side by side; what is missing is padding. */
  lay(examples: readonly E[], count: number, length: number, step: Size & { examples: number }): Rows
}

/** An example a row. */
export const ROW_LAYOUT: Layout<Example> = {
  lengthOf: ({ tokens }) => tokens.length - 1,
  sizeOf: (example) => ({ targets: targetCount(example), tokens: example.tokens.length - 1, records: recordCount(example) }),
  lay: (examples, count, length, { targets }) => layRows(examples, count, length, 1 / targets),
}

/** How many targets of a row count. */
export function targetCount({ learned }: Example): number {
  return learned.reduce((sum, one) => sum + one, 0)
}

/** Lays examples side by side, `weight` on each target; rows that are short, and rows that are missing up to `count`, are filled with padding. */
export function layRows(examples: readonly Example[], count: number, length: number, weight: number): Rows {
  const tokens = new Int32Array(count * length).fill(PAD)
  const targets = new Int32Array(count * length).fill(PAD)
  const targetWeights = new Float32Array(count * length)
  const segments = new Int32Array(count * length)
  for (const [row, example] of examples.entries()) {
    for (let at = 0; at + 1 < example.tokens.length && at < length; at++) {
      tokens[row * length + at] = example.tokens[at] as number
      targets[row * length + at] = example.tokens[at + 1] as number
      segments[row * length + at] = example.segments?.[at] ?? 0
      if (example.learned[at + 1]) targetWeights[row * length + at] = weight
    }
  }
  return { count, length, tokens, targets, targetWeights, segments }
}

/** Examples laid out in batches, and how much all of them hold. */
export interface Batches extends Size {
  batches: Rows[]
}

/** Lays examples that count together, such as those of an optimizer step or of a validation split, in batches of `batchSize`. */
export function layBatches<E>(
  examples: readonly E[],
  { batchSize, length }: { batchSize: number; length: number },
  layout: Layout<E>,
): Batches {
  const size: Size = { targets: 0, tokens: 0, records: 0 }
  for (const example of examples) {
    const { targets, tokens, records } = layout.sizeOf(example)
    size.targets += targets
    size.tokens += tokens
    size.records += records
  }
  const batches: Rows[] = []
  for (let at = 0; at < examples.length; at += batchSize) {
    batches.push(layout.lay(examples.slice(at, at + batchSize), batchSize, length, { ...size, examples: examples.length }))
  }
  return { batches, ...size }
}

/** Which examples an optimizer step sees, as a function of the step alone: that is what makes a resumed run exact. */
export interface BatchPlan {
  stepsPerEpoch: number
  /** The micro-batches of step `step` (1 is the first). */
  stepRows(step: number): Batches
}

/**
 * Shuffles the examples anew in every epoch, from the seed and the epoch's number, and cuts them into steps of
 * `batchSize` × `accumulation` examples. The last step of an epoch takes what is left.
 */
export function planBatches<E>(
  examples: readonly E[],
  { batchSize, accumulation, length, seed }: { batchSize: number; accumulation: number; length: number; seed: number },
  layout: Layout<E>,
): BatchPlan {
  const examplesPerStep = batchSize * accumulation
  const stepsPerEpoch = Math.ceil(examples.length / examplesPerStep)
  let shuffled: { epoch: number; order: Uint32Array } = { epoch: -1, order: new Uint32Array() }
  return {
    stepsPerEpoch,
    stepRows(step) {
      const epoch = Math.floor((step - 1) / stepsPerEpoch)
      if (shuffled.epoch !== epoch) shuffled = { epoch, order: permutation(examples.length, seed, `epoch ${epoch}`) }
      const first = ((step - 1) % stepsPerEpoch) * examplesPerStep
      const chosen = [...shuffled.order.subarray(first, first + examplesPerStep)].map((index) => examples[index] as E)
      return layBatches(chosen, { batchSize, length }, layout)
    },
  }
}

/** How many records a row holds. */
function recordCount({ segments }: Example): number {
  return (segments?.at(-1) ?? 0) + 1
}
