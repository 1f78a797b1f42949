import { basename } from 'node:path'
import { tokenCount } from './data/load.js'
import { PAIR_RECORDS } from './data/pair-record.js'
import { type FieldMapping, type RecordKind, TEXT_RECORDS } from './data/record.js'
import { DATA_FORMATS, type DataFormat, formatOf, readSource } from './data/records.js'

/** A source to look at, as `--inspect` is given it. */
export interface InspectedSource {
  path: string
  /** Empty: by the file's name. */
  format: string
  field_mapping: FieldMapping
  /** What it is for; DPO wants pairs. */
  training_type: string
}

/** What a source holds, as `--inspect` prints it. */
export interface SourceInspection {
  readable: boolean
  records: number
  tokens: number
  /** The first record as text; of a pair the chosen answer, then the rejected. */
  sample: string
  /** The first ones; line 0 is about the whole file. */
  problems: { line: number; message: string }[]
}

const problemsMax = 100
const sampleCharacters = 1000

/** Reads a source to its end, and tells every line that a job could not use. */
export function inspectSource({ path, format, field_mapping: mapping, training_type: type }: InspectedSource): SourceInspection {
  const known = formatOf(path, format)
  if (!known) return unreadable(`${basename(path)} is not in a format that the embedded trainer reads: ${DATA_FORMATS.join(', ')}.`)
  try {
    return type === 'DPO' ? inspectRecords(path, known, PAIR_RECORDS, mapping) : inspectRecords(path, known, TEXT_RECORDS, mapping)
  } catch (error) {
    return unreadable(`${(error as Error).message}.`)
  }
}

function inspectRecords<R>(path: string, format: DataFormat, kind: RecordKind<R>, mapping: FieldMapping): SourceInspection {
  const { records, badLines } = readSource(path, format, kind, mapping)
  const problems = badLines.slice(0, problemsMax).map(({ line, reason }) => ({ line, message: `${reason}.` }))
  if (records.length === 0 && badLines.length === 0) problems.push({ line: 0, message: `There is no usable record: ${kind.expected}.` })
  return {
    readable: true,
    records: records.length,
    tokens: records.reduce((sum, record) => sum + tokenCount(kind.textsOf(record)), 0),
    sample: records[0] ? kind.textsOf(records[0]).join('\n\n').slice(0, sampleCharacters) : '',
    problems,
  }
}

const unreadable = (message: string): SourceInspection => ({
  readable: false,
  records: 0,
  tokens: 0,
  sample: '',
  problems: [{ line: 0, message }],
})
