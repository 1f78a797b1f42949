import { once } from 'node:events'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { shortWay } from '../../../src/api/graphql/door/short-way.js'
import { trustedDocuments } from '../../../src/api/graphql/door/trusted-documents.js'
import type { Operations } from '../../../src/api/operations/index.js'
import { type ApiUnderTest, callerOf, eventually, silent, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

let under: ApiUnderTest
let tenant: TenantUnderTest
beforeAll(async () => {
  under = await startApiUnderTest({ SCAIMIND_MAX_DEPTH: '5', SCAIMIND_MAX_BODY_BYTES: '4000' })
  tenant = await under.tenant()
  under.stub.addJob(tenant.id, { name: 'naïve 🦊' })
  await eventually(async () => (await tenant.graphql('{ jobs { nodes { name } } }')).data.jobs.nodes.length === 1)
})
afterAll(() => under?.close())

interface Plain {
  body: string
  headers?: Record<string, string>
}
const query = (text: string, others: object = {}) => JSON.stringify({ query: text, ...others })
const list = query('query ($n: Int) { jobs(first: $n) { nodes { name status } } }', { variables: { n: 1 } })

/** What a request is answered, but for what differs from one to the next. */
async function answered(path: string, { body, headers = {} }: Plain) {
  const authorization = `Bearer ${tenant.key}`
  const given = Object.fromEntries(
    Object.entries({ 'content-type': 'application/json', authorization, ...headers }).filter(([, value]) => value),
  )
  const response = await fetch(`${under.api.url}${path}`, {
    method: 'POST',
    headers: { ...given, 'x-request-id': 'req_0123456789abcdef' },
    body,
  })
  const { date: _date, ...rest } = Object.fromEntries(response.headers)
  return { status: response.status, headers: rest, body: await response.text() }
}

const cases: [string, Plain][] = [
  ['a list', { body: list }],
  ['a list, again', { body: list }],
  ['the type’s name', { body: query('{ __typename }') }],
  ['accept: application/json', { body: list, headers: { accept: 'application/json' } }],
  ['accept: anything', { body: list, headers: { accept: '*/*' } }],
  ['accept: GraphQL’s own type', { body: list, headers: { accept: 'application/graphql-response+json' } }],
  ['accept: as Apollo does', { body: list, headers: { accept: 'application/graphql-response+json,application/json;q=0.9' } }],
  ['accept: GraphQL’s own type or JSON', { body: list, headers: { accept: 'application/graphql-response+json, application/json' } }],
  ['accept: what there is not', { body: list, headers: { accept: 'image/png' } }],
  ['from another origin', { body: list, headers: { origin: 'https://console.example' } }],
  ['a content type with its character set', { body: list, headers: { 'content-type': 'application/json; charset=utf-8' } }],
  ['another content type', { body: list, headers: { 'content-type': 'text/plain' } }],
  ['no key', { body: list, headers: { authorization: '' } }],
  ['no key, and only the schema asked for', { body: query('{ __schema { queryType { name } } }'), headers: { authorization: '' } }],
  ['a wrong key', { body: list, headers: { authorization: `Bearer sgk_${'x'.repeat(43)}` } }],
  ['another tenant’s name', { body: list, headers: { 'x-scaigrid-tenant': 'other' } }],
  ['a job that is not there', { body: query('{ job(jobId: "job_01arz3ndektsv4rrffq69g5fav") { name } }') }],
  ['an answer with some errors', { body: query('{ jobs { nodes { name } } job(jobId: "job_01arz3ndektsv4rrffq69g5fav") { name } }') }],
  ['a page that is too large', { body: query('{ jobs(first: 1000) { nodes { name } } }') }],
  ['a variable of the wrong type', { body: query('query ($n: Int) { jobs(first: $n) { nodes { name } } }', { variables: { n: 'many' } }) }],
  ['variables that are a list', { body: query('{ __typename }', { variables: [] }) }],
  ['a field that is not there', { body: query('{ nothing }') }],
  ['no GraphQL', { body: query('{ jobs') }],
  ['no JSON', { body: '{' }],
  ['null', { body: 'null' }],
  ['a batch', { body: `[${list}]` }],
  ['no query', { body: '{}' }],
  ['a parameter that there is not', { body: query('{ __typename }', { more: 1 }) }],
  ['its cost asked for', { body: query('{ jobs { nodes { name } } }', { extensions: { cost: true } }) }],
  ['two operations without a name', { body: query('query A { __typename } query B { viewer { tenantId } }') }],
  ['two operations and a name', { body: query('query A { __typename } query B { viewer { tenantId } }', { operationName: 'B' }) }],
  ['a mutation', { body: query('mutation { cancelJob(jobId: "job_01arz3ndektsv4rrffq69g5fav") { __typename ... on Error { code } } }') }],
  [
    'too deep',
    { body: query('{ jobs { edges { node { attempts { startedAt } dataConfig { preprocess { fieldMapping { key } } } } } } }') },
  ],
  ['too large', { body: query(`{ __typename } # ${'x'.repeat(5000)}`) }],
]

describe('The short way of plain queries', () => {
  it('a list that is compiled answers as before, and its errors are told as before', async () => {
    const fields = 'id jobId name status message userId revision contentHash gpuSeconds createdAt startedAt finishedAt updatedAt stale'
    const text = `query ($n: Int, $skip: Boolean!) { jobs(first: $n) { __typename edges { cursor node { ...F renamed: name } } pageInfo { endCursor } totalCount } }
      fragment F on Job { ${fields} syncedAt @skip(if: $skip) ... on Node { id } }`
    for (const variables of [
      { n: 3, skip: false },
      { n: 2, skip: true },
      { n: 1, skip: false },
      { n: 0, skip: false },
      { n: 'x', skip: 1 },
      {},
    ]) {
      const body = query(text, { variables })
      expect(await answered('/graphql', { body })).toEqual(await answered('/graphql?', { body }))
    }
  })

  it.each(cases)('%s: the answer is Yoga’s, to the letter', async (_what, plain) => {
    // With a question mark it is no plain request.
    const yoga = await answered('/graphql?', plain)
    const short = await answered('/graphql', plain)
    expect(short).toEqual(yoga)
  })

  it('an operation that is not in the document is refused, whatever was asked for before under a like text', async () => {
    const text = '{ jobs { nodes { name } } }'
    // Until it is compiled.
    for (let i = 0; i < 4; i++) expect((await answered('/graphql', { body: query(`#A\n${text}`) })).body).toContain('"data"')
    const body = query(text, { operationName: '#A' })
    expect(await answered('/graphql', { body })).toEqual(await answered('/graphql?', { body }))
    expect((await answered('/graphql', { body })).body).toContain('"errors"')
  })

  it('a request that comes in pieces is put together', async () => {
    const body = Buffer.from(query('{ jobs { nodes { name } } } # ü'))
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${tenant.key}`, 'content-length': body.length }
    const sent = request(`${under.api.url}/graphql`, { method: 'POST', headers })
    // In the middle of a character.
    sent.write(body.subarray(0, body.length - 3))
    await once(sent, 'socket')
    sent.end(body.subarray(body.length - 3))
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    expect(JSON.parse((await response.toArray()).join(''))).toEqual({ data: { jobs: { nodes: [{ name: 'naïve 🦊' }] } } })
  })

  it('is taken by plain queries, and by nothing else', async () => {
    const viewer = callerOf('t').viewer
    const freshness = { version: () => 0, settled: () => undefined, isFresh: () => true }
    const limits = { depth: 5, aliases: 5, complexity: 100, listLength: 10, pageSize: 100, introspection: true }
    const documents = trustedDocuments({}, false)
    const parts = {
      operations: {} as Operations,
      limits,
      log: silent,
      documents,
      freshness,
      bodyBytesMax: 4000,
      viewerOf: async () => viewer,
    }
    const answer = shortWay(parts)
    const goesOn: unknown[] = []
    const server = createServer(async (asked, response) => {
      const begun = await answer(asked, response, 'req')
      if (begun) response.end(String(goesOn.push(begun)))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const post = (body: string, type = 'application/json') =>
      fetch(`http://127.0.0.1:${port}/graphql`, { method: 'POST', headers: { 'content-type': type }, body }).then((response) =>
        response.text(),
      )
    expect(await post(query('{ viewer { tenantId } }'))).toBe('{"data":{"viewer":{"tenantId":"t"}}}')
    expect(goesOn).toEqual([])
    await post(query('{ viewer { tenantId } }'), 'application/graphql+json')
    await post(query('mutation { cancelJob(jobId: "x") { __typename } }'))
    await post(query('{ nothing }'))
    expect(goesOn).toEqual([{}, {}, {}])
    // What was done already is not done again.
    await post(query('{ jobs { nodes { name } } }'))
    expect(goesOn.at(-1)).toMatchObject({ viewer, result: { errors: [{ path: ['jobs'] }] } })
    server.close()
  })
})
