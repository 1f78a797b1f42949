import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { expect } from 'vitest'
import { openApiDocument } from '../../src/api/rest/openapi.js'
import { restBase, routes } from '../../src/api/rest/router.js'

/** The document that callers are given. */
export const document = openApiDocument(routes, { base: restBase, version: '0.0.0' }) as {
  paths: Record<string, Record<string, Operation>>
  components: Record<string, Record<string, unknown>>
  [part: string]: unknown
}

interface Operation {
  operationId: string
  summary: string
  description: string
  parameters: { $ref?: string; name?: string; description?: string }[]
  // biome-ignore lint/suspicious/noExplicitAny: walked as JSON
  requestBody?: any
  // biome-ignore lint/suspicious/noExplicitAny: walked as JSON
  responses: Record<string, any>
}

const ajv = new Ajv2020({ strict: false, allErrors: true })
addFormats.default(ajv)
ajv.addFormat('int64', true)
ajv.addFormat('binary', true)
ajv.addSchema({ ...document, $id: 'openapi' })

const pointer = (...parts: string[]) =>
  `openapi#/${parts
    .map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1'))
    .map(encodeURIComponent)
    .join('/')}`

/** The path of the document that a request's path is of; undefined where there is none. */
export function documentedPath(path: string): string | undefined {
  const plain = path.split('?')[0] ?? ''
  const given = plain.split('/')
  return Object.keys(document.paths)
    .filter((known) => known.split('/').length === given.length)
    .sort((a, b) => a.split('{id}').length - b.split('{id}').length)
    .find((known) => known.split('/').every((part, index) => part === '{id}' || part === given[index]))
}

function expectToFit(schemaAt: string[], value: unknown, what: string): void {
  const validate = ajv.getSchema(pointer(...schemaAt))
  if (!validate) throw new Error(`The document has no schema at ${schemaAt.join('/')}.`)
  validate(value)
  const problems = (validate.errors ?? []).map(
    ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
  )
  expect(problems, what).toEqual([])
}

/** Holds an answer in JSON to the document, field by field. Routes that are not there answer as the contract says, too. */
export function expectDocumentedAnswer(method: string, path: string, status: number, body: unknown): void {
  const what = `${method} ${path} answered ${status}`
  const known = documentedPath(path)
  if (status >= 400) {
    expectToFit(['components', 'responses', 'Refused', 'content', 'application/json', 'schema'], body, what)
    return
  }
  if (!known) throw new Error(`${what}, which the document does not know.`)
  expectToFit(['paths', known, method.toLowerCase(), 'responses', String(status), 'content', 'application/json', 'schema'], body, what)
}

/** Holds the data of a server-sent event to the document. */
export function expectDocumentedFrame(path: string, data: unknown): void {
  const known = documentedPath(path)
  if (!known) throw new Error(`The document does not know ${path}.`)
  expectToFit(
    ['paths', known, 'get', 'responses', '200', 'content', 'text/event-stream', 'schema', 'contentSchema'],
    data,
    `an event of ${path}`,
  )
}

/** Holds a body that was accepted to the document. */
export function expectDocumentedBody(path: string, body: unknown): void {
  const known = documentedPath(path)
  if (!known) throw new Error(`The document does not know ${path}.`)
  expectToFit(['paths', known, 'post', 'requestBody', 'content', 'application/json', 'schema'], body, `the body of ${path}`)
}
