import { type Example, type Layout, layBatches, layRows, type Rows, targetCount } from './batches.js'
import { type Encoded, type EncodingSettings, encodeCompletion } from './examples.js'
import type { PairRecord } from './pair-record.js'

/** Two answers to the same prompt, as rows. */
export interface PairExample {
  chosen: Example
  rejected: Example
  /** Log-probability of each answer under the model as it was before training, in nats; NaN until `measureReference`. */
  reference: { chosen: number; rejected: number }
}

/** Turns pairs into rows, cut off at the end where they are longer. A pair is left out where nothing that tells its answers apart fits. */
export function encodePairs(records: readonly PairRecord[], settings: EncodingSettings): Encoded<PairExample> {
  const encoded: Encoded<PairExample> = { examples: [], truncated: 0, dropped: 0 }
  for (const record of records) {
    const [chosen, rejected] = [encodeCompletion(record.chosen, settings), encodeCompletion(record.rejected, settings)]
    if (chosen.isCut || rejected.isCut) encoded.truncated++
    const isTold = Buffer.compare(bytesOf(chosen.example), bytesOf(rejected.example)) !== 0
    if (isTold && targetCount(chosen.example) > 0 && targetCount(rejected.example) > 0) {
      encoded.examples.push({ chosen: chosen.example, rejected: rejected.example, reference: { chosen: Number.NaN, rejected: Number.NaN } })
    } else encoded.dropped++
  }
  return encoded
}

const nothing: Example = { tokens: new Uint16Array(), learned: new Uint8Array() }

/** A pair is two rows; targets are those of the chosen answer. */
export const PAIR_LAYOUT: Layout<PairExample> = {
  lengthOf: ({ chosen, rejected }) => Math.max(chosen.tokens.length, rejected.tokens.length) - 1,
  sizeOf: ({ chosen, rejected }) => ({
    targets: targetCount(chosen),
    tokens: chosen.tokens.length + rejected.tokens.length - 2,
    records: 1,
  }),
  lay(pairs, count, length, step) {
    const missing = Array.from({ length: count - pairs.length }, () => nothing)
    const answers = [...pairs.map(({ chosen }) => chosen), ...missing, ...pairs.map(({ rejected }) => rejected), ...missing]
    const reference = new Float32Array(2 * count)
    const weights = new Float32Array(count)
    for (const [at, pair] of pairs.entries()) {
      reference[at] = pair.reference.chosen
      reference[count + at] = pair.reference.rejected
      weights[at] = 1 / step.examples
    }
    const lengths = Float32Array.from(answers, (answer) => Math.max(1, targetCount(answer)))
    return { ...layRows(answers, 2 * count, length, 1), pairs: { reference, lengths, weights, targetWeight: 1 / step.targets } }
  },
}

/**
 * Fills in the reference of pairs, once and before training, so that no second model is held beside the one that learns. `between` lets
 * others run; where it answers false, so does this, and pairs are left without.
 */
export async function measureReference(
  pairs: readonly PairExample[],
  { batchSize, length }: { batchSize: number; length: number },
  logProbabilities: (rows: Rows) => Float32Array,
  between: () => Promise<boolean>,
): Promise<boolean> {
  for (let at = 0; at < pairs.length; at += batchSize) {
    if (!(await between())) return false
    const some = pairs.slice(at, at + batchSize)
    const [rows] = layBatches(some, { batchSize, length }, PAIR_LAYOUT).batches
    const found = rows ? logProbabilities(rows) : new Float32Array()
    for (const [index, pair] of some.entries()) {
      pair.reference = { chosen: found[index] as number, rejected: found[batchSize + index] as number }
    }
  }
  return true
}

const bytesOf = ({ tokens }: Example) => Buffer.from(tokens.buffer, tokens.byteOffset, tokens.byteLength)
