import { readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import type { Fields } from '../job.js'
import { readCsvRows } from './csv.js'
import type { FieldMapping, RecordKind } from './record.js'

/** How a source's records are written. */
export type DataFormat = (typeof DATA_FORMATS)[number]

/** The formats that are read. */
export const DATA_FORMATS = ['jsonl', 'csv', 'txt'] as const

/** A line that cannot be used, and why. */
export interface BadLine {
  line: number
  reason: string
}

/** What a source holds. */
export interface SourceRecords<R> {
  records: R[]
  badLines: BadLine[]
  bytes: number
  /** The whole file, as text. */
  text: string
}

/** The largest file that is read, in bytes: all of it is held in memory. */
export const FILE_BYTES_MAX = 256 * 1024 * 1024

const aliases: { [name: string]: DataFormat } = {
  txt: 'txt',
  text: 'txt',
  jsonl: 'jsonl',
  ndjson: 'jsonl',
  json_lines: 'jsonl',
  csv: 'csv',
}

/** The format of a file: as given, else by its name's ending. Null where neither says. */
export function formatOf(path: string, given: string): DataFormat | null {
  const format = given || path.slice(path.lastIndexOf('.') + 1)
  return aliases[format.toLowerCase()] ?? null
}

/** Reads a source's records. Throws an Error where the file is missing, too large or not readable; bad lines are returned, not thrown. */
export function readSource<R>(path: string, format: DataFormat, kind: RecordKind<R>, mapping: FieldMapping = {}): SourceRecords<R> {
  const { size } = statSync(path)
  if (size > FILE_BYTES_MAX) throw new Error(`${basename(path)} has ${size} bytes; the embedded trainer reads at most ${FILE_BYTES_MAX}`)
  const text = readFileSync(path, 'utf8').replace(/^\uFEFF/, '')
  if (text.includes('\u0000')) throw new Error(`${basename(path)} is not a text file: it has a NUL byte at ${text.indexOf('\u0000')}`)
  if (format === 'txt') {
    if (!kind.ofText) throw new Error(`${basename(path)} is plain text; ${kind.expected}`)
    return { bytes: size, text, records: readText(text).map(kind.ofText), badLines: [] }
  }
  return { bytes: size, text, ...(format === 'csv' ? readCsv : readJsonLines)(text, kind, mapping) }
}

/** Longer documents of plain text are cut at white space into documents of their own, so that a long file can be split and shuffled. */
export const DOCUMENT_CHARACTERS_MAX = 2000

/** Documents of plain text are divided by blank lines. */
export function readText(text: string): string[] {
  const documents = text.replaceAll('\r\n', '\n').split(/\n[ \t]*\n+/)
  return documents.flatMap((document) => cutText(document.trim(), DOCUMENT_CHARACTERS_MAX)).filter((piece) => piece !== '')
}

/** A record a line; empty lines are skipped. */
export function readJsonLines<R>(
  text: string,
  kind: RecordKind<R>,
  mapping: FieldMapping = {},
): Pick<SourceRecords<R>, 'records' | 'badLines'> {
  const records: R[] = []
  const badLines: BadLine[] = []
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    const fields = readObject(line, kind.expected)
    const record = typeof fields === 'string' ? fields : kind.read(fields, mapping)
    if (typeof record === 'string') badLines.push({ line: index + 1, reason: record })
    else records.push(record)
  }
  return { records, badLines }
}

/** A record a row; the first row names the fields. An empty cell is an empty text. */
export function readCsv<R>(text: string, kind: RecordKind<R>, mapping: FieldMapping = {}): Pick<SourceRecords<R>, 'records' | 'badLines'> {
  const [header, ...rows] = readCsvRows(text)
  if (!header) return { records: [], badLines: [] }
  const twice = header.cells.find((name, index) => header.cells.indexOf(name) !== index)
  const reason = header.problem || (twice === undefined ? '' : `the header names ${JSON.stringify(twice)} twice`)
  if (reason) return { records: [], badLines: [{ line: header.line, reason }] }
  const records: R[] = []
  const badLines: BadLine[] = []
  for (const { line, cells, problem } of rows) {
    const mismatch =
      cells.length === header.cells.length ? '' : `the header names ${header.cells.length} cells, and this row has ${cells.length}`
    const fields = Object.fromEntries(header.cells.map((name, index) => [name, cells[index]]))
    const record = problem || mismatch || kind.read(fields, mapping)
    if (typeof record === 'string') badLines.push({ line, reason: record })
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

function readObject(line: string, expected: string): Fields | string {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value !== 'object' || value === null || Array.isArray(value) ? `not a JSON object: ${expected}` : (value as Fields)
  } catch (error) {
    return `not JSON: ${(error as Error).message}`
  }
}
