import type { JournalPlace } from './records.js'

/** What a follower is told: records in order, or that the records after `from`, up to and with `to`, are gone. */
export type JournalItem<Entry> = { type: 'batch'; records: Entry[] } | { type: 'gap'; from: JournalPlace; to: JournalPlace; reason: string }

/** Which lines they are, and what becomes of them. */
interface ToItemsOptions<Entry> {
  attempt: number
  /** The number of the first line. */
  firstSequence: number
  /** Lines up to this one are told already. */
  afterSequence: number
  parse: (line: string, place: JournalPlace) => Entry | null
  filter?: ((entry: Entry) => boolean) | undefined
}

const recordsMax = 500
/** Of lines, in characters: about as many bytes on the way. A longer line comes alone. */
const charactersMax = 64 * 1024

/** Lines as batches of records; those that are no record as gaps. */
export function* toItems<Entry>(
  lines: (string | null)[],
  { attempt, firstSequence, afterSequence, parse, filter }: ToItemsOptions<Entry>,
): Generator<JournalItem<Entry>> {
  let records: Entry[] = []
  let characters = 0
  let unreadableFrom: number | null = null
  for (const [index, line] of lines.entries()) {
    const sequence = firstSequence + index
    // The file may be shorter than the place that was asked for.
    if (sequence <= afterSequence) continue
    const entry = line === null ? null : parse(line, { attempt, sequence })
    if (line === null || entry === null) {
      if (records.length > 0) yield { type: 'batch', records }
      records = []
      unreadableFrom ??= sequence
      continue
    }
    if (unreadableFrom !== null) yield unreadable(attempt, unreadableFrom, sequence - 1)
    unreadableFrom = null
    if (filter && !filter(entry)) continue
    if (records.length === recordsMax || (records.length > 0 && characters + line.length > charactersMax)) {
      yield { type: 'batch', records }
      records = []
    }
    characters = records.length === 0 ? line.length : characters + line.length
    records.push(entry)
  }
  if (records.length > 0) yield { type: 'batch', records }
  if (unreadableFrom !== null) yield unreadable(attempt, unreadableFrom, firstSequence + lines.length - 1)
}

function unreadable(attempt: number, from: number, to: number) {
  return gap(attempt, from, to, from === to ? 'A line is not a record.' : `${to - from + 1} lines are not records.`)
}

/** The records with numbers `from` to `to`, both included, are gone. */
export function gap(attempt: number, from: number, to: number, reason: string): Extract<JournalItem<never>, { type: 'gap' }> {
  return { type: 'gap', from: { attempt, sequence: from - 1 }, to: { attempt, sequence: to }, reason }
}
