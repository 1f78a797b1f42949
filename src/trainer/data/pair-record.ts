import { isDeepStrictEqual } from 'node:util'
import type { Fields } from '../job.js'
import { type CompletionRecord, chatOf, completionOf, type FieldMapping, namesOf, type RecordKind, readMessages, textOf } from './record.js'

/** Two answers to the same prompt, of which the one was preferred. */
export interface PairRecord {
  kind: 'pair'
  /** What both answers follow. */
  prompt: string
  chosen: CompletionRecord
  rejected: CompletionRecord
}

/** Preferences, each answer a text or a chat. */
export const PAIR_RECORDS: RecordKind<PairRecord> = {
  expected:
    'expected a record with "chosen" and "rejected", both text or both [{"role", "content"}], and "prompt" of the same form or none',
  read: readPair,
  ofText: null,
  textsOf: ({ chosen, rejected }) => [textOf(chosen), textOf(rejected)],
}

function readPair(fields: Fields, mapping: FieldMapping): PairRecord | string {
  const field = (name: 'prompt' | 'chosen' | 'rejected'): unknown => fields[mapping[name] ?? name]
  const label = (name: 'prompt' | 'chosen' | 'rejected'): string => JSON.stringify(mapping[name] ?? name)
  const [prompt, chosen, rejected] = [field('prompt'), field('chosen'), field('rejected')]
  if (chosen === undefined || rejected === undefined) return `${PAIR_RECORDS.expected}; found ${namesOf(fields)}`
  if (isDeepStrictEqual(chosen, rejected)) return `${label('chosen')} and ${label('rejected')} are the same`
  if (typeof chosen === 'string' && typeof rejected === 'string') {
    if (prompt !== undefined && typeof prompt !== 'string') return `${label('prompt')} must be text where ${label('chosen')} is`
    if (chosen === '') return `${label('chosen')} is empty`
    return rejected === '' ? `${label('rejected')} is empty` : textPair(prompt, chosen, rejected)
  }
  if (!Array.isArray(chosen) || !Array.isArray(rejected)) {
    return `${label('chosen')} and ${label('rejected')} must both be text, or both lists of {"role", "content"}`
  }
  const before = prompt === undefined ? [] : readMessages(prompt, label('prompt'))
  const [better, worse] = [readMessages(chosen, label('chosen')), readMessages(rejected, label('rejected'))]
  if (typeof before === 'string') return before
  if (typeof better === 'string') return better
  if (typeof worse === 'string') return worse
  // Without a prompt, the turns that both begin with are it.
  const differ = better.findIndex((message, index) => !isDeepStrictEqual(message, worse[index]))
  const learnFrom = prompt === undefined ? (differ < 0 ? better.length : differ) : before.length
  const [preferred, other] = [chatOf([...before, ...better], learnFrom), chatOf([...before, ...worse], learnFrom)]
  if (!preferred) return `${label('chosen')} has no assistant message of its own`
  if (!other) return `${label('rejected')} has no assistant message of its own`
  return { kind: 'pair', prompt: preferred.prompt, chosen: preferred, rejected: other }
}

/** Without a prompt, the text that both begin with is it. */
function textPair(prompt: string | undefined, chosen: string, rejected: string): PairRecord {
  const shared = prompt === undefined ? sharedLength(chosen, rejected) : 0
  const lead = prompt === undefined ? chosen.slice(0, shared) : prompt && `${prompt}\n`
  return {
    kind: 'pair',
    prompt: lead,
    chosen: completionOf(lead, chosen.slice(shared)),
    rejected: completionOf(lead, rejected.slice(shared)),
  }
}

function sharedLength(a: string, b: string): number {
  let at = 0
  while (at < a.length && a[at] === b[at]) at++
  // Half a surrogate pair is no text.
  return at > 0 && /[\uD800-\uDBFF]/.test(a[at - 1] as string) ? at - 1 : at
}
