import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import WebSocket from 'ws'
import { admission } from '../../../src/api/auth/admission.js'
import type { Viewer } from '../../../src/api/auth/viewer.js'
import { type ApiUnderTest, callerOf, eventually, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

const limits = { SCAIMIND_RATE_PER_KEY: '3', SCAIMIND_RATE_PER_TENANT: '1000', SCAIMIND_MAX_SUBSCRIPTIONS_PER_KEY: '2' }
let under: ApiUnderTest
beforeAll(async () => {
  under = await startApiUnderTest(limits)
})
afterAll(() => under?.close())

const who = '{ viewer { tenantId } }'
const rest = (tenant: TenantUnderTest, path: string, signal?: AbortSignal) =>
  fetch(`${under.api.url}/v1/modules/scaimind${path}`, {
    headers: { authorization: `Bearer ${tenant.key}` },
    ...(signal ? { signal } : {}),
  })

/** Sends until one is refused, and answers how many were not. */
async function untilRefused<Answer extends { status: number }>(send: () => Promise<Answer>): Promise<{ passed: number; refused: Answer }> {
  for (let passed = 0; passed < 50; passed++) {
    const answer = await send()
    if (answer.status === 429) return { passed, refused: answer }
  }
  throw new Error('50 requests passed')
}

describe('Requests of one key', () => {
  it('are refused over GraphQL with 429 and Retry-After after a burst of twice the rate', async () => {
    const tenant = await under.tenant()
    const { passed, refused } = await untilRefused(() => tenant.graphql(who))
    expect(passed).toBeGreaterThanOrEqual(6)
    expect(refused.errors?.[0]?.extensions).toMatchObject({ code: 'RATE_LIMITED', retryAfterSeconds: expect.any(Number) })
    expect(refused.errors?.[0]?.extensions).toMatchObject({ limit: expect.any(Number) })
    expect(refused.errors?.[0]?.extensions).not.toHaveProperty('fields')
    expect(refused.headers.get('retry-after')).toMatch(/^[12]$/)
  })

  it('are refused over REST with 429, Retry-After and retry_after', async () => {
    const tenant = await under.tenant()
    const { passed, refused } = await untilRefused(() => rest(tenant, '/jobs'))
    expect(passed).toBeGreaterThanOrEqual(6)
    const { error } = await refused.json()
    expect(error).toMatchObject({ code: 'RATE_LIMITED', retry_after: expect.any(Number) })
    expect(refused.headers.get('retry-after')).toBe(String(error.retry_after))
  })

  it('are refused on a WebSocket as errors of the operation; the connection stays', async () => {
    const tenant = await under.tenant()
    const socket = await connect(tenant)
    let refused: string | undefined
    for (let at = 0; at < 20 && !refused; at++) refused = await socket.run(String(at), who)
    expect(refused).toBe('RATE_LIMITED')
    expect(
      await eventually(
        async () => (await socket.run(`again-${Date.now()}`, who)) ?? 'answered',
        (code) => code === 'answered',
        5000,
      ),
    ).toBe('answered')
  })

  it('pass again after the time that was told, and other keys are not held up', async () => {
    const [busy, calm] = [await under.tenant(), await under.tenant()]
    await untilRefused(() => busy.graphql(who))
    expect((await calm.graphql(who)).status).toBe(200)
    const answer = await eventually(
      () => busy.graphql(who),
      ({ status }) => status === 200,
      5000,
    )
    expect(answer.data.viewer.tenantId).toBe(busy.id)
  })
})

describe('Streams of one key', () => {
  it('count over all doors, are refused beyond the limit, and give their place back', async () => {
    const tenant = await under.tenant()
    const job = under.stub.addJob(tenant.id)
    under.stub.writeLogs(job.job_id, ['one'])
    const socket = await connect(tenant)
    socket.say({ type: 'subscribe', id: 's', payload: { query: 'subscription { queueUpdated { depth } }' } })
    await socket.message('next', 's')
    const leaveRest = new AbortController()
    const logs = await rest(tenant, `/jobs/${job.job_id}/logs`, leaveRest.signal)
    expect(logs.status).toBe(200)

    const third = await rest(tenant, `/jobs/${job.job_id}/metrics/stream`)
    expect([third.status, (await third.json()).error.code]).toEqual([429, 'RATE_LIMITED'])
    const sse = await fetch(`${under.api.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${tenant.key}` },
      body: JSON.stringify({ query: 'subscription { queueUpdated { depth } }' }),
    })
    expect(await sse.text()).toMatch(/"code":"RATE_LIMITED"/)

    leaveRest.abort()
    socket.say({ type: 'complete', id: 's' })
    const again = await eventually(
      () => rest(tenant, `/jobs/${job.job_id}/logs?follow=false`),
      ({ status }) => status === 200,
      8000,
    )
    expect(await again.text()).toContain('one')
  })
})

describe('Counting', () => {
  const viewer = (more: Partial<Viewer> = {}): Viewer => ({ ...callerOf('acme').viewer, ...more })
  const refusals = async (requests: Promise<void>[]) =>
    (await Promise.allSettled(requests)).filter(({ status }) => status === 'rejected').length

  it('a tenant’s keys share its rate', async () => {
    const { request } = admission({ perKey: 0, perTenant: 5, streamsPerKey: 1 })
    const asked = Array.from({ length: 12 }, (_, at) => request(viewer({ keyId: `key_${at}` })))
    expect(await refusals(asked)).toBe(2)
    expect(await refusals([request(viewer({ tenantId: 'other' as Viewer['tenantId'] }))])).toBe(0)
  })

  it('the tokens of a user count as one, those of another user or tenant do not', async () => {
    const { stream } = admission({ perKey: 0, perTenant: 0, streamsPerKey: 1 })
    const jwt = (userId: string, home = 'acme') => viewer({ keyId: null, userId, homeTenantId: home as Viewer['tenantId'] })
    const leave = stream(jwt('ada'))
    expect(() => stream(jwt('ada'))).toThrow(/1 streams/)
    stream(jwt('grace'))
    stream(jwt('ada', 'umbrella'))
    leave()
    leave()
    stream(jwt('ada'))
    expect(() => stream(jwt('ada'))).toThrow(/1 streams/)
  })

  it('0 turns a rate off', async () => {
    const { request } = admission({ perKey: 0, perTenant: 0, streamsPerKey: 1 })
    expect(await refusals(Array.from({ length: 5000 }, () => request(viewer())))).toBe(0)
  })
})

async function connect(tenant: TenantUnderTest) {
  const socket = new WebSocket(`${under.api.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws')
  onTestFinished(() => socket.terminate())
  // biome-ignore lint/suspicious/noExplicitAny: tests read answers as callers do, by name
  const messages: { type: string; id?: string; payload: any }[] = []
  let heard = () => {}
  socket.on('message', (data) => {
    messages.push(JSON.parse(String(data)))
    heard()
  })
  await new Promise((resolve) => socket.once('open', resolve))
  const say = (message: object) => socket.send(JSON.stringify(message))
  const message = async (type: string | undefined, id?: string) => {
    const find = () => messages.find((one) => (!type || one.type === type) && one.id === id)
    while (!find()) await new Promise<void>((resolve) => (heard = resolve))
    return find()
  }
  say({ type: 'connection_init', payload: { apiKey: tenant.key } })
  await message('connection_ack')
  return {
    say,
    message,
    /** Runs a query; answers the code that it was refused with. */
    async run(id: string, query: string): Promise<string | undefined> {
      say({ type: 'subscribe', id, payload: { query } })
      const answer = await message(undefined, id)
      if (answer?.type !== 'error') return undefined
      // Statuses are HTTP's.
      expect(answer.payload[0].extensions).not.toHaveProperty('http')
      return answer.payload[0].extensions.code
    },
  }
}
