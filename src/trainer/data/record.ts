import type { Fields } from '../job.js'

/** One piece of training data: text, or parts of which some are to be learned and some only read. */
export type TrainingRecord = { kind: 'text'; text: string } | CompletionRecord

/** Parts in the order of reading; `prompt` is what precedes the first that is learned. */
export interface CompletionRecord {
  kind: 'completion'
  parts: { text: string; learned: boolean }[]
  prompt: string
}

/** Names of fields that a source uses in place of ours. */
export type FieldMapping = Partial<Record<FieldName, string>>

/** The fields that a record can have. */
export const FIELD_NAMES = ['text', 'prompt', 'completion', 'messages', 'chosen', 'rejected'] as const

export type FieldName = (typeof FIELD_NAMES)[number]

/** A kind of record: how one is made. */
export interface RecordKind<R> {
  /** What each record must have. */
  expected: string
  /** The record that some fields make, or why they make none. */
  read(fields: Fields, mapping: FieldMapping): R | string
  /** The record that plain text makes; null where it makes none of this kind. */
  ofText: ((text: string) => R) | null
  /** What a record spells, a text for each sequence that a model reads of it. */
  textsOf(record: R): string[]
}

/** Text, prompts with completions, and chats. */
export const TEXT_RECORDS: RecordKind<TrainingRecord> = {
  expected: 'expected a record with "text", with "prompt" and "completion", or with "messages" [{"role", "content"}]',
  read: readRecord,
  ofText: (text) => ({ kind: 'text', text }),
  textsOf: (record) => [textOf(record)],
}

/** The whole text of a record. */
export function textOf(record: TrainingRecord): string {
  return record.kind === 'text' ? record.text : record.parts.map(({ text }) => text).join('')
}

function readRecord(fields: Fields, mapping: FieldMapping): TrainingRecord | string {
  const field = (name: FieldName): unknown => fields[mapping[name] ?? name]
  const label = (name: FieldName): string => JSON.stringify(mapping[name] ?? name)
  if (field('messages') !== undefined) {
    const messages = readMessages(field('messages'), label('messages'))
    return typeof messages === 'string' ? messages : (chatOf(messages) ?? `${label('messages')} has no assistant message to learn from`)
  }
  const prompt = field('prompt')
  const completion = field('completion')
  if (prompt !== undefined || completion !== undefined) {
    if (typeof prompt !== 'string') return `${label('prompt')} must be text where there is ${label('completion')}`
    if (typeof completion !== 'string') return `${label('completion')} must be text where there is ${label('prompt')}`
    return completion === '' ? `${label('completion')} is empty` : completionOf(prompt === '' ? '' : `${prompt}\n`, completion)
  }
  const text = field('text')
  if (text === undefined) return `${TEXT_RECORDS.expected}; found ${namesOf(fields)}`
  if (typeof text !== 'string') return `${label('text')} must be text`
  return text.trim() === '' ? `${label('text')} is empty` : { kind: 'text', text }
}

/** The names of a record's fields, for a message. */
export function namesOf(fields: Fields): string {
  const names = Object.keys(fields).map((name) => JSON.stringify(name))
  return names.join(', ') || 'no field'
}

/** A prompt as it is, and the completion that is to be learned. */
export function completionOf(prompt: string, completion: string): CompletionRecord {
  return {
    kind: 'completion',
    prompt,
    parts: [
      { text: prompt, learned: false },
      { text: completion, learned: true },
    ],
  }
}

/** A turn of a chat. */
export interface Message {
  role: string
  content: string
}

/** The messages in a field, or what is wrong with them; `label` names the field. */
export function readMessages(given: unknown, label: string): Message[] | string {
  if (!Array.isArray(given) || given.length === 0) return `${label} must be a list of {"role", "content"}`
  for (const [index, message] of given.entries()) {
    const { role, content } = (message ?? {}) as { role?: unknown; content?: unknown }
    if (typeof role !== 'string' || !['system', 'user', 'assistant'].includes(role)) {
      return `${label}[${index}] must have a "role" of system, user or assistant`
    }
    if (typeof content !== 'string' || content === '') return `${label}[${index}] must have a "content" that is text`
  }
  return given as Message[]
}

/** Messages become lines `role: content`; what the assistant says is learned, from message `learnFrom` on. Null where it says nothing there. */
export function chatOf(messages: readonly Message[], learnFrom = 0): CompletionRecord | null {
  const parts: CompletionRecord['parts'] = []
  let prompt: string | null = null
  for (const [index, { role, content }] of messages.entries()) {
    const learned = role === 'assistant' && index >= learnFrom
    if (learned) prompt ??= `${parts.map((part) => part.text).join('')}${role}: `
    parts.push({ text: `${role}: `, learned: false }, { text: content, learned })
    if (index < messages.length - 1) parts.push({ text: '\n', learned })
  }
  return prompt === null ? null : { kind: 'completion', prompt, parts }
}
