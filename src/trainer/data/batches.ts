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
}

/** How many targets of a row count. */
export function targetCount({ learned }: Example): number {
  return learned.reduce((sum, one) => sum + one, 0)
}

/** How many records a row holds. */
export function recordCount({ segments }: Example): number {
  return (segments?.at(-1) ?? 0) + 1
}

/** Lays examples side by side; rows that are short, and rows that are missing up to `count`, are filled with padding. */
export function layRows(examples: readonly Example[], count: number, length: number, targetsOfStep: number): Rows {
  const tokens = new Int32Array(count * length).fill(PAD)
  const targets = new Int32Array(count * length).fill(PAD)
  const targetWeights = new Float32Array(count * length)
  const segments = new Int32Array(count * length)
  for (const [row, example] of examples.entries()) {
    for (let at = 0; at + 1 < example.tokens.length && at < length; at++) {
      tokens[row * length + at] = example.tokens[at] as number
      targets[row * length + at] = example.tokens[at + 1] as number
      segments[row * length + at] = example.segments?.[at] ?? 0
      if (example.learned[at + 1]) targetWeights[row * length + at] = 1 / targetsOfStep
    }
  }
  return { count, length, tokens, targets, targetWeights, segments }
}

/** Which examples an optimizer step sees, as a function of the step alone: that is what makes a resumed run exact. */
export interface BatchPlan {
  stepsPerEpoch: number
  /** The micro-batches of step `step` (1 is the first), and how many targets, tokens and records all of them have. */
  stepRows(step: number): { batches: Rows[]; targets: number; tokens: number; records: number }
}

/**
 * Shuffles the examples anew in every epoch, from the seed and the epoch's number, and cuts them into steps of
 * `batchSize` × `accumulation` rows. The last step of an epoch takes what is left.
 */
export function planBatches(
  examples: readonly Example[],
  { batchSize, accumulation, length, seed }: { batchSize: number; accumulation: number; length: number; seed: number },
): BatchPlan {
  const rowsPerStep = batchSize * accumulation
  const stepsPerEpoch = Math.ceil(examples.length / rowsPerStep)
  let shuffled: { epoch: number; order: Uint32Array } = { epoch: -1, order: new Uint32Array() }
  return {
    stepsPerEpoch,
    stepRows(step) {
      const epoch = Math.floor((step - 1) / stepsPerEpoch)
      if (shuffled.epoch !== epoch) shuffled = { epoch, order: permutation(examples.length, seed, `epoch ${epoch}`) }
      const first = ((step - 1) % stepsPerEpoch) * rowsPerStep
      const chosen = [...shuffled.order.subarray(first, first + rowsPerStep)].map((index) => examples[index] as Example)
      const targets = chosen.reduce((sum, example) => sum + targetCount(example), 0)
      const batches: Rows[] = []
      for (let at = 0; at < chosen.length; at += batchSize) {
        batches.push(layRows(chosen.slice(at, at + batchSize), batchSize, length, targets))
      }
      const tokens = chosen.reduce((sum, example) => sum + example.tokens.length - 1, 0)
      return { batches, targets, tokens, records: chosen.reduce((sum, example) => sum + recordCount(example), 0) }
    },
  }
}
