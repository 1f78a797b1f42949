import type { IncomingMessage } from 'node:http'
import { z } from 'zod'
import { InvalidInput } from '../../contract/failure.js'
import { parseInput } from '../operations/parse.js'
import type { Answer, RestCall } from './answer.js'
import type { JsonSchema } from './json-schema.js'
import { parseQuery, type Query, type QueryShape } from './query.js'

/** The methods that routes have. */
export type Method = 'GET' | 'POST' | 'DELETE'

/** What a caller may rely on, as the OpenAPI document tells it. */
export interface RouteText {
  /** One line. */
  summary: string
  /** Further sentences. */
  description?: string
  /** The `data` of a success. */
  data: JsonSchema
  /** The status of a success. Default 200. */
  status?: 200 | 201
  /** The `data` of a server-sent event, where the route streams (for `/events`: where that is asked for). */
  frames?: JsonSchema
  /** Whether it takes an `Idempotency-Key`. */
  idempotent?: boolean
}

/** A method and a path below `/v1/modules/scaimind`, and what they do. Who may is decided by the operation. */
export interface Route extends RouteText {
  method: Method
  /** `{id}` stands for one segment. */
  path: string
  query: QueryShape
  /** The JSON body; null: none; 'bytes': any, as it is. */
  body: z.ZodType | 'bytes' | null
  answer(call: RestCall, search: URLSearchParams, request: RequestBody): Promise<Answer>
}

/** The body of a request, read only where the route wants it. */
export interface RequestBody {
  /** Undefined where there is no body. */
  json(): Promise<unknown>
  bytes: IncomingMessage
}

/** A route that reads. */
export function get<Shape extends QueryShape>(
  path: string,
  { query, ...text }: RouteText & { query?: Shape },
  answer: (call: RestCall, query: Query<Shape>) => Promise<Answer>,
): Route {
  const shape = query ?? ({} as Shape)
  return { ...text, method: 'GET', path, query: shape, body: null, answer: async (call, search) => answer(call, parseQuery(shape, search)) }
}

/** A route that does something. An absent body counts as an empty one. */
export function post<Schema extends z.ZodType, Shape extends QueryShape>(
  path: string,
  { body, query, ...text }: RouteText & { body: Schema; query?: Shape },
  answer: (call: RestCall, body: z.output<Schema>, query: Query<Shape>) => Promise<Answer>,
): Route {
  const shape = query ?? ({} as Shape)
  return {
    ...text,
    method: 'POST',
    path,
    query: shape,
    body,
    async answer(call, search, request) {
      const wanted = parseQuery(shape, search)
      return answer(call, parseBody(body, await request.json()), wanted)
    },
  }
}

/** The same where the operation itself checks the body, by the schema that is told here. */
export function postAsIs<Shape extends QueryShape>(
  path: string,
  text: RouteText & { body: z.ZodType; query?: Shape },
  answer: (call: RestCall, body: unknown, query: Query<Shape>) => Promise<Answer>,
): Route {
  return { ...post(path, { ...text, body: z.unknown() }, answer), body: text.body }
}

/** A route that takes the bytes of its body as they come. */
export function postBytes<Shape extends QueryShape>(
  path: string,
  { query, ...text }: RouteText & { query: Shape },
  answer: (call: RestCall, bytes: IncomingMessage, query: Query<Shape>) => Promise<Answer>,
): Route {
  return {
    ...text,
    method: 'POST',
    path,
    query,
    body: 'bytes',
    answer: async (call, search, request) => answer(call, request.bytes, parseQuery(query, search)),
  }
}

/** A route that removes something. */
export function remove(path: string, text: RouteText, answer: (call: RestCall) => Promise<Answer>): Route {
  return {
    ...text,
    method: 'DELETE',
    path,
    query: {},
    body: null,
    async answer(call, search) {
      parseQuery({}, search)
      return answer(call)
    },
  }
}

function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown = {}): z.output<Schema> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new InvalidInput([{ path: 'body', message: 'The body must be a JSON object.' }])
  }
  return parseInput(schema, body)
}
