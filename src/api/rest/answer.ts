import type { IncomingHttpHeaders } from 'node:http'
import type { Caller } from '../auth/viewer.js'
import type { Operations } from '../operations/index.js'
import type { Feed } from '../operations/job-types.js'

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

/** Whether a stream goes on: one that ends where more must follow was cut off. */
export type Rest = 'more' | 'perhaps more' | 'nothing'

/** What a message of a live stream becomes. */
export interface FramedMessage {
  frames: Frame[]
  /** What follows this message. */
  rest: Rest
}

/** A stream of server-sent events. */
export interface StreamAnswer {
  feed: Feed<unknown>
  /** Names what the frames look like: streams of one name are shown the same, wherever they begin. */
  name: string
  frame(message: unknown): FramedMessage
  /** What follows where there is no message yet. */
  rest: Rest
}

/** What a route answers with. */
export type Answer = JsonAnswer | StreamAnswer

/** Answers with a live stream. */
export function stream<Message>(
  feed: Feed<Message>,
  { name, frame, rest = 'more' }: { name: string; frame(message: Message): FramedMessage; rest?: Rest },
): StreamAnswer {
  return { feed, name, frame: frame as StreamAnswer['frame'], rest }
}
