import { z } from 'zod'
import { Failure, InvalidInput } from '../../contract/failure.js'
import { parseInput } from '../operations/parse.js'
import type { Answer, RestCall } from './answer.js'
import { parseQuery, type Query, type QueryShape } from './query.js'

/** The methods that routes have. */
export type Method = 'GET' | 'POST' | 'DELETE'

/** A method and a path below `/v1/modules/scaimind`, and what they do. Who may is decided by the operation. */
export interface Route {
  method: Method
  /** `{id}` stands for one segment. */
  path: string
  /** Parses, calls one operation, shapes. `readBody` answers undefined where there is no body. */
  answer(call: RestCall, search: URLSearchParams, readBody: () => Promise<unknown>): Promise<Answer>
}

/** A route that reads. */
export function get<Shape extends QueryShape>(
  path: string,
  shape: Shape,
  answer: (call: RestCall, query: Query<Shape>) => Promise<Answer>,
): Route {
  return { method: 'GET', path, answer: async (call, search) => answer(call, parseQuery(shape, search)) }
}

/** A route that does something. An absent body counts as an empty one. */
export function post<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
  answer: (call: RestCall, body: z.output<Schema>) => Promise<Answer>,
): Route {
  return {
    method: 'POST',
    path,
    async answer(call, search, readBody) {
      parseQuery({}, search)
      return answer(call, parseBody(schema, await readBody()))
    },
  }
}

/** A route of the contract that nothing stands behind yet. */
export function notImplemented(method: Method, path: string, what: string): Route {
  return {
    method,
    path,
    async answer() {
      throw new Failure('NOT_IMPLEMENTED', `${what} cannot be done through this API yet.`)
    },
  }
}

/** A body whose fields the operation checks. */
export const unchecked = z.unknown()

function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown = {}): z.output<Schema> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new InvalidInput([{ path: 'body', message: 'The body must be a JSON object.' }])
  }
  return parseInput(schema, body)
}
