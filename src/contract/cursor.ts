import { Failure } from './failure.js'

/** What a cursor points into. */
export type CursorKind = 'metrics' | 'logs' | 'events' | 'cluster'

/** A place in a stream: the record after which the stream goes on. */
export interface Cursor {
  kind: CursorKind
  /** The job's id; for events and the cluster the tenant, or `*` for all. */
  topic: string
  /** Attempt number, from 1; 0 for events; for the cluster the life of the coordinator that it is of. */
  attempt: number
  /** Number of the record within kind, topic and attempt; -1: before the first. */
  sequence: number
}

const version = 1
const kinds: Record<CursorKind, string> = { metrics: 'm', logs: 'l', events: 'e', cluster: 'c' }
const kindOf = new Map(Object.entries(kinds).map(([kind, letter]) => [letter, kind as CursorKind]))

/** The cursor as callers see it: base64url of version, kind, topic, attempt and sequence. */
export function formatCursor({ kind, topic, attempt, sequence }: Cursor): string {
  return Buffer.from(`${version}.${kinds[kind]}.${topic}.${attempt}.${sequence}`).toString('base64url')
}

/** Reads a caller's cursor. Throws CURSOR_INVALID where it is malformed or belongs to another kind or topic. */
export function parseCursor(text: string, kind: CursorKind, topic: string): Cursor {
  const plain = Buffer.from(text, 'base64url').toString()
  const match = /^1\.([mlec])\.([A-Za-z0-9_*-]{1,64})\.(\d{1,15})\.(-1|\d{1,15})$/.exec(plain)
  const [, letter = '', place = '', attempt = '', sequence = ''] = match ?? []
  const cursor = { kind: kindOf.get(letter) ?? kind, topic: place, attempt: Number(attempt), sequence: Number(sequence) }
  if (!match || formatCursor(cursor) !== text) {
    throw new Failure('CURSOR_INVALID', 'after: this is not a cursor; pass one that a message of this stream carried.')
  }
  if (cursor.kind !== kind || cursor.topic !== topic) {
    throw new Failure(
      'CURSOR_INVALID',
      `after: this cursor belongs to the ${cursor.kind} of ${cursor.topic}, not to the ${kind} of ${topic}.`,
    )
  }
  return cursor
}

/** Negative where `a` lies before `b` in one stream. */
export function compareCursors(a: Pick<Cursor, 'attempt' | 'sequence'>, b: Pick<Cursor, 'attempt' | 'sequence'>): number {
  return a.attempt - b.attempt || a.sequence - b.sequence
}
