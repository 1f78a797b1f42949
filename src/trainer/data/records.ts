import { readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'

/** One piece of training data: text, some parts of which are to be learned and some only read. */
export type TrainingRecord =
  | { kind: 'text'; text: string }
  | { kind: 'completion'; parts: { text: string; learned: boolean }[]; prompt: string }

/** How a source's records are written. */
export type DataFormat = 'txt' | 'jsonl'

/** A line that cannot be used, and why. */
export interface BadLine {
  line: number
  reason: string
}

/** What a source holds. */
export interface SourceRecords {
  records: TrainingRecord[]
  badLines: BadLine[]
  bytes: number
  /** The whole file, as text. */
  text: string
}

/** Names of fields that a source uses in place of `text`, `prompt`, `completion` and `messages`. */
export type FieldMapping = Partial<Record<FieldName, string>>

/** The fields that a JSONL record can have. */
export const FIELD_NAMES = ['text', 'prompt', 'completion', 'messages'] as const

export type FieldName = (typeof FIELD_NAMES)[number]

/** The largest file that is read, in bytes: all of it is held in memory. */
export const FILE_BYTES_MAX = 256 * 1024 * 1024

/** What each line of a JSONL file must be. */
export const EXPECTED_RECORD =
  'expected a JSON object with "text", with "prompt" and "completion", or with "messages" [{"role", "content"}]'

/** The format of a file: as given, else by its name's ending. Null where neither says. */
export function formatOf(path: string, given: string): DataFormat | null {
  const format = given || path.slice(path.lastIndexOf('.') + 1)
  const known: { [name: string]: DataFormat } = { txt: 'txt', text: 'txt', jsonl: 'jsonl', ndjson: 'jsonl', json_lines: 'jsonl' }
  return known[format.toLowerCase()] ?? null
}

/** Reads a source's records. Throws an Error where the file is missing, too large or not readable; bad lines are returned, not thrown. */
export function readSource(path: string, format: DataFormat, mapping: FieldMapping = {}): SourceRecords {
  const { size } = statSync(path)
  if (size > FILE_BYTES_MAX) throw new Error(`${basename(path)} has ${size} bytes; the embedded trainer reads at most ${FILE_BYTES_MAX}`)
  const text = readFileSync(path, 'utf8').replace(/^\uFEFF/, '')
  if (text.includes('\u0000')) throw new Error(`${basename(path)} is not a text file: it has a NUL byte at ${text.indexOf('\u0000')}`)
  return { bytes: size, text, ...(format === 'txt' ? readText(text) : readJsonLines(text, mapping)) }
}

/** Longer documents of plain text are cut at white space into documents of their own, so that a long file can be split and shuffled. */
export const DOCUMENT_CHARACTERS_MAX = 2000

/** Documents of plain text are divided by blank lines. */
export function readText(text: string): Pick<SourceRecords, 'records' | 'badLines'> {
  const documents = text.replaceAll('\r\n', '\n').split(/\n[ \t]*\n+/)
  const pieces = documents.flatMap((document) => cutText(document.trim(), DOCUMENT_CHARACTERS_MAX)).filter((piece) => piece !== '')
  const records = pieces.map((piece) => ({ kind: 'text' as const, text: piece }))
  return { records, badLines: [] }
}

/** A record a line; empty lines are skipped. */
export function readJsonLines(text: string, mapping: FieldMapping = {}): Pick<SourceRecords, 'records' | 'badLines'> {
  const records: TrainingRecord[] = []
  const badLines: BadLine[] = []
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    const record = readRecord(line, mapping)
    if (typeof record === 'string') badLines.push({ line: index + 1, reason: record })
    else records.push(record)
  }
  return { records, badLines }
}

function cutText(text: string, max: number): string[] {
  const pieces: string[] = []
  let rest = text
  while (rest.length > max) {
    const space = rest.slice(0, max).search(/\s\S*$/)
    const end = space > max / 2 ? space : max
    pieces.push(rest.slice(0, end))
    rest = rest.slice(end).trimStart()
  }
  return [...pieces, rest]
}

function readRecord(line: string, mapping: FieldMapping): TrainingRecord | string {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    return `not JSON: ${(error as Error).message}`
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return EXPECTED_RECORD
  const fields = value as Record<string, unknown>
  const field = (name: FieldName): unknown => fields[mapping[name] ?? name]
  const label = (name: FieldName): string => JSON.stringify(mapping[name] ?? name)
  if (field('messages') !== undefined) return readMessages(field('messages'), label('messages'))
  const prompt = field('prompt')
  const completion = field('completion')
  if (prompt !== undefined || completion !== undefined) {
    if (typeof prompt !== 'string') return `${label('prompt')} must be text where there is ${label('completion')}`
    if (typeof completion !== 'string') return `${label('completion')} must be text where there is ${label('prompt')}`
    if (completion === '') return `${label('completion')} is empty`
    const lead = prompt === '' ? '' : `${prompt}\n`
    return {
      kind: 'completion',
      prompt: lead,
      parts: [
        { text: lead, learned: false },
        { text: completion, learned: true },
      ],
    }
  }
  const text = field('text')
  if (text === undefined)
    return `${EXPECTED_RECORD}; found ${
      Object.keys(fields)
        .map((name) => JSON.stringify(name))
        .join(', ') || 'no field'
    }`
  if (typeof text !== 'string') return `${label('text')} must be text`
  return text.trim() === '' ? `${label('text')} is empty` : { kind: 'text', text }
}

/** Messages become lines `role: content`; what the assistant says is learned. */
function readMessages(given: unknown, label: string): TrainingRecord | string {
  if (!Array.isArray(given) || given.length === 0) return `${label} must be a list of {"role", "content"}`
  const parts: { text: string; learned: boolean }[] = []
  let prompt = ''
  for (const [index, message] of given.entries()) {
    const { role, content } = (message ?? {}) as { role?: unknown; content?: unknown }
    if (typeof role !== 'string' || !['system', 'user', 'assistant'].includes(role)) {
      return `${label}[${index}] must have a "role" of system, user or assistant`
    }
    if (typeof content !== 'string' || content === '') return `${label}[${index}] must have a "content" that is text`
    const learned = role === 'assistant'
    if (learned && !parts.some((part) => part.learned)) prompt = `${parts.map((part) => part.text).join('')}${role}: `
    parts.push({ text: `${role}: `, learned: false }, { text: content, learned })
    if (index < given.length - 1) parts.push({ text: '\n', learned })
  }
  return parts.some((part) => part.learned) ? { kind: 'completion', prompt, parts } : `${label} has no assistant message to learn from`
}
