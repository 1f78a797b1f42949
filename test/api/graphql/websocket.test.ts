import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import WebSocket from 'ws'
import { apiKeyStore } from '../../../src/api/auth/api-keys.js'
import { type ApiUnderTest, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

let under: ApiUnderTest
let tenant: TenantUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
  tenant = await under.tenant()
})
afterAll(() => under?.close())

/** A connection that speaks the protocol word by word. */
async function connect(protocols: string[] = ['graphql-transport-ws']) {
  const socket = new WebSocket(`${under.api.url.replace('http', 'ws')}/graphql`, protocols)
  onTestFinished(() => socket.terminate())
  const messages: { type: string; id?: string; payload?: unknown }[] = []
  let heard = () => {}
  socket.on('message', (data) => {
    messages.push(JSON.parse(String(data)))
    heard()
  })
  const closed = once(socket, 'close').then(([code]) => code as number)
  await once(socket, 'open')
  return {
    closed,
    socket,
    say: (message: object | string) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
    /** The next message that was not taken yet. */
    async next() {
      while (messages.length === 0) await new Promise<void>((resolve) => (heard = resolve))
      return messages.shift()
    },
  }
}

async function signedIn() {
  const connection = await connect()
  connection.say({ type: 'connection_init', payload: { authorization: `Bearer ${tenant.key}` } })
  expect(await connection.next()).toEqual({ type: 'connection_ack' })
  return connection
}

const follow = { query: 'subscription { jobsUpdated { cursor } }' }

describe('graphql-transport-ws', () => {
  it('4400: a message that is none', async () => {
    const { say, closed } = await signedIn()
    say('not a message')
    expect(await closed).toBe(4400)
  })

  it('4401: an operation before the connection is acknowledged', async () => {
    const { say, closed } = await connect()
    say({ type: 'subscribe', id: '1', payload: follow })
    expect(await closed).toBe(4401)
  })

  it('4406: no subprotocol that it speaks', async () => {
    const { closed } = await connect([])
    expect(await closed).toBe(4406)
  })

  it('4408: no connection_init within 3 s', async () => {
    expect(await (await connect()).closed).toBe(4408)
  })

  it('4409: a second operation under the id of one that runs', async () => {
    const { say, closed } = await signedIn()
    say({ type: 'subscribe', id: '1', payload: follow })
    say({ type: 'subscribe', id: '1', payload: follow })
    expect(await closed).toBe(4409)
  })

  it('4429: a second connection_init', async () => {
    const { say, closed } = await signedIn()
    say({ type: 'connection_init', payload: { authorization: `Bearer ${tenant.key}` } })
    expect(await closed).toBe(4429)
  })

  it('a ping is answered with a pong that carries its payload', async () => {
    const { say, next } = await signedIn()
    say({ type: 'ping', payload: { at: 1 } })
    expect(await next()).toEqual({ type: 'pong', payload: { at: 1 } })
  })

  it('a query gets its result and then complete, under its own id', async () => {
    const { say, next } = await signedIn()
    say({ type: 'subscribe', id: 'mine', payload: { query: '{ viewer { tenantId } }' } })
    expect(await next()).toEqual({ type: 'next', id: 'mine', payload: { data: { viewer: { tenantId: tenant.id } } } })
    expect(await next()).toEqual({ type: 'complete', id: 'mine' })
  })

  it('an operation that is refused gets one error message with codes and a request id, and the connection stays', async () => {
    const { say, next } = await signedIn()
    say({ type: 'subscribe', id: '1', payload: { query: '{ nothing }' } })
    expect(await next()).toMatchObject({
      type: 'error',
      id: '1',
      payload: [{ extensions: { code: 'VALIDATION_ERROR', requestId: expect.stringMatching(/^req_/) } }],
    })
    say({ type: 'ping' })
    expect(await next()).toEqual({ type: 'pong' })
  })

  it('a client that completes its subscription hears no more of it and may use the id again', async () => {
    const { say, next } = await signedIn()
    say({ type: 'subscribe', id: '1', payload: follow })
    say({ type: 'complete', id: '1' })
    say({ type: 'subscribe', id: '1', payload: { query: '{ __typename }' } })
    expect(await next()).toMatchObject({ type: 'next', id: '1' })
  })

  it('4401 within a second of the revocation of its key', async () => {
    const keys = apiKeyStore(under.database)
    onTestFinished(() => keys.close())
    const leaving = await under.tenant()
    const { say, next, closed } = await connect()
    say({ type: 'connection_init', payload: { apiKey: leaving.key } })
    expect(await next()).toEqual({ type: 'connection_ack' })
    say({ type: 'subscribe', id: '1', payload: follow })
    await keys.revoke(leaving.keyId)
    const at = performance.now()
    expect(await closed).toBe(4401)
    expect(performance.now() - at).toBeLessThan(3000)
  })
})
