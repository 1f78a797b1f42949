import { z } from 'zod'
import { type Code, codes } from '../../contract/codes.js'
import { whoMay } from '../auth/who-may.js'
import { type JsonSchema, objectOf, textOf } from './json-schema.js'
import { fieldComments, messageSchemas } from './message-schemas.js'
import { parameterText } from './query.js'
import type { Route } from './route.js'

interface DocumentOptions {
  /** `/v1/modules/scaimind`. */
  base: string
  version: string
}

/** The OpenAPI 3.1 document of the routes, from the very schemas that requests are checked with and that answers are written by. */
export function openApiDocument(routes: readonly Route[], { base, version }: DocumentOptions): JsonSchema {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operationOf(route) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'ScaiMind',
      version,
      description:
        'The training control plane over REST. Every answer has the envelope `{"status", "data" | "error", "meta": {"request_id"}}`. Fields are always there; what is unset is null. ' +
        'Live routes answer server-sent events: `id` is a cursor for `Last-Event-ID`, a fault in mid-stream is `event: error`, records that are gone are `event: gap`, and the last line is `data: [DONE]`.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: base }],
    security: [{ bearer: [] }],
    tags: tagNames.map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An API key (`sgk_…`) or a ScaiKey JWT.' },
      },
      parameters: { tenant, requestId, idempotencyKey, lastEventId },
      responses: { Refused: refused },
      schemas: { ...messageSchemas(namedIn(paths)), Meta: meta, Error: error },
    },
  }
}

const tagNames = ['Jobs', 'Evaluations', 'Cluster', 'Data']

function tagOf(path: string): string {
  if (path.startsWith('/jobs')) return 'Jobs'
  if (path.startsWith('/evaluations')) return 'Evaluations'
  return path.startsWith('/data') ? 'Data' : 'Cluster'
}

const meta: JsonSchema = {
  type: 'object',
  properties: {
    request_id: textOf('Also in the header `x-request-id`; a valid one of the caller is kept.'),
    stale: { type: 'boolean', description: 'True where the coordinator is away and this is from the cache; else left out.' },
    synced_at: { type: ['string', 'null'], format: 'date-time', description: 'With `stale`: when the copy was written.' },
  },
  required: ['request_id'],
  additionalProperties: false,
}

const error: JsonSchema = {
  type: 'object',
  properties: {
    code: {
      type: 'string',
      enum: Object.keys(codes),
      description: Object.entries(codes)
        .map(([code, { http, meaning }]) => `\`${code}\` (${http}): ${meaning}`)
        .join('\n\n'),
    },
    message: textOf('For people.'),
    retry_after: { type: 'number', description: 'Seconds after which to try again; also the header `Retry-After`.' },
    details: {
      type: 'array',
      items: objectOf({ field: textOf('Its path: `training_config.base_model.model_id`.'), message: textOf('What would be right.') }),
      description: 'Every field that is wrong; for JOB_STATE_CONFLICT `state` and `allowed_from`.',
    },
  },
  required: ['code', 'message'],
  additionalProperties: false,
}

const refused: JsonSchema = {
  description: 'Refused, or a fault; `error.code` says which.',
  headers: {
    'x-request-id': { schema: { type: 'string' } },
    'retry-after': { schema: { type: 'integer' }, description: 'Whole seconds; where trying again may help.' },
  },
  content: {
    'application/json': {
      schema: objectOf({
        status: { const: 'error' },
        error: { $ref: '#/components/schemas/Error' },
        meta: { $ref: '#/components/schemas/Meta' },
      }),
    },
  },
}

const headerOf = (name: string, description: string, schema: JsonSchema = { type: 'string' }) => ({
  name,
  in: 'header',
  description,
  schema,
})

const tenant = headerOf('x-scaigrid-tenant', 'The tenant to act for, where it is not the caller’s own: for partner and super admins.')
const requestId = headerOf('x-request-id', '1 to 128 characters of `A-Z a-z 0-9 . _ : -`; made where it is absent.')
const idempotencyKey = headerOf('Idempotency-Key', 'A repeat with the same key answers the first answer; kept 7 days.', {
  type: 'string',
  minLength: 1,
  maxLength: 255,
})
const lastEventId = headerOf('Last-Event-ID', 'The `id` of the last event seen: the stream goes on with the next.')

const parameterRef = (name: string) => ({ $ref: `#/components/parameters/${name}` })

function operationOf(route: Route): JsonSchema {
  const { method, path, summary, description, idempotent, frames } = route
  const needs = needsOf(route)
  return {
    operationId: operationId(route),
    summary,
    description: [description, `Needs ${needs.length === 0 ? 'any key' : needs.map((permission) => `\`${permission}\``).join(' or ')}.`]
      .filter(Boolean)
      .join(' '),
    tags: [tagOf(path)],
    parameters: [
      ...(path.includes('{id}') ? [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }] : []),
      ...Object.entries(route.query).map(([name, schema]) => parameterOf(name, schema)),
      ...(frames ? [parameterRef('lastEventId')] : []),
      ...(idempotent ? [parameterRef('idempotencyKey')] : []),
      parameterRef('tenant'),
      parameterRef('requestId'),
    ],
    ...(route.body ? { requestBody: bodyOf(route) } : {}),
    responses: {
      [String(route.status ?? 200)]: successOf(route),
      ...(method === 'POST' && path === '/jobs' ? { 200: successOf(route) } : {}),
      ...Object.fromEntries(statusesOf(route).map((status) => [status, { $ref: '#/components/responses/Refused' }])),
    },
  }
}

/** The permissions that the table of who may demands of a route. */
function needsOf({ method, path }: Route): readonly string[] {
  const row = Object.values(whoMay).find(({ rest }) => (rest as readonly string[]).includes(`${method} ${path}`))
  if (!row) throw new Error(`${method} ${path} is missing in the table of who may.`)
  return row.needs
}

/** `POST /jobs/{id}/cancel` → `postJobsIdCancel`. */
const operationId = ({ method, path }: Route) =>
  method.toLowerCase() +
  path
    .split(/[^a-z]+/)
    .filter(Boolean)
    .map((word) => word[0]?.toUpperCase() + word.slice(1))
    .join('')

function parameterOf(name: string, schema: z.ZodType): JsonSchema {
  const { json, description, required } = parameterText(schema)
  // A family of parameters, such as `label.<key>`: OpenAPI knows them as the keys of a form object.
  if (name.endsWith('*')) {
    const prefixed = {
      type: 'object',
      patternProperties: { [`^${name.slice(0, -1).replace('.', '\\.')}`]: json },
      additionalProperties: false,
    }
    return { name: name.slice(0, -2), in: 'query', description, style: 'form', explode: true, schema: prefixed }
  }
  return { name, in: 'query', description, required, schema: json, ...(json.type === 'array' ? { style: 'form', explode: true } : {}) }
}

function bodyOf(route: Route): JsonSchema {
  if (route.body === 'bytes' || !route.body) {
    return { required: true, content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } } }
  }
  const schema = jsonSchemaOf(route.body)
  const comments = fieldComments(
    route.path === '/jobs' ? 'JobSpec' : route.path === '/evaluations' ? 'SubmitEvaluationRequest' : 'ValidateSourcesRequest',
  )
  const isRequired = Array.isArray(schema.required) && schema.required.length > 0
  return { required: isRequired, content: { 'application/json': { schema: withComments(schema, '', comments) } } }
}

/** What a body may be, as JSON Schema: what is transformed is told as it is sent. */
function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema }) {
      // Times come as text; that our own doors may hand a Date is nothing to callers.
      if (zodSchema._zod.def.type === 'date') Object.assign(jsonSchema, { type: 'string', format: 'date-time' })
    },
  }) as JsonSchema
  return json
}

function withComments(schema: JsonSchema, path: string, comments: Map<string, string>): JsonSchema {
  const properties = schema.properties as Record<string, JsonSchema> | undefined
  const items = schema.items as JsonSchema | undefined
  const comment = comments.get(path)
  return {
    ...schema,
    ...(comment && !schema.description ? { description: comment } : {}),
    // The items of a list have the fields of the list's own message; its comment is the list's.
    ...(items ? { items: withComments(items, path, new Map([...comments].filter(([key]) => key !== path))) } : {}),
    ...(properties
      ? {
          properties: Object.fromEntries(
            Object.entries(properties).map(([name, inner]) => [name, withComments(inner, path ? `${path}.${name}` : name, comments)]),
          ),
        }
      : {}),
  }
}

function successOf({ data, frames, status = 200 }: Route): JsonSchema {
  const headers = { 'x-request-id': { schema: { type: 'string' } } }
  const json = {
    schema: objectOf({ status: { const: 'ok' }, data, meta: { $ref: '#/components/schemas/Meta' } }),
  }
  const isStreamOnly = frames && Object.keys(data).length === 0
  return {
    description: status === 201 ? 'Accepted.' : 'Done.',
    headers,
    content: {
      ...(isStreamOnly ? {} : { 'application/json': json }),
      ...(frames
        ? {
            'text/event-stream': {
              schema: {
                type: 'string',
                description: 'Each `data:` is JSON of this shape.',
                contentMediaType: 'application/json',
                contentSchema: frames,
              },
            },
          }
        : {}),
    },
  }
}

const everywhere: Code[] = [
  'AUTH_TOKEN_INVALID',
  'AUTHZ_PERMISSION_DENIED',
  'VALIDATION_ERROR',
  'RATE_LIMITED',
  'INTERNAL_ERROR',
  'COORDINATOR_UNAVAILABLE',
  'BACKEND_TIMEOUT',
]

function statusesOf({ method, path, body, frames }: Route): string[] {
  const named: Code[] = [
    ...everywhere,
    ...(path.includes('{id}') ? (['JOB_NOT_FOUND'] as const) : []),
    ...(method === 'POST' ? (['INVALID_ARGUMENT', 'JOB_STATE_CONFLICT'] as const) : []),
    ...(body ? (['PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'] as const) : []),
    ...(frames ? (['CURSOR_INVALID', 'CURSOR_EXPIRED'] as const) : []),
  ]
  return [...new Set(named.map((code) => String(codes[code].http)))].sort()
}

/** The messages that a document refers to. */
function namedIn(value: unknown): Set<string> {
  const names = [...JSON.stringify(value).matchAll(/#\/components\/schemas\/(\w+)/g)].map(([, name = '']) => name)
  return new Set(names.filter((name) => name !== 'Meta' && name !== 'Error'))
}
