import { basename } from 'node:path'
import { tokenCount } from './data/load.js'
import { type FieldMapping, TEXT_RECORDS } from './data/record.js'
import { formatOf, readSource } from './data/records.js'

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
  /** The first record as text. */
  sample: string
  /** The first ones; line 0 is about the whole file. */
  problems: { line: number; message: string }[]
}

const problemsMax = 100
const sampleCharacters = 1000
const expectedPair = 'expected a JSON object with "prompt", "chosen" and "rejected"'

/** Reads a source to its end, and tells every line that a job could not use. */
export function inspectSource({ path, format, field_mapping: mapping, training_type: type }: InspectedSource): SourceInspection {
  const known = formatOf(path, format)
  if (!known) return unreadable(`${basename(path)} is not in a format that the embedded trainer reads: jsonl or txt.`)
  try {
    const { records, badLines, text } = readSource(path, known, TEXT_RECORDS, mapping)
    if (type === 'DPO') return known === 'txt' ? unreadable(`DPO needs pairs: ${expectedPair} a line.`) : inspectPairs(text)
    const problems = badLines.slice(0, problemsMax).map(({ line, reason }) => ({ line, message: `${reason}.` }))
    if (records.length === 0 && badLines.length === 0)
      problems.push({ line: 0, message: `There is no usable record: ${TEXT_RECORDS.expected}.` })
    return {
      readable: true,
      records: records.length,
      tokens: records.reduce((sum, record) => sum + tokenCount(TEXT_RECORDS.textsOf(record)), 0),
      sample: records[0] ? TEXT_RECORDS.textsOf(records[0]).join('').slice(0, sampleCharacters) : '',
      problems,
    }
  } catch (error) {
    return unreadable(`${(error as Error).message}.`)
  }
}

/** Records of preferences; the embedded trainer does not learn from them, but can say whether they are whole. */
function inspectPairs(text: string): SourceInspection {
  const found: SourceInspection = { readable: true, records: 0, tokens: 0, sample: '', problems: [] }
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    const reason = problemOfPair(line)
    if (reason) {
      if (found.problems.length < problemsMax) found.problems.push({ line: index + 1, message: `${reason}.` })
      continue
    }
    found.records++
    found.tokens += Buffer.byteLength(line)
    found.sample ||= line.slice(0, sampleCharacters)
  }
  if (found.records === 0 && found.problems.length === 0)
    found.problems.push({ line: 0, message: `There is no usable record: ${expectedPair}.` })
  return found
}

function problemOfPair(line: string): string | null {
  try {
    const { chosen, rejected } = JSON.parse(line) as { chosen?: unknown; rejected?: unknown }
    return chosen && rejected && typeof chosen === typeof rejected ? null : expectedPair
  } catch (error) {
    return `not JSON: ${(error as Error).message}`
  }
}

const unreadable = (message: string): SourceInspection => ({
  readable: false,
  records: 0,
  tokens: 0,
  sample: '',
  problems: [{ line: 0, message }],
})
