import { getIntrospectionQuery, parse } from 'graphql'
import { createClient } from 'graphql-ws'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { measure } from '../../../src/api/graphql/door/limits.js'
import { type ApiUnderTest, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

let under: ApiUnderTest
let tenant: TenantUnderTest

beforeAll(async () => {
  under = await startApiUnderTest({
    SCAIMIND_MAX_DEPTH: '6',
    SCAIMIND_MAX_COMPLEXITY: '300',
    SCAIMIND_MAX_ALIASES: '3',
    SCAIMIND_MAX_BODY_BYTES: '20000',
    SCAIMIND_MAX_SUBSCRIPTIONS: '2',
  })
  tenant = await under.tenant()
})
afterAll(() => under?.close())

const refused = async (query: string) => {
  const { errors } = await tenant.graphql(query)
  return errors?.map(({ message, extensions }) => `${extensions.code} ${message}`).join() ?? ''
}

describe('Limits of operations', () => {
  it('depth counts levels of fields, through fragments, and a fragment that spreads itself is refused', async () => {
    expect(measure(parse('{ a { b { c } } d }'), 10).depth).toBe(3)
    expect(measure(parse('query { ...f } fragment f on Query { a { ... on B { b { ...g } } } } fragment g on C { c }'), 10).depth).toBe(3)
    expect(measure(parse('{ ...f } fragment f on Query { a { ...f } }'), 10).depth).toBeLessThan(12)
    expect(await refused('{ jobs(first: 9) { edges { node { trainingConfig { baseModel { modelId } } } } } }')).toBe('')
    expect(await refused('{ jobs { edges { node { trainingConfig { framework { distributed { config { key } } } } } } } }')).toMatch(
      /nested deeper than 6/,
    )
    expect(await refused('{ ...f } fragment f on Query { ...f }')).toMatch(/VALIDATION_ERROR/)
  })

  it('aliases and complexity have their limits, and introspection passes', async () => {
    expect(await refused('{ a: viewer { userId } b: viewer { userId } c: viewer { userId } d: viewer { userId } }')).toMatch(
      /more than 3 aliases/,
    )
    expect(await refused('{ jobs(first: 100) { nodes { name status message latestMetrics { name } } } }')).toMatch(/complexity/i)
    expect(await refused('{ jobs(first: 10) { nodes { name status } } }')).toBe('')
    expect(await refused('{ jobs(first: 1000) { nodes { name } } }')).not.toBe('')
    expect(await refused(getIntrospectionQuery({ inputValueDeprecation: true, schemaDescription: true, specifiedByUrl: true }))).toBe('')
  })

  it('an alias in a fragment counts as often as the fragment is spread, and one in an introspection counts too', async () => {
    expect(measure(parse('{ ...f b { ...f } } fragment f on Query { x: a y: a }'), 10).aliases).toBe(4)
    expect(measure(parse('{ __schema { x: types { y: name } } z: __typename }'), 10)).toEqual({ depth: 0, aliases: 3 })
    const twice = '{ a: jobs { nodes { ...f } } b: jobs { nodes { ...f } } } fragment f on Job { c: name }'
    expect(await refused(twice)).toMatch(/more than 3 aliases/)
    const types = Array.from({ length: 4 }, (_, i) => `t${i}: types { name }`).join(' ')
    expect(await refused(`{ __schema { ${types} } }`)).toMatch(/more than 3 aliases/)
  })

  it('a document and variables that are nested without end are refused as such, by HTTP and by WebSocket', async () => {
    const deepDocument = `{${'a{'.repeat(4000)}b${'}'.repeat(4001)}`
    const deepList = `{ nodes(ids: ${'['.repeat(4500)}${']'.repeat(4500)}) { id } }`
    const deepVariable = JSON.parse(`${'{"a":'.repeat(3000)}1${'}'.repeat(3000)}`)
    const client = createClient({
      url: `${under.api.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { apiKey: tenant.key },
    })
    for (const [query, variables] of [
      [deepDocument],
      [deepList],
      ['query ($v: JobFilter) { jobs(filter: $v) { nodes { name } } }', { v: deepVariable }],
    ] as const) {
      const { errors } = await tenant.graphql(query, variables)
      expect(errors?.map(({ extensions }) => extensions.code)).toEqual(['VALIDATION_ERROR'])
      expect(errors?.[0]?.message).toMatch(/nested/)
      await expect(client.iterate({ query, variables: variables ?? {} }).next()).rejects.toMatchObject([
        { extensions: { code: 'VALIDATION_ERROR' } },
      ])
    }
    await client.dispose()
  })

  it('a body over the limit and one that is not JSON are refused', async () => {
    const post = (body: string) =>
      fetch(`${under.api.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${tenant.key}` },
        body,
      })
    expect((await post(JSON.stringify({ query: `{ viewer { userId } } # ${'x'.repeat(20_000)}` }))).status).toBe(413)
    const rubbish = await post('{"query": ')
    expect(rubbish.status).toBe(400)
    expect(((await rubbish.json()) as { errors: { extensions: { code: string } }[] }).errors[0]?.extensions.code).toBe('VALIDATION_ERROR')
  })

  it('a connection has so many subscriptions and no more', async () => {
    const client = createClient({
      url: `${under.api.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${tenant.key}` },
    })
    const open = () => client.iterate({ query: 'subscription { jobsUpdated { cursor } }' })
    const kept = [open(), open()]
    for (const stream of kept) void stream.next()
    await expect(open().next()).rejects.toMatchObject([{ extensions: { code: 'RATE_LIMITED' } }])
    await client.dispose()
  })

  it('queries over WebSocket obey the same limits', async () => {
    const client = createClient({
      url: `${under.api.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { apiKey: tenant.key },
    })
    const deep = '{ jobs { edges { node { trainingConfig { framework { distributed { config { key } } } } } } } }'
    await expect(client.iterate({ query: deep }).next()).rejects.toMatchObject([{ message: expect.stringMatching(/nested deeper/) }])
    const { value } = await client.iterate({ query: '{ viewer { tenantId } }' }).next()
    expect(value).toEqual({ data: { viewer: { tenantId: tenant.id } } })
    await client.dispose()
  })
})
