import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ExecutionResult, GraphQLError } from 'graphql'
import type { Viewer } from '../../auth/viewer.js'
import { type Answers, type Freshness, keepAnswers } from './answers.js'
import { createContext, type ExecutionParts, refusalsOf } from './execution.js'
import { limitRules } from './limits.js'
import { preparedQueries } from './prepared.js'
import type { TrustedDocuments } from './trusted-documents.js'

/** What the short way works with. */
export interface ShortWayParts extends ExecutionParts {
  /** Who calls; null without credentials. */
  viewerOf(request: IncomingMessage): Promise<Viewer | null>
  bodyBytesMax: number
  documents: TrustedDocuments
  freshness: Freshness
}

/** What was done already when a request goes on to Yoga. */
export interface Begun {
  viewer?: Viewer | null | Promise<Viewer | null>
  /** An execution with errors, which Yoga puts into an answer. */
  result?: ExecutionResult
}

interface Made extends Begun {
  answer: string | null
}

const jsonTypes = new Set(['application/json', 'application/json; charset=utf-8', 'application/json;charset=utf-8'])
const json = 'application/json'
const graphqlJson = 'application/graphql-response+json'
/** What widespread clients accept, and what Yoga answers them with. */
const answerTypes = new Map([
  [undefined, json],
  ['*/*', json],
  [json, json],
  [graphqlJson, graphqlJson],
  ['application/graphql-response+json, application/json', graphqlJson],
  ['application/graphql-response+json,application/json;q=0.9', graphqlJson],
])

/**
 * The short way of plain queries: a POST of JSON, a valid query, a known caller and no errors. Such an answer is a line of headers and a body, and Yoga
 * spends more on making a Request and a Response of it than the query costs; measured on one core, `{ __typename }` took 165 µs by Yoga and 45 µs this way.
 * Whatever is not plain goes on to Yoga as it came, with what was done already: Yoga alone knows refusals, errors, and the rest of GraphQL over HTTP.
 * Answers null where the request is answered.
 */
export function shortWay(parts: ShortWayParts) {
  const prepared = preparedQueries(limitRules(parts.limits))
  const answers: Answers<Made> = keepAnswers<Made>(parts.freshness)

  return async (request: IncomingMessage, response: ServerResponse, requestId: string): Promise<Begun | null> => {
    if (!isPlain(request, parts.bodyBytesMax)) return {}
    const body = await readBody(request)
    if (!body) return null
    // Where Yoga finds a body that was read already.
    Object.assign(request, { body })
    const text = body.toString()
    const asked = readParams(text)
    const document = asked && trusted(parts.documents, asked.query)
    const query = document && prepared(document, asked.operationName)
    if (!query) return {}
    const identified = parts.viewerOf(request)
    const viewer = await identified.catch(() => undefined)
    // Who cannot be identified, or asks too much, is told why by Yoga.
    if (viewer === undefined) return { viewer: identified }

    const make = async (): Promise<Made> => {
      const contextValue = createContext(parts, viewer, requestId)
      const args = { document: query.document, operationName: asked.operationName, variableValues: asked.variables, contextValue }
      const refusals = refusalsOf({ ...args, schema: undefined as never }, contextValue)
      if (refusals.length > 0) return { answer: null, result: { errors: refusals } }
      const result = await query.execute(args)
      return result.errors ? { answer: null, result } : { answer: JSON.stringify(result) }
    }
    const made =
      viewer && query.isOfCachedJobs ? await answers.get(viewer.tenantId, `${permissionsOf(viewer)}\n${text}`, make) : await make()
    if (!made.answer) return { viewer, ...(made.result ? { result: made.result } : {}) }
    send(request, response, made.answer)
    return null
  }
}

function isPlain({ method, url, headers }: IncomingMessage, bodyBytesMax: number): boolean {
  const length = Number(headers['content-length'] ?? Number.NaN)
  return (
    method === 'POST' &&
    url === '/graphql' &&
    jsonTypes.has(headers['content-type'] ?? '') &&
    answerTypes.has(headers.accept) &&
    length > 0 &&
    length <= bodyBytesMax &&
    headers['content-encoding'] === undefined &&
    headers.expect === undefined &&
    headers['access-control-request-headers'] === undefined &&
    headers['access-control-request-method'] === undefined
  )
}

/** The body; undefined where the client went away. */
function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)))
    request.on('close', () => resolve(undefined))
    request.on('error', () => resolve(undefined))
  })
}

interface Params {
  query: string
  operationName?: string | null
  variables?: Record<string, unknown> | null
}

/** What is asked for, where it is nothing but a query, its variables and its name. */
function readParams(text: string): Params | undefined {
  try {
    const read = JSON.parse(text) as Params | null
    if (read === null || typeof read !== 'object' || typeof read.query !== 'string') return undefined
    const { query: _query, operationName, variables, ...others } = read
    const isObject = variables == null || (typeof variables === 'object' && !Array.isArray(variables))
    const isNamed = operationName == null || typeof operationName === 'string'
    return isObject && isNamed && Object.keys(others).length === 0 ? read : undefined
  } catch {
    return undefined
  }
}

function trusted(documents: TrustedDocuments, query: string): string | undefined {
  try {
    return documents.textFor({ query })
  } catch (error) {
    if (error instanceof GraphQLError) return undefined
    throw error
  }
}

const permissionTexts = new WeakMap<Viewer['permissions'], string>()

function permissionsOf({ permissions }: Viewer): string {
  const known = permissionTexts.get(permissions)
  if (known !== undefined) return known
  const text = [...permissions].sort().join(' ')
  permissionTexts.set(permissions, text)
  return text
}

function send({ headers }: IncomingMessage, response: ServerResponse, answer: string): void {
  const { origin } = headers
  response.writeHead(200, {
    'Content-Type': `${answerTypes.get(headers.accept)}; charset=utf-8`,
    'content-length': Buffer.byteLength(answer),
    ...(origin === undefined
      ? {}
      : { 'access-control-allow-origin': origin, vary: 'Origin', 'access-control-expose-headers': 'x-request-id, retry-after' }),
  })
  response.end(answer)
}
