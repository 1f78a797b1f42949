import { randomBytes } from 'node:crypto'
import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { scaimindV1 } from '../../src/contract/proto.js'
import { scaimind } from '../support/doors.js'
import { customInput, submit, untilStatus } from '../support/jobs.js'
import { keepOnFailure, type Stack, startStack } from '../support/stack.js'
import type { Tenant } from '../support/tenant.js'

const script = `for (let step = 1; step <= 3; step++) console.log(JSON.stringify({ step, loss: 1 / step }))`

let stack: Stack
let tenant: Tenant
let finished: string
let another: string

beforeAll(async () => {
  stack = await startStack()
  tenant = await stack.tenant()
  finished = await submit(tenant, customInput(tenant, script, { name: 'finished' }))
  another = await submit(tenant, customInput(tenant, script, { name: 'another' }))
  await untilStatus(tenant, finished, 'COMPLETED')
  await untilStatus(tenant, another, 'COMPLETED')
})
afterAll(async () => {
  await stack?.close()
})

const pause = 'mutation ($id: ID!) { pauseJob(jobId: $id) { ... on Error { code } ... on JobStateConflict { state allowedFrom } } }'
const metrics = 'subscription ($id: ID!, $after: String) { jobMetrics(jobId: $id, after: $after) { ... on MetricBatch { cursor } } }'

/** The code that a subscription over SSE is refused with. */
async function overSse(key: string, query: string, variables: Record<string, unknown>): Promise<string | undefined> {
  const response = await fetch(`http://127.0.0.1:${stack.api.port}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${key}` },
    body: JSON.stringify({ query, variables }),
  })
  return /"code":"([A-Z_]+)"/.exec(await response.text())?.[1]
}

/** The code that a call to the coordinator is refused with. */
async function overGrpc(method: 'getJob' | 'pauseJob', request: { job_id: string }, given: { secret?: string; tenantId?: string } = {}) {
  const client = new scaimindV1.CoordinatorService(`127.0.0.1:${stack.coordinator.port}`, credentials.createInsecure())
  const metadata = new Metadata()
  metadata.set('x-api-secret', given.secret ?? stack.secret)
  metadata.set('x-tenant-id', given.tenantId ?? tenant.id)
  try {
    const error = await new Promise<ServiceError | null>((done) =>
      client[method](request, metadata, (fault: ServiceError | null) => done(fault)),
    )
    return error?.metadata.get('scaimind-code')[0]?.toString()
  } finally {
    client.close()
  }
}

/** The code or close reason that a subscription over WebSocket is refused with. */
async function overWebSocket(by: Tenant, query: string, variables: Record<string, unknown>): Promise<string> {
  try {
    for await (const _ of by.subscribe(query, variables)) return 'delivered'
    return 'ended'
  } catch (error) {
    return JSON.stringify(error, (_key, value) => value) + String(error)
  }
}

describe('Pausing a job that is finished', () => {
  it('is a state conflict that names the state and the states it is possible from, at every door', async () => {
    keepOnFailure(stack)
    const { pauseJob } = await tenant.data<{ pauseJob: unknown }>(pause, { id: finished })
    expect(pauseJob).toEqual({ code: 'JOB_STATE_CONFLICT', state: 'COMPLETED', allowedFrom: ['TRAINING', 'CHECKPOINTING'] })
    const { status, body } = await tenant.rest('POST', `/jobs/${finished}/pause`)
    expect([status, body.error.code]).toEqual([409, 'JOB_STATE_CONFLICT'])
    expect(body.error.details).toContainEqual({ field: 'state', message: 'COMPLETED' })
    expect(await overGrpc('pauseJob', { job_id: finished })).toBe('JOB_STATE_CONFLICT')
    const { exitCode, stderr } = await scaimind(stack, tenant, ['job', 'pause', finished])
    expect(exitCode).not.toBe(0)
    expect(stderr).toMatch(/COMPLETED/)
  })
})

describe('A cursor of another job', () => {
  it('is CURSOR_INVALID on every transport', async () => {
    keepOnFailure(stack)
    const { jobMetrics } = (await tenant.subscribe<{ jobMetrics: { cursor: string } }>(metrics, { id: another }).next()).value ?? {}
    const variables = { id: finished, after: jobMetrics?.cursor }
    expect(jobMetrics?.cursor).toMatch(/^[\w-]+$/)
    expect(await overWebSocket(tenant, metrics, variables)).toMatch(/cursor belongs to/)
    expect(await overSse(tenant.key, metrics, variables)).toBe('CURSOR_INVALID')
    const { status, body } = await tenant.rest('GET', `/jobs/${finished}/metrics/stream`, undefined, {
      'last-event-id': `${jobMetrics?.cursor}`,
    })
    expect([status, body.error.code]).toEqual([400, 'CURSOR_INVALID'])
  })
})

describe("Another tenant's job", () => {
  it('is not found at any door', async () => {
    keepOnFailure(stack)
    const stranger = await stack.tenant()
    const { pauseJob } = await stranger.data<{ pauseJob: unknown }>(pause, { id: finished })
    expect(pauseJob).toEqual({ code: 'JOB_NOT_FOUND' })
    const { errors } = await stranger.graphql('query ($id: ID!) { job(jobId: $id) { name } }', { id: finished })
    expect(errors?.[0]?.extensions.code).toBe('JOB_NOT_FOUND')
    expect(await overWebSocket(stranger, metrics, { id: finished })).toMatch(/There is no job/)
    expect(await overSse(stranger.key, metrics, { id: finished })).toBe('JOB_NOT_FOUND')
    for (const path of ['', '/logs', '/metrics', '/metrics/stream', '/checkpoints', '/events']) {
      expect([path, (await stranger.rest('GET', `/jobs/${finished}${path}`)).status]).toEqual([path, 404])
    }
    expect(await overGrpc('getJob', { job_id: finished }, { tenantId: stranger.id })).toBe('JOB_NOT_FOUND')
    const { exitCode, stderr } = await scaimind(stack, stranger, ['job', 'show', finished])
    expect(exitCode).not.toBe(0)
    expect(stderr).toContain(finished)
  })
})

describe('A key that does not work', () => {
  it('is AUTH_TOKEN_INVALID where it never existed', async () => {
    keepOnFailure(stack)
    const wrong = `sgk_${randomBytes(24).toString('hex')}`
    const response = await fetch(`http://127.0.0.1:${stack.api.port}/v1/modules/scaimind/jobs`, {
      headers: { authorization: `Bearer ${wrong}` },
    })
    expect([response.status, (await response.json()).error.code]).toEqual([401, 'AUTH_TOKEN_INVALID'])
    expect(await overSse(wrong, metrics, { id: finished })).toBe('AUTH_TOKEN_INVALID')
    expect(await overGrpc('getJob', { job_id: finished }, { secret: 'not the secret at all' })).toBe('AUTH_TOKEN_INVALID')
  })

  it('is AUTH_TOKEN_INVALID within a second of being revoked, and its open streams end', async () => {
    keepOnFailure(stack)
    const leaving = await stack.tenant()
    const stream = leaving.subscribe('subscription { jobsUpdated { cursor } }')
    const ended = stream.next().then(
      () => 'ended',
      (error: unknown) => `closed ${JSON.stringify(error)}`,
    )
    await leaving.data('{ viewer { tenantId } }')
    await leaving.revokeKey()
    expect(await ended).toMatch(/ended|closed/)
    const { errors } = await leaving.graphql('{ viewer { tenantId } }')
    expect(errors?.[0]?.extensions.code).toBe('AUTH_TOKEN_INVALID')
    expect((await leaving.rest('GET', '/jobs')).status).toBe(401)
  })
})

describe('A stream whose key is revoked', () => {
  it('ends within a second with AUTH_TOKEN_INVALID, over GraphQL SSE and over REST SSE', async () => {
    keepOnFailure(stack)
    const leaving = await stack.tenant()
    const id = await submit(leaving, customInput(leaving, 'setTimeout(() => {}, 10_000)', { name: 'waits' }))
    await untilStatus(leaving, id, 'TRAINING')
    const origin = `http://127.0.0.1:${stack.api.port}`
    const headers = { authorization: `Bearer ${leaving.key}`, accept: 'text/event-stream' }
    const rest = await fetch(`${origin}/v1/modules/scaimind/jobs/${id}/logs`, { headers })
    const graphql = await fetch(`${origin}/graphql`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify({ query: metrics, variables: { id } }),
    })
    const texts = Promise.all([rest.text(), graphql.text()])
    await leaving.revokeKey()
    const revoked = performance.now()
    const [overRest, overGraphql] = await texts
    expect(performance.now() - revoked).toBeLessThan(5000)
    expect(overRest).toMatch(/event: error\ndata: \{"code":"AUTH_TOKEN_INVALID"/)
    expect(overRest).toMatch(/data: \[DONE\]\n\n$/)
    expect(overGraphql).toMatch(/"code":"AUTH_TOKEN_INVALID"/)
  })
})

describe('A body that is not JSON', () => {
  it('is refused with a code, over REST and over GraphQL', async () => {
    const headers = { authorization: `Bearer ${tenant.key}`, 'content-type': 'application/json' }
    const origin = `http://127.0.0.1:${stack.api.port}`
    const rest = await fetch(`${origin}/v1/modules/scaimind/jobs`, { method: 'POST', headers, body: '{"name": ' })
    expect([rest.status, (await rest.json()).error.code]).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE'])
    const graphql = await fetch(`${origin}/graphql`, { method: 'POST', headers, body: '{"query": ' })
    expect([graphql.status, (await graphql.json()).errors[0].extensions.code]).toEqual([400, 'VALIDATION_ERROR'])
  })
})
