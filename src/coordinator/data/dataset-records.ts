import { isUtf8 } from 'node:buffer'
import { InvalidInput } from '../../contract/failure.js'
import { type ContentHash, lineHash } from './line-hash.js'

/** The formats that data sets are uploaded in. */
export const datasetFormats = ['jsonl', 'txt', 'csv'] as const
export type DatasetFormat = (typeof datasetFormats)[number]

/** What was learned of a data set while it came in. */
export interface DatasetContent extends ContentHash {
  bytes: number
  tokensEstimate: number
  /** The first record as text. */
  sample: string
}

/** Takes a data set's bytes as they come. Throws InvalidInput, naming the line, at the first record that is not usable. */
export interface DatasetReader {
  update(bytes: Buffer): void
  digest(): DatasetContent
}

const sampleCharacters = 1000
const lineBytesMax = 16 * 1024 * 1024
const aliases: Record<string, DatasetFormat> = { jsonl: 'jsonl', ndjson: 'jsonl', json_lines: 'jsonl', txt: 'txt', text: 'txt', csv: 'csv' }

/** The format that is named, or that a file's name ends in; null for none that is known. */
export function datasetFormat(format: string, name: string): DatasetFormat | null {
  return aliases[(format || name.slice(name.lastIndexOf('.') + 1)).toLowerCase()] ?? null
}

/** Reads a data set while it streams: counts, hashes, and looks at each record. */
export function datasetReader(format: DatasetFormat): DatasetReader {
  let bytes = 0
  let tokensEstimate = 0
  let sample = ''
  let sinceLine = 0
  const hash = lineHash((line, number) => {
    sinceLine = 0
    if (!isUtf8(line)) throw refusal(number, 'This is not UTF-8 text.')
    if (line.includes(0)) throw refusal(number, 'This is not text: it has a NUL byte.')
    const text = line.toString('utf8')
    const record = format === 'jsonl' ? readRecord(text, number) : text
    // Close enough for every trainer to plan by: a token a byte for the embedded one, more for none.
    tokensEstimate += Buffer.byteLength(record) + 2
    sample ||= record.slice(0, sampleCharacters)
  })
  return {
    update(chunk) {
      bytes += chunk.length
      sinceLine += chunk.length
      if (sinceLine > lineBytesMax && !chunk.includes(10)) throw refusal(0, `A record has at most ${lineBytesMax} bytes.`)
      hash.update(chunk)
    },
    digest() {
      const content = hash.digest()
      if (content.records === 0) throw refusal(0, 'There is no record in it.')
      return { ...content, bytes, tokensEstimate, sample }
    },
  }
}

/** The text of a record that some trainer can use. */
function readRecord(line: string, number: number): string {
  let value: unknown
  try {
    value = JSON.parse(number === 1 ? line.replace(/^\uFEFF/, '') : line)
  } catch (error) {
    throw refusal(number, `This is not JSON: ${(error as Error).message}.`)
  }
  const text = typeof value === 'object' && value !== null && !Array.isArray(value) ? textOf(value as Record<string, unknown>) : null
  if (text === null) throw refusal(number, expected)
  return text
}

const expected =
  'Expected a JSON object with "text", with "prompt" and "completion", with "messages" [{"role", "content"}], or with "chosen" and "rejected".'

function textOf({ text, prompt, completion, messages, chosen, rejected }: Record<string, unknown>): string | null {
  if (Array.isArray(messages)) {
    const contents = messages.map((message) => (message as { content?: unknown } | null)?.content)
    return contents.length > 0 && contents.every((content) => typeof content === 'string') ? contents.join('\n') : null
  }
  if (chosen !== undefined || rejected !== undefined) {
    return chosen && rejected ? JSON.stringify({ prompt, chosen, rejected }) : null
  }
  if (typeof completion === 'string' && typeof prompt === 'string') return `${prompt}\n${completion}`
  return typeof text === 'string' && text.trim() !== '' ? text : null
}

const refusal = (line: number, message: string) =>
  new InvalidInput([{ path: 'content', message: line > 0 ? `Line ${line}: ${message}` : message }], 'INVALID_ARGUMENT')
