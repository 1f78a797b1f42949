import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, eventually, graphql, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

let under: ApiUnderTest
let another: ApiUnderTest
let tenant: TenantUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
  another = await startApiUnderTest({ DATABASE_URL: under.databaseUrl })
  tenant = await under.tenant()
})
afterAll(async () => {
  await another?.close()
  await under?.close()
})

const fields = 'keyId name userId prefix roles permissions createdAt expiresAt revokedAt lastUsedAt'
const create = `mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) {
  __typename ... on CreateApiKeySuccess { key apiKey { ${fields} } } ... on Error { code message } ... on InvalidInput { fields { path message } }
} }`
const revoke = `mutation ($keyId: ID!) { revokeApiKey(keyId: $keyId) {
  __typename ... on RevokeApiKeySuccess { apiKey { ${fields} } } ... on Error { code }
} }`
const list = `query ($first: Int, $after: String, $last: Int, $before: String) {
  apiKeys(first: $first, after: $after, last: $last, before: $before) { nodes { ${fields} } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }
}`

const made = async (input: object, by = tenant) =>
  (await by.graphql(create, { input: { name: 'ci', grants: ['scaimind:view'], ...input } })).data.createApiKey

describe('createApiKey', () => {
  it('answers the key once; lists show all but the key', async () => {
    const expiresAt = '2040-01-01T00:00:00.000Z'
    const { key, apiKey } = await made({ userId: 'robot', grants: ['tenant_viewer', 'scaimind:manage'], expiresAt })
    expect(apiKey).toMatchObject({
      name: 'ci',
      userId: 'robot',
      roles: ['tenant_viewer'],
      permissions: ['scaimind:view', 'scaimind:manage'],
      expiresAt,
      revokedAt: null,
      lastUsedAt: null,
    })
    expect(key.startsWith(apiKey.prefix)).toBe(true)
    const { data } = await graphql(under.api.url, key, '{ viewer { tenantId userId keyId expiresAt credential } }')
    expect(data.viewer).toEqual({ tenantId: tenant.id, userId: 'robot', keyId: apiKey.keyId, expiresAt, credential: 'API_KEY' })
    const listed = await tenant.graphql(list)
    expect(listed.data.apiKeys.nodes[0]).toMatchObject({ keyId: apiKey.keyId })
    expect(JSON.stringify(listed)).not.toContain(key)
  })

  it('takes the caller’s user where none is named', async () => {
    expect((await made({})).apiKey.userId).toBe(`user-of-${tenant.id}`)
  })

  const wrong: [string, object, string][] = [
    ['an empty name', { name: '' }, 'name'],
    ['a name with a control character', { name: 'a\nb' }, 'name'],
    ['an empty user', { userId: '' }, 'userId'],
    ['no grants', { grants: [] }, 'grants'],
    ['a grant that there is not', { grants: ['scaimind:view', 'king'] }, 'grants[1]'],
    ['two grants in one', { grants: ['scaimind:view super_admin'] }, 'grants[0]'],
    ['an end that is past', { expiresAt: '2020-01-01T00:00:00Z' }, 'expiresAt'],
  ]
  it.each(wrong)('refuses %s and names the field', async (_what, input, path) => {
    const answer = await made(input)
    expect(answer.__typename).toBe('InvalidInput')
    expect(answer.fields.map((field: { path: string }) => field.path)).toEqual([path])
  })

  const grants: [string, string[], string[], string][] = [
    ['an operator grants what they hold', ['scaimind:view', 'scaimind:cluster_admin'], ['scaimind:view'], 'CreateApiKeySuccess'],
    ['an operator does not grant what they do not hold', ['scaimind:view', 'scaimind:cluster_admin'], ['scaimind:manage'], 'RequestFailed'],
    ['an operator does not grant a role that holds more', ['scaimind:view', 'scaimind:cluster_admin'], ['tenant_admin'], 'RequestFailed'],
    ['a tenant_admin makes another', ['tenant_admin'], ['tenant_admin'], 'CreateApiKeySuccess'],
    ['a tenant_admin makes no super_admin', ['tenant_admin'], ['super_admin'], 'RequestFailed'],
    ['a tenant_admin makes no partner_admin', ['tenant_admin'], ['partner_admin'], 'RequestFailed'],
    ['a partner_admin makes no partner_admin', ['partner_admin'], ['partner_admin'], 'RequestFailed'],
    ['a super_admin makes any', ['super_admin'], ['super_admin', 'partner_admin'], 'CreateApiKeySuccess'],
  ]
  it.each(grants)('%s', async (_what, held, granted, expected) => {
    const by = await under.tenant(held)
    const answer = await made({ grants: granted }, by)
    expect(answer).toMatchObject({ __typename: expected, ...(expected === 'RequestFailed' ? { code: 'AUTHZ_PERMISSION_DENIED' } : {}) })
  })
})

describe('apiKeys', () => {
  it('pages in both directions, of the own tenant only', async () => {
    const own = await under.tenant()
    const ids: string[] = [own.keyId]
    for (let at = 0; at < 4; at++) ids.unshift((await made({ name: `k${at}` }, own)).apiKey.keyId)
    const page = async (variables: object) => (await own.graphql(list, { ...variables })).data.apiKeys
    const idsOf = ({ nodes }: { nodes: { keyId: string }[] }) => nodes.map(({ keyId }) => keyId)
    const first = await page({ first: 2 })
    expect([idsOf(first), first.pageInfo]).toMatchObject([ids.slice(0, 2), { hasNextPage: true, hasPreviousPage: false }])
    await made({ name: 'inserted meanwhile' }, own)
    const second = await page({ first: 10, after: first.pageInfo.endCursor })
    expect([idsOf(second), second.pageInfo]).toMatchObject([ids.slice(2), { hasNextPage: false, hasPreviousPage: true }])
    const last = await page({ last: 2 })
    expect([idsOf(last), last.pageInfo]).toMatchObject([ids.slice(3), { hasPreviousPage: true, hasNextPage: false }])
    expect(idsOf(await page({ last: 2, before: last.pageInfo.startCursor }))).toEqual(ids.slice(1, 3))
    const { errors } = await own.graphql(list, { first: 1, after: 'nonsense' })
    expect(errors?.[0]?.extensions.code).toBe('CURSOR_INVALID')
  })

  it('says when a key was last used', async () => {
    const { key, apiKey } = await made({})
    const began = Date.now()
    await graphql(under.api.url, key, '{ viewer { tenantId } }')
    const used = await eventually(async () => {
      const { data } = await tenant.graphql(list, { first: 100 })
      return data.apiKeys.nodes.find(({ keyId }: { keyId: string }) => keyId === apiKey.keyId).lastUsedAt
    })
    expect(Math.abs(Date.parse(used) - began)).toBeLessThan(10_000)
  })
})

describe('revokeApiKey', () => {
  it('ends the key and its open streams on every instance within a second; repeating it is fine', async () => {
    const { key, apiKey } = await made({ grants: ['tenant_viewer'] })
    const streams = await Promise.all(
      [under, another].map(({ api }) =>
        fetch(`${api.url}/graphql`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${key}` },
          body: JSON.stringify({ query: 'subscription { jobsUpdated { cursor } }' }),
        }),
      ),
    )
    const began = Date.now()
    const { data } = await tenant.graphql(revoke, { keyId: apiKey.keyId })
    expect(data.revokeApiKey.apiKey).toMatchObject({ keyId: apiKey.keyId, revokedAt: expect.any(String) })
    for (const stream of streams) expect(await stream.text()).toMatch(/"code":"AUTH_TOKEN_INVALID"/)
    expect(Date.now() - began).toBeLessThan(3000)
    for (const { api } of [under, another]) expect((await graphql(api.url, key, '{ viewer { tenantId } }')).status).toBe(401)
    const again = await tenant.graphql(revoke, { keyId: apiKey.keyId })
    expect(again.data.revokeApiKey.apiKey.revokedAt).toBe(data.revokeApiKey.apiKey.revokedAt)
  })

  it('does not find another tenant’s key, nor one that cannot be', async () => {
    const stranger = await under.tenant()
    for (const keyId of [tenant.keyId, 'nonsense']) {
      expect((await stranger.graphql(revoke, { keyId })).data.revokeApiKey).toEqual({
        __typename: 'RequestFailed',
        code: 'API_KEY_NOT_FOUND',
      })
    }
    expect((await tenant.graphql('{ viewer { keyId } }')).data.viewer.keyId).toBe(tenant.keyId)
  })
})
