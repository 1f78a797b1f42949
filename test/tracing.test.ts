import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createClient } from 'graphql-ws'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { readApiConfig, readCoordinatorConfig } from '../src/config.js'
import { freePort } from '../src/database/free-port.js'
import { eventually, startApiUnderTest } from './support/api.js'
import { Collector, type SentSpan } from './support/collector.js'
import { keepOnFailure, type Stack, startStack } from './support/stack.js'

const asks = 3
const answers = 2
const failed = 2

/** A caller's span: its header, and the ids in it. */
function callersSpan() {
  const hex = (length: number) => Array.from({ length }, () => Math.floor(Math.random() * 15 + 1).toString(16)).join('')
  const traceId = hex(32)
  const spanId = hex(16)
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-01` }
}

describe('Without a collector', () => {
  it('nothing that makes traces is loaded, and none is carried on', async () => {
    const under = await startApiUnderTest()
    try {
      const { key } = await under.tenant()
      const answer = await fetch(`${under.api.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${key}`, traceparent: callersSpan().traceparent },
        body: JSON.stringify({ query: '{ cluster { engine } }' }),
      })
      expect(answer.status).toBe(200)
      const asked = under.stub.requests.find(({ method }) => method === 'GetCluster')
      expect(asked?.metadata.get('x-tenant-id')).toHaveLength(1)
      expect(asked?.metadata.get('traceparent')).toEqual([])
      const loaded = Object.keys(createRequire(import.meta.url).cache)
      expect(loaded.some((path) => path.includes('@opentelemetry/api/'))).toBe(true)
      expect(loaded.filter((path) => /@opentelemetry\/(sdk|exporter|otlp|resources|core)/.test(path))).toEqual([])
    } finally {
      await under.close()
    }
  })
})

it('A collector that is no URL of HTTP stops the start with a line that names it', () => {
  const settings = { DATABASE_URL: 'mysql://u:p@h/d', SCAIMIND_API_SECRET: 'x'.repeat(16), OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317' }
  expect(() => readApiConfig(settings)).toThrow('OTEL_EXPORTER_OTLP_ENDPOINT: must look like http://collector:4318')
  expect(() => readCoordinatorConfig(settings)).toThrow('OTEL_EXPORTER_OTLP_ENDPOINT: must look like http://collector:4318')
})

describe('With a collector', () => {
  let collector: Collector
  let stack: Stack
  const query = callersSpan()
  const refusal = callersSpan()
  const fault = callersSpan()
  const subscription = callersSpan()
  const secrets: string[] = []

  beforeAll(async () => {
    collector = await new Collector().start()
    stack = await startStack({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
    const tenant = await stack.tenant()
    secrets.push(tenant.key, tenant.id, stack.secret, 'nameOfTheCallers', 'job_0000')
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${tenant.key}` }
    const ask = (body: object, more: Record<string, string>, signal?: AbortSignal) =>
      fetch(`http://127.0.0.1:${stack.api.port}/graphql`, {
        method: 'POST',
        headers: { ...headers, ...more },
        body: JSON.stringify(body),
        ...(signal ? { signal } : {}),
      })

    await ask(
      { query: 'query nameOfTheCallers { cluster { engine } }' },
      {
        traceparent: query.traceparent,
        tracestate: 'nameOfTheCallers=1',
        baggage: 'nameOfTheCallers=1',
        'x-request-id': 'req-of-the-query',
      },
    )

    const pause = ({ traceparent }: typeof refusal) =>
      fetch(`http://127.0.0.1:${stack.api.port}/v1/modules/scaimind/jobs/job_00000000000000000000000000/pause`, {
        method: 'POST',
        headers: { ...headers, traceparent },
        body: '{}',
      })
    await pause(refusal)

    const leaving = new AbortController()
    const stream = await ask(
      { query: 'subscription { clusterNodesUpdated { nodeId } }' },
      { accept: 'text/event-stream', traceparent: subscription.traceparent },
      leaving.signal,
    )
    await stream.body?.getReader().read()
    leaving.abort()

    // Of another tenant, whose upstream nobody has open yet.
    const other = await stack.tenant()
    secrets.push(other.key, other.id)
    const client = createClient({
      url: `ws://127.0.0.1:${stack.api.port}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${other.key}` },
    })
    for await (const _message of client.iterate({ query: 'subscription { queueUpdated { depth } }' })) break
    await client.dispose()

    // Whoever stops sends what it has.
    expect(await stack.coordinator.stop()).toBe(0)
    await pause(fault)
    expect(await stack.api.stop()).toBe(0)
  })
  afterAll(async () => {
    await stack?.close()
    await collector?.close()
  })

  const spansOf = ({ traceId }: { traceId: string }) => collector.spans.filter((span) => span.traceId === traceId)
  const find = (spans: SentSpan[], name: string, kind: number) => spans.find((span) => span.name === name && span.kind === kind)

  it('a query is one trace, from the caller through the API to the coordinator', () => {
    keepOnFailure(stack)
    const spans = spansOf(query)
    const request = find(spans, 'POST graphql', answers)
    const call = find(spans, 'scaimind.v1.ClusterService/GetCluster', asks)
    const answer = find(spans, 'scaimind.v1.ClusterService/GetCluster', answers)
    expect(spans).toHaveLength(3)
    expect(request).toMatchObject({ service: 'scaimind-api', parentSpanId: query.spanId, status: 0 })
    expect(call).toMatchObject({ service: 'scaimind-api', parentSpanId: request?.spanId, status: 0 })
    expect(answer).toMatchObject({ service: 'scaimind-coordinator', parentSpanId: call?.spanId, status: 0 })
    expect(request?.attributes).toEqual({
      'http.request.method': 'POST',
      'http.response.status_code': 200,
      'scaimind.door': 'graphql',
      'scaimind.request_id': 'req-of-the-query',
    })
    const ofCall = {
      'rpc.system.name': 'grpc',
      'rpc.method': 'scaimind.v1.ClusterService/GetCluster',
      'scaimind.request_id': 'req-of-the-query',
    }
    expect(call?.attributes).toEqual(ofCall)
    expect(answer?.attributes).toEqual(ofCall)
  })

  it('a refusal is told by its code, and is no fault', () => {
    const spans = spansOf(refusal)
    const name = 'scaimind.v1.CoordinatorService/PauseJob'
    for (const kind of [asks, answers]) {
      expect(find(spans, name, kind)).toMatchObject({ status: 0, attributes: { 'error.type': 'JOB_NOT_FOUND' } })
    }
    expect(find(spans, 'POST rest', answers)).toMatchObject({ status: 0, attributes: { 'http.response.status_code': 404 } })
  })

  it('a coordinator that is away is a fault, of the call and of the request', () => {
    const spans = spansOf(fault)
    const call = find(spans, 'scaimind.v1.CoordinatorService/PauseJob', asks)
    expect(call).toMatchObject({ status: failed, attributes: { 'error.type': 'COORDINATOR_UNAVAILABLE' } })
    expect(find(spans, 'POST rest', answers)).toMatchObject({ status: failed, attributes: { 'http.response.status_code': 503 } })
  })

  it('a stream is a span until it ends, in the trace of whoever opened it', () => {
    const spans = spansOf(subscription)
    const request = find(spans, 'POST graphql', answers)
    const stream = find(spans, 'scaimind.v1.ClusterService/StreamClusterEvents', asks)
    const answer = find(spans, 'scaimind.v1.ClusterService/StreamClusterEvents', answers)
    expect(stream).toMatchObject({ parentSpanId: request?.spanId })
    expect(answer).toMatchObject({ parentSpanId: stream?.spanId })
  })

  it('an operation over a WebSocket begins a trace, with what it opens upstream', () => {
    const operation = find(collector.spans, 'WEBSOCKET graphql', answers)
    expect(operation).toMatchObject({ service: 'scaimind-api', status: 0, attributes: { 'scaimind.door': 'graphql' } })
    const spans = collector.spans.filter((span) => span.traceId === operation?.traceId)
    const stream = find(spans, 'scaimind.v1.ClusterService/StreamClusterEvents', asks)
    const answer = find(spans, 'scaimind.v1.ClusterService/StreamClusterEvents', answers)
    expect(stream).toMatchObject({ parentSpanId: operation?.spanId })
    expect(answer).toMatchObject({ parentSpanId: stream?.spanId })
  })

  it('no key, name, secret or text of a caller is in what is sent', () => {
    expect(collector.text).toContain('scaimind.v1')
    expect(secrets.filter((secret) => collector.text.includes(secret))).toEqual([])
  })
})

describe('A collector that', () => {
  let stack: Stack | undefined
  afterEach(async () => {
    await stack?.close()
    stack = undefined
  })

  const ways = {
    'is away': async () => ({ url: `http://127.0.0.1:${await freePort()}`, close: async () => {} }),
    'never answers': () => new Collector().start({ silent: true }),
  }
  it.each(Object.entries(ways))('%s harms nothing: answers come, both stop, and the log says it once', async (_, open) => {
    const collector = await open()
    const hurried = { OTEL_BSP_SCHEDULE_DELAY: '20', OTEL_EXPORTER_OTLP_TIMEOUT: '100' }
    stack = await startStack({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/v1/traces`, OTEL_SERVICE_NAME: 'ours', ...hurried })
    keepOnFailure(stack)
    const logPath = join(stack.dataDir, 'api.log')
    const complaints = () => readFileSync(logPath, 'utf8').split('traces cannot be sent').length - 1
    const tenant = await stack.tenant()
    const ask = async () => expect(await tenant.data('{ cluster { engine } }')).toEqual({ cluster: { engine: 'local' } })
    await ask()
    await eventually(() => complaints() === 1)
    await ask()

    expect(await stack.api.stop()).toBe(0)
    expect(await stack.coordinator.stop()).toBe(0)
    expect(complaints()).toBe(1)
    await collector.close()
  })

  it('takes its time is waited for no longer than two seconds at the end', async () => {
    const collector = await new Collector().start({ silent: true })
    stack = await startStack({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
    keepOnFailure(stack)
    const tenant = await stack.tenant()
    await tenant.data('{ cluster { engine } }')
    const stoppedAt = performance.now()
    expect(await stack.api.stop()).toBe(0)
    const tookMs = performance.now() - stoppedAt
    expect(collector.spans.map(({ name }) => name)).toContain('POST graphql')
    // The library itself would wait for ten.
    expect(tookMs).toBeGreaterThan(1900)
    expect(tookMs).toBeLessThan(9500)
    await collector.close()
  })
})
