import { permutation } from '../random.js'
import { type Example, targetCount } from './batches.js'
import { type CompletionRecord, type TrainingRecord, textOf } from './record.js'
import { BOS, EOS, encodeText } from './tokens.js'

/** How records become rows. */
export interface EncodingSettings {
  /** Positions a row has at most; a row of n positions spells n + 1 tokens. */
  maxSeqLength: number
  /** Every token counts, and all records are packed into full rows: continued pretraining. */
  packAll: boolean
  /** Records share rows where they fit together. */
  packing: boolean
  /** Prompts and user messages count as well. */
  trainOnPrompt: boolean
  /** Whether records begin with BOS and end with EOS. */
  addBos: boolean
  addEos: boolean
}

/** What to train or evaluate on, and what did not fit. */
export interface Encoded<E> {
  examples: E[]
  /** Records of which the end was cut off. */
  truncated: number
  /** Records left out, since nothing of what was to be learned fits. */
  dropped: number
}

/** Sets records aside for validation: `fraction` of them, rounded, chosen by the seed. Both parts keep their order. */
export function splitRecords<T>(records: readonly T[], fraction: number, seed: number): { training: T[]; validation: T[] } {
  if (fraction <= 0) return { training: [...records], validation: [] }
  const count = Math.min(records.length, Math.max(1, Math.round(records.length * fraction)))
  const chosen = new Set(permutation(records.length, seed, 'validation split').subarray(0, count))
  return {
    training: records.filter((_, index) => !chosen.has(index)),
    validation: records.filter((_, index) => chosen.has(index)),
  }
}

/**
 * Turns records into rows. Text is joined into one stream and cut into full rows, a row's last token being the next row's first; a
 * record with a prompt is cut off at the end where it is longer than a row, then shares its row with others that fit, unseen by them.
 */
export function encodeRecords(records: readonly TrainingRecord[], settings: EncodingSettings): Encoded<Example> {
  const encoded: Encoded<Example> = { examples: [], truncated: 0, dropped: 0 }
  const stream: number[] = []
  for (const record of records) {
    if (record.kind === 'text' || settings.packAll) {
      for (const token of frame(encodeText(textOf(record)), settings)) stream.push(token)
      continue
    }
    const { example, isCut } = encodeCompletion(record, settings)
    if (isCut) encoded.truncated++
    if (targetCount(example) > 0) encoded.examples.push(example)
    else encoded.dropped++
  }
  if (settings.packing) encoded.examples = packRecords(encoded.examples, settings.maxSeqLength)
  encoded.examples.push(...packStream(stream, settings.maxSeqLength))
  return encoded
}

/** A record with a prompt as a row of its own, cut off at the end where it is longer than a row. It may have nothing to learn left. */
export function encodeCompletion(
  { parts }: CompletionRecord,
  settings: Pick<EncodingSettings, 'maxSeqLength' | 'trainOnPrompt' | 'addBos' | 'addEos'>,
): { example: Example; isCut: boolean } {
  const pieces = parts.map((part) => ({ tokens: encodeText(part.text), learned: part.learned || settings.trainOnPrompt ? 1 : 0 }))
  const tokens = frame(
    pieces.flatMap((piece) => piece.tokens),
    settings,
  )
  const learned = pieces.flatMap((piece) => piece.tokens.map(() => piece.learned))
  if (settings.addBos) learned.unshift(0)
  if (settings.addEos) learned.push(1)
  learned[0] = 0
  const length = settings.maxSeqLength + 1
  const example = { tokens: Uint16Array.from(tokens.slice(0, length)), learned: Uint8Array.from(learned.slice(0, length)) }
  return { example, isCut: tokens.length > length }
}

/** Positions of a row that holds `longest` positions: rounded up to a multiple of 16 so that kernels stay regular. */
export function rowLength(longest: number, maxSeqLength: number): number {
  return Math.min(maxSeqLength, Math.ceil(longest / 16) * 16)
}

function frame(tokens: number[], { addBos, addEos }: Pick<EncodingSettings, 'addBos' | 'addEos'>): number[] {
  return [...(addBos ? [BOS] : []), ...tokens, ...(addEos ? [EOS] : [])]
}

function packStream(stream: readonly number[], length: number): Example[] {
  const rows: Example[] = []
  for (let at = 0; at + 1 < stream.length; at += length) {
    const tokens = Uint16Array.from(stream.slice(at, at + length + 1))
    rows.push({ tokens, learned: new Uint8Array(tokens.length).fill(1, 1) })
  }
  return rows
}

/** Puts records into as few rows as best-fit-decreasing finds: the longest first, each into the fullest row that has room. */
function packRecords(records: readonly Example[], length: number): Example[] {
  const rowsByRoom: Example[][][] = Array.from({ length: length + 2 }, () => [])
  const order = [...records].sort((a, b) => b.tokens.length - a.tokens.length)
  for (const record of order) {
    let room = record.tokens.length
    while (room <= length && rowsByRoom[room]?.length === 0) room++
    const row = rowsByRoom[room]?.pop() ?? []
    row.push(record)
    const left = (row.length === 1 ? length + 1 : room) - record.tokens.length
    rowsByRoom[left]?.push(row)
  }
  return rowsByRoom.flat().map(joinRecords)
}

function joinRecords(records: readonly Example[]): Example {
  return {
    tokens: Uint16Array.from(records.flatMap((record) => [...record.tokens])),
    learned: Uint8Array.from(records.flatMap((record) => [...record.learned])),
    segments: Uint16Array.from(records.flatMap((record, index) => Array.from(record.tokens, () => index))),
  }
}
