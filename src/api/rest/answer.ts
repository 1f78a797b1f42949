import type { IncomingHttpHeaders } from 'node:http'
import type { Caller } from '../auth/viewer.js'
import type { Operations } from '../operations/index.js'
import type { Live } from '../operations/job-types.js'

/** A request to a known route by a known caller. */
export interface RestCall {
  caller: Caller
  operations: Operations
  headers: IncomingHttpHeaders
  /** What the path names; empty where it names nothing. */
  id: string
}

/** What goes into the envelope, and how fresh it is. */
export interface JsonAnswer {
  /** Default 200. */
  status?: number
  data: unknown
  /** Set where the data may come from the cache. */
  freshness?: { stale: boolean; syncedAt: Date | null }
}

/** One server-sent event. */
export interface Frame {
  /** The cursor that `Last-Event-ID` takes up. */
  id?: string
  /** Unset for records; else `gap` or `error`. */
  event?: string
  /** Written as JSON. */
  data: unknown
}

/** What a message of a live stream becomes. */
export interface FramedMessage {
  frames: Frame[]
  /** Whether the stream is whole where it ends after this message. */
  mayEnd: boolean
}

/** A stream of server-sent events. */
export interface StreamAnswer {
  live: Live<unknown>
  frame(message: unknown): FramedMessage
  /** Whether the stream is whole where it ends before any message. */
  mayBeEmpty: boolean
}

/** What a route answers with. */
export type Answer = JsonAnswer | StreamAnswer

/** Answers with a live stream. */
export function stream<Message>(
  live: Live<Message>,
  frame: (message: Message) => FramedMessage,
  { mayBeEmpty = false }: { mayBeEmpty?: boolean } = {},
): StreamAnswer {
  return { live, frame: frame as StreamAnswer['frame'], mayBeEmpty }
}
