import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import WebSocket from 'ws'
import { jwks } from '../../../src/api/auth/jwks.js'
import { tokenVerifier } from '../../../src/api/auth/tokens.js'
import { type Answer, type ApiUnderTest, graphql, startApiUnderTest } from '../../support/api.js'
import { freshDatabase } from '../../support/database.js'
import { type Claims, TokenIssuer } from '../../support/issuer.js'

let issuer: TokenIssuer
let under: ApiUnderTest

beforeAll(async () => {
  issuer = await new TokenIssuer().start()
  under = await startApiUnderTest(issuer.settings)
})
afterAll(async () => {
  await under?.close()
  await issuer?.stop()
})

const who = '{ viewer { tenantId userId credential keyId keyName expiresAt roles permissions } }'
const ask = (token: string, query = who) => graphql(under.api.url, token, query)
const codeOf = ({ errors }: Answer) => errors?.[0]?.extensions.code
const claims = { tenant: 'tenant_id', roles: 'roles', permissions: 'permissions', tenants: 'tenants' }
const soon = (seconds: number) => Math.floor(Date.now() / 1000) + seconds

/** What REST says to a token, for a tenant where one is chosen. */
async function rest(token: string, tenant?: string) {
  const headers = { authorization: `Bearer ${token}`, ...(tenant ? { 'x-scaigrid-tenant': tenant } : {}) }
  const response = await fetch(`${under.api.url}/v1/modules/scaimind/jobs`, { headers })
  return { status: response.status, headers: response.headers, body: await response.json() }
}

describe('A token of ScaiKey', () => {
  it('says who calls: user, tenant, roles, permissions, and until when', async () => {
    const exp = soon(300)
    const { data } = await ask(
      await issuer.token({ exp, roles: ['tenant_viewer', 'wizard'], permissions: ['scaimind:evaluate', 'scaidrive:read'] }),
    )
    expect(data.viewer).toEqual({
      tenantId: 'acme',
      userId: 'ada',
      credential: 'JWT',
      keyId: null,
      keyName: null,
      expiresAt: new Date(exp * 1000).toISOString(),
      roles: ['tenant_viewer'],
      permissions: ['scaimind:view', 'scaimind:evaluate'],
    })
  })

  it('is taken over REST and WebSocket as over GraphQL', async () => {
    const token = await issuer.token()
    expect((await rest(token)).status).toBe(200)
    const { received } = await connect(token)
    expect(await received('connection_ack')).toBeTruthy()
  })

  const now = () => soon(0)
  const refused: [string, () => Claims, RegExp][] = [
    ['of another issuer', () => ({ iss: 'https://elsewhere.example' }), /"iss"/],
    ['for another audience', () => ({ aud: 'scaidrive' }), /"aud"/],
    ['that has expired', () => ({ exp: now() - 60 }), /expired/],
    ['without an end', () => ({ exp: undefined }), /"exp"/],
    ['that does not work yet', () => ({ nbf: now() + 60 }), /"nbf"/],
    ['without a user', () => ({ sub: undefined }), /"sub"/],
    ['without a tenant', () => ({ tenant_id: undefined }), /"tenant_id"/],
    ['of a tenant that cannot be', () => ({ tenant_id: '../acme' }), /"tenant_id"/],
    ['whose roles are no list', () => ({ roles: { admin: true } }), /"roles"/],
    ['whose permissions are no texts', () => ({ permissions: [1] }), /"permissions"/],
  ]
  it.each(refused)('%s is refused', async (_what, wrong, message) => {
    const answer = await ask(await issuer.token(wrong()))
    expect([answer.status, codeOf(answer)]).toEqual([401, 'AUTH_TOKEN_INVALID'])
    expect(answer.errors?.[0]?.message).toMatch(message)
    expect((await rest(await issuer.token(wrong()))).body.error.code).toBe('AUTH_TOKEN_INVALID')
  })

  it('works within a few seconds between the clocks', async () => {
    expect((await ask(await issuer.token({ exp: soon(-2) }))).data.viewer.userId).toBe('ada')
    expect((await ask(await issuer.token({ nbf: soon(3) }))).data.viewer.userId).toBe('ada')
  })

  it('is refused where its signature is another algorithm’s, none, or another key’s', async () => {
    const [header = '', payload = ''] = (await issuer.token()).split('.')
    const stranger = await new TokenIssuer().start()
    onTestFinished(() => stranger.stop())
    const [key] = (stranger as unknown as { keys: { kid: string; pair: never }[] }).keys
    const [ours] = (issuer as unknown as { keys: { kid: string }[] }).keys
    for (const token of [
      issuer.unsignedToken(),
      await issuer.hmacToken(),
      `${header}.${payload}.${'A'.repeat(342)}`,
      await issuer.token({}, { by: key as never, kid: ours?.kid as string }),
      'no.token.atall',
      'x'.repeat(5000),
    ]) {
      expect(codeOf(await ask(token))).toBe('AUTH_TOKEN_INVALID')
    }
  })

  it('grants no role as a permission and no permission as a role', async () => {
    const { data } = await ask(
      await issuer.token({ roles: ['scaimind:manage'], permissions: ['super_admin', 'scaimind:view tenant_admin'] }),
    )
    expect(data.viewer).toMatchObject({ roles: [], permissions: [] })
  })
})

describe('Another tenant', () => {
  const table: [string, Claims, string, number][] = [
    ['a super_admin acts for any', { roles: ['super_admin'] }, 'umbrella', 200],
    ['a partner_admin acts for the partner’s', { roles: ['partner_admin'], tenants: ['umbrella', 'initech'] }, 'umbrella', 200],
    ['a partner_admin does not act for others', { roles: ['partner_admin'], tenants: ['initech'] }, 'umbrella', 403],
    ['a tenant_admin acts for no other, whatever the token lists', { roles: ['tenant_admin'], tenants: ['umbrella'] }, 'umbrella', 403],
    ['nobody acts for one that cannot be', { roles: ['super_admin'] }, 'no/tenant', 403],
  ]
  it.each(table)('%s', async (_what, given, tenant, status) => {
    expect((await rest(await issuer.token(given), tenant)).status).toBe(status)
  })
})

describe('The issuer’s keys', () => {
  it('may be rotated: a key that is not known is looked for at once', async () => {
    const before = await issuer.token()
    await ask(before)
    await issuer.rotate()
    expect((await ask(await issuer.token())).data.viewer.userId).toBe('ada')
  })

  it('are asked for once by many, and not for every key id that somebody invents', async () => {
    const own = await new TokenIssuer().start()
    onTestFinished(() => own.stop())
    const getKey = jwks({ url: `${own.url}/.well-known/jwks.json` })
    const { verify } = tokenVerifier({ issuer: own.url, audience: own.audience, claims, getKey })
    const tokens = await Promise.all(Array.from({ length: 20 }, (_, at) => own.token({ sub: `u${at}` })))
    await Promise.all(tokens.map(verify))
    expect(own.keysAsked).toBe(1)
    for (const at of [1, 2, 3, 4]) {
      await expect(verify(await own.token({}, { kid: `invented-${at}` }))).rejects.toMatchObject({ code: 'AUTH_TOKEN_INVALID' })
    }
    expect(own.keysAsked).toBe(2)
  })

  it('go on while the issuer is away; what they cannot say is refused for later', async () => {
    const own = await new TokenIssuer().start()
    const getKey = jwks({ url: `${own.url}/.well-known/jwks.json`, maxAgeMs: 0, cooldownMs: 0 })
    const { verify } = tokenVerifier({ issuer: own.url, audience: own.audience, claims, getKey }, { recheckMs: 0 })
    const [old, fresh] = [await own.token(), await own.token({ sub: 'grace' })]
    await verify(old)
    await own.stop()
    expect(await verify(old)).toMatchObject({ userId: 'ada' })
    expect(await verify(fresh)).toMatchObject({ userId: 'grace' })
    await own.rotate()
    const later = await own.token()
    await expect(verify(later)).rejects.toMatchObject({ code: 'BACKEND_TIMEOUT', retryAfterSeconds: expect.any(Number) })
    await own.start()
    expect(await verify(later)).toMatchObject({ userId: 'ada' })
    // The key before is not published any more.
    await expect(verify(old)).rejects.toMatchObject({ code: 'AUTH_TOKEN_INVALID' })
    await own.stop()
  })

  it('that cannot be had make a refusal with Retry-After, over GraphQL, REST and WebSocket', async () => {
    const gone = await new TokenIssuer().start()
    await gone.stop()
    const api = await startApiUnderTest({ ...gone.settings, DATABASE_URL: await freshDatabase('api') })
    onTestFinished(() => api.close())
    const token = await gone.token()
    const answer = await graphql(api.api.url, token, who)
    expect([answer.status, codeOf(answer), answer.headers.get('retry-after')]).toEqual([
      504,
      'BACKEND_TIMEOUT',
      expect.stringMatching(/^\d+$/),
    ])
    const over = await fetch(`${api.api.url}/v1/modules/scaimind/jobs`, { headers: { authorization: `Bearer ${token}` } })
    expect([over.status, over.headers.get('retry-after')]).toEqual([504, expect.stringMatching(/^\d+$/)])
    const { closed } = await connect(token, api)
    expect((await closed).code).toBe(1013)
  })
})

describe('Without an issuer', () => {
  it('only API keys are taken, and a token is told so', async () => {
    const plain = await startApiUnderTest()
    onTestFinished(() => plain.close())
    const answer = await graphql(plain.api.url, await issuer.token(), who)
    expect([answer.status, codeOf(answer)]).toEqual([401, 'AUTH_TOKEN_INVALID'])
    expect(answer.errors?.[0]?.message).toMatch(/no issuer is set/)
  })
})

describe('A stream of a token', () => {
  it('ends at the token’s exp, over WebSocket and SSE', async () => {
    const exp = soon(3)
    const token = await issuer.token({ exp })
    const { say, received, closed } = await connect(token)
    await received('connection_ack')
    say({ type: 'subscribe', id: '1', payload: { query: 'subscription { jobsUpdated { cursor } }' } })
    const sse = await fetch(`${under.api.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${token}` },
      body: JSON.stringify({ query: 'subscription { jobsUpdated { cursor } }' }),
    })
    expect(await sse.text()).toMatch(/"code":"AUTH_TOKEN_INVALID"/)
    expect(await closed).toMatchObject({ code: 4401, reason: expect.stringMatching(/expired/) })
    expect(Date.now()).toBeGreaterThanOrEqual(exp * 1000)
    expect(Date.now()).toBeLessThan(exp * 1000 + 5000)
  })
})

async function connect(token: string, { api }: ApiUnderTest = under) {
  const socket = new WebSocket(`${api.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws')
  onTestFinished(() => socket.terminate())
  const messages: { type: string }[] = []
  let heard = () => {}
  socket.on('message', (data) => {
    messages.push(JSON.parse(String(data)))
    heard()
  })
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })),
  )
  await new Promise((resolve) => socket.once('open', resolve))
  const say = (message: object) => socket.send(JSON.stringify(message))
  say({ type: 'connection_init', payload: { authorization: `Bearer ${token}` } })
  return {
    say,
    closed,
    async received(type: string) {
      while (!messages.some((message) => message.type === type)) await new Promise<void>((resolve) => (heard = resolve))
      return messages.find((message) => message.type === type)
    },
  }
}
