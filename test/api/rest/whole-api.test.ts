import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apiKeyStore } from '../../../src/api/auth/api-keys.js'
import { chunksOf, readFrames, type SseFrame } from '../../../src/cli/job/sse.js'
import { type ApiUnderTest, eventually, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'
import { expectDocumentedAnswer } from '../../support/documented.js'
import { submission } from './support.js'

let whole: ApiUnderTest
let tenant: TenantUnderTest

beforeAll(async () => {
  whole = await startApiUnderTest()
  tenant = await whole.tenant()
})
afterAll(async () => {
  await whole?.close()
})

async function send(method: string, path: string, { key = tenant.key, body, headers = {} }: Sending = {}) {
  const response = await fetch(`${whole.api.url}/v1/modules/scaimind${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  // biome-ignore lint/suspicious/noExplicitAny: tests read answers as callers do, by name
  const answer = (await response.json()) as any
  expectDocumentedAnswer(method, path, response.status, answer)
  return { status: response.status, headers: response.headers, body: answer }
}

interface Sending {
  key?: string
  body?: unknown
  headers?: Record<string, string>
}

interface Reading {
  from?: ApiUnderTest
  by?: TenantUnderTest
  headers?: Record<string, string>
  isEnough?: (frame: SseFrame) => boolean
}

/** Frames of a stream up to its close, or up to the one that is enough. */
async function frames(path: string, { from = whole, by = tenant, headers = {}, isEnough = () => false }: Reading = {}) {
  const leaving = new AbortController()
  const response = await fetch(`${from.api.url}/v1/modules/scaimind${path}`, {
    headers: { authorization: `Bearer ${by.key}`, ...headers },
    signal: leaving.signal,
  })
  const read: SseFrame[] = []
  if (!response.body) throw new Error('no body')
  for await (const frame of readFrames(chunksOf(response.body))) {
    read.push(frame)
    if (isEnough(frame)) break
  }
  leaving.abort()
  return read
}

const steps = (read: SseFrame[]) => read.filter(({ id }) => id).map(({ data }) => JSON.parse(data).step as number)
const oneTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1)

describe('Through the whole API', () => {
  it('a job is submitted, read, listed and cancelled', async () => {
    const made = await send('POST', '/jobs', { body: submission(), headers: { 'idempotency-key': 'k1', 'x-request-id': 'trace-7' } })
    expect(made).toMatchObject({ status: 201, body: { data: { status: 'QUEUED', message: 'Accepted.', estimated_wait_seconds: 1.5 } } })
    const { job_id: id } = made.body.data
    const asked = whole.stub.requests.findLast(({ method }) => method === 'SubmitJob')
    expect(asked?.request).toMatchObject({
      idempotency_key: 'k1',
      spec: { name: 'dictionary', training_config: { hyperparameters: { max_steps: '60', learning_rate: '0.001' } } },
    })
    expect(asked?.metadata.getMap()).toMatchObject({ 'x-request-id': 'trace-7', 'x-tenant-id': tenant.id })
    expect((await send('GET', `/jobs/${id}`)).body).toMatchObject({ data: { job_id: id, tenant_id: tenant.id }, meta: {} })
    expect((await send('GET', '/jobs?page_size=1')).body.data).toMatchObject({ jobs: [{ job_id: id }], total_count: 1 })
    const cancelled = await send('POST', `/jobs/${id}/cancel`, { body: { reason: 'too dear' } })
    expect(cancelled).toMatchObject({ status: 200, body: { data: { job_id: id, status: 'CANCELLED', available_actions: ['RETRY'] } } })
  })

  it("another tenant's job does not exist, and a key without the permission is told which", async () => {
    const { job_id: id } = whole.stub.addJob(tenant.id)
    const other = await whole.tenant()
    for (const path of ['', '/metrics', '/metrics/stream', '/logs', '/checkpoints', '/events']) {
      expect(await send('GET', `/jobs/${id}${path}`, { key: other.key })).toMatchObject({
        status: 404,
        body: { error: { code: 'JOB_NOT_FOUND' } },
      })
    }
    const viewer = await whole.tenant(['tenant_viewer'])
    const refused = await send('POST', '/jobs', { key: viewer.key, body: submission() })
    expect(refused).toMatchObject({ status: 403, body: { error: { code: 'AUTHZ_PERMISSION_DENIED' } } })
    expect(refused.body.error.message).toContain('scaimind:manage')
  })

  it('what the coordinator refuses comes with its fields', async () => {
    const fields = [{ path: 'resource_config.gpu_count', message: 'The cluster has 0 GPUs.' }]
    whole.stub.refusals.set('SubmitJob', { code: 'INVALID_ARGUMENT', message: 'Too many GPUs.', fields })
    const { status, body } = await send('POST', '/jobs', { body: submission() })
    whole.stub.refusals.delete('SubmitJob')
    expect({ status, error: body.error }).toEqual({
      status: 400,
      error: {
        code: 'INVALID_ARGUMENT',
        message: 'Too many GPUs.',
        details: [{ field: 'resource_config.gpu_count', message: 'The cluster has 0 GPUs.' }],
      },
    })
  })

  it('the cluster, its nodes and its queue are read', async () => {
    expect((await send('GET', '/cluster')).body.data).toMatchObject({ nodes_total: 1, engine: 'stub' })
    expect((await send('GET', '/nodes/n2')).body.data).toMatchObject({ node_id: 'n2', memory_bytes: 8589934592 })
    expect((await send('GET', '/queue')).body.data).toMatchObject({ depth: 1, depths: [{ queue: 'default', priority: 5, jobs: 1 }] })
    expect(await send('GET', '/nodes/n9')).toMatchObject({ status: 404, body: { error: { code: 'NODE_NOT_FOUND' } } })
  })

  it('metrics come once each, over a lost connection and on from the last one seen', async () => {
    const { job_id: id } = whole.stub.addJob(tenant.id, { status: 'TRAINING' })
    whole.stub.writeMetrics(id, 20)
    const seen = await frames(`/jobs/${id}/metrics/stream`, { isEnough: ({ data }) => JSON.parse(data).step === 7 })
    const last = seen.at(-1)?.id ?? ''
    const rest = frames(`/jobs/${id}/metrics/stream`, { headers: { 'last-event-id': last } })
    whole.stub.breakStreams('StreamJobMetrics')
    whole.stub.writeMetrics(id, 30)
    whole.stub.end(id)
    const more = await rest
    expect([...steps(seen), ...steps(more)]).toEqual(oneTo(50))
    expect(more.at(-1)).toEqual({ data: '[DONE]' })
    const other = whole.stub.addJob(tenant.id)
    expect(await send('GET', `/jobs/${other.job_id}/metrics/stream`, { headers: { 'last-event-id': last } })).toMatchObject({
      status: 400,
      body: { error: { code: 'CURSOR_INVALID' } },
    })
  })

  it('logs are read to what is there, from their tail, and followed to the end', async () => {
    const { job_id: id } = whole.stub.addJob(tenant.id, { status: 'TRAINING' })
    whole.stub.writeLogs(id, ['one', 'two', 'three'])
    const texts = (read: SseFrame[]) => read.map(({ data }) => (data === '[DONE]' ? data : JSON.parse(data).text))
    expect(texts(await frames(`/jobs/${id}/logs?follow=false`))).toEqual(['one', 'two', 'three', '[DONE]'])
    expect(texts(await frames(`/jobs/${id}/logs?follow=false&tail=1`))).toEqual(['three', '[DONE]'])
    whole.stub.end(id)
    expect(texts(await frames(`/jobs/${id}/logs?tail=2`))).toEqual(['two', 'three', '[DONE]'])
  })

  it('events are told up to the one that made the job terminal', async () => {
    const { job_id: id } = whole.stub.addJob(tenant.id)
    whole.stub.change(id, { status: 'TRAINING' })
    whole.stub.change(id, { status: 'COMPLETED' })
    const told = await frames(`/jobs/${id}/events`, { headers: { accept: 'text/event-stream' } })
    expect(told.map(({ data }) => (data === '[DONE]' ? data : JSON.parse(data).to_status))).toEqual([
      'QUEUED',
      'TRAINING',
      'COMPLETED',
      '[DONE]',
    ])
    const { body } = await send('GET', `/jobs/${id}/events`)
    expect(body.data.events.map(({ to_status }: { to_status: string }) => to_status)).toEqual(['QUEUED', 'TRAINING', 'COMPLETED'])
  })

  it('a stream ends with its key', async () => {
    const { job_id: id } = whole.stub.addJob(tenant.id, { status: 'TRAINING' })
    whole.stub.writeMetrics(id, 1)
    const ended = frames(`/jobs/${id}/metrics/stream`)
    await whole.stub.until(() => whole.stub.openStreams('StreamJobMetrics') > 0)
    const keys = apiKeyStore(whole.database)
    await keys.revoke(tenant.keyId)
    keys.close()
    const told = await ended
    expect(told.slice(-2)).toMatchObject([{ event: 'error', data: expect.stringContaining('AUTH_TOKEN_INVALID') }, { data: '[DONE]' }])
    tenant = await whole.tenant()
  })

  it('without the coordinator reads are stale, writes say when to come back, and all is well again with it', async () => {
    const { body } = await send('POST', '/jobs', { body: submission() })
    const { job_id: id } = body.data
    await send('GET', '/queue')
    whole.stub.stop()
    for (const path of [`/jobs/${id}`, '/jobs', '/queue']) {
      const { status, body } = await eventually(() => send('GET', path))
      expect({ path, status, stale: body.meta.stale }).toEqual({ path, status: 200, stale: true })
      expect(body.meta.synced_at).toMatch(/^\d{4}-.*Z$/)
    }
    const refused = await send('POST', `/jobs/${id}/cancel`)
    expect(refused).toMatchObject({ status: 503, body: { error: { code: 'COORDINATOR_UNAVAILABLE', retry_after: 2 } } })
    expect(refused.headers.get('retry-after')).toBe('2')
    await whole.stub.start()
    await eventually(
      () => send('POST', `/jobs/${id}/cancel`),
      ({ status }) => status === 200,
    )
  })

  it('a stream that the API stops in the middle of says so', async () => {
    const own = await startApiUnderTest()
    const by = await own.tenant()
    const { job_id: id } = own.stub.addJob(by.id, { status: 'TRAINING' })
    own.stub.writeMetrics(id, 3)
    const told = frames(`/jobs/${id}/metrics/stream`, { from: own, by })
    await own.stub.until(() => own.stub.openStreams('StreamJobMetrics') > 0)
    await own.close()
    const last = (await told).slice(-2)
    expect(last).toMatchObject([{ event: 'error', data: expect.stringContaining('Last-Event-ID') }, { data: '[DONE]' }])
  })
})
