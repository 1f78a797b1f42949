import type { TrainingRecord } from '../data/record.js'
import { BOS, decodeTokens, EOS, encodeText } from '../data/tokens.js'
import { type Decodable, tokenReader } from '../model/decode.js'

/** What a model makes of the tokens of one record that are to be predicted. */
export interface TokenTally {
  /** Tokens that were predicted. */
  tokens: number
  /** Their negative log-likelihood, in nats. */
  nats: number
  /** Bytes among them. */
  bytes: number
  /** Bytes that were the likeliest. */
  right: number
}

/** Reads a record as in training, each token with the true ones before it. What is longer than the model's context is read in stretches of it. */
export function tallyRecord(model: Decodable, record: TrainingRecord): TokenTally {
  const sequence = sequenceOf(record)
  const tally: TokenTally = { tokens: 0, nats: 0, bytes: 0, right: 0 }
  const stretch = model.config.max_position_embeddings - 1
  for (let start = 0; start < sequence.length; start += stretch) {
    const read = tokenReader(model)
    let scores = read(BOS)
    for (const { token, learned } of sequence.slice(start, start + stretch)) {
      if (learned) count(tally, scores, token)
      scores = read(token)
    }
  }
  return tally
}

/** The likeliest continuation of a record's prompt, byte by byte, up to EOS, a full context or `maxTokens`. */
export function answerTo(model: Decodable, prompt: string, maxTokens: number): string {
  const context = model.config.max_position_embeddings
  const read = tokenReader(model)
  // The end of a prompt matters most, and half the context is kept for the answer.
  const given = [BOS, ...encodeText(prompt).slice(-Math.floor(context / 2))]
  let scores = new Float32Array()
  for (const token of given) scores = read(token)
  const answer: number[] = []
  while (answer.length < maxTokens && given.length + answer.length < context) {
    const token = likeliest(scores)
    if (token === EOS) break
    answer.push(token)
    scores = read(token)
  }
  return decodeTokens(answer)
}

/** What precedes the last text that is to be learned, and that text; null for plain text, which asks nothing. */
export function questionOf(record: TrainingRecord): { prompt: string; expected: string } | null {
  if (record.kind === 'text') return null
  const last = record.parts.findLastIndex(({ learned, text }) => learned && text.trim() !== '')
  if (last < 0) return null
  const prompt = record.parts
    .slice(0, last)
    .map(({ text }) => text)
    .join('')
  return { prompt, expected: record.parts[last]?.text ?? '' }
}

function sequenceOf(record: TrainingRecord): { token: number; learned: boolean }[] {
  const parts = record.kind === 'text' ? [{ text: record.text, learned: true }] : record.parts
  return [...parts.flatMap(({ text, learned }) => encodeText(text).map((token) => ({ token, learned }))), { token: EOS, learned: true }]
}

function count(tally: TokenTally, scores: Float32Array, token: number): void {
  const highest = scores.reduce((max, score) => Math.max(max, score), Number.NEGATIVE_INFINITY)
  const total = scores.reduce((sum, score) => sum + Math.exp(score - highest), 0)
  tally.nats += Math.log(total) + highest - (scores[token] ?? Number.NEGATIVE_INFINITY)
  tally.tokens++
  if (token >= BOS) return
  tally.bytes++
  if (likeliest(scores) === token) tally.right++
}

/** The likeliest byte, or EOS. */
function likeliest(scores: Float32Array): number {
  let best = EOS
  for (let token = 0; token < BOS; token++) if ((scores[token] as number) > (scores[best] as number)) best = token
  return best
}

/** The mean of a share over records of different sizes, and its standard error as a ratio estimate; 0 where there is only one record. */
export function ratioOf(records: readonly { amount: number; of: number }[]): { ratio: number; standardError: number } {
  const whole = records.reduce((sum, { of }) => sum + of, 0)
  const ratio = records.reduce((sum, { amount }) => sum + amount, 0) / whole
  const spread = records.reduce((sum, { amount, of }) => sum + (amount - ratio * of) ** 2, 0)
  const n = records.length
  return { ratio, standardError: n < 2 ? 0 : Math.sqrt((spread * n) / (n - 1)) / whole }
}
