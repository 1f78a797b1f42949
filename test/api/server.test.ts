import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { startApi } from '../../src/api/server.js'
import { readApiConfig } from '../../src/config.js'
import { type ApiUnderTest, eventually, startApiUnderTest } from '../support/api.js'
import { freshDatabase } from '../support/database.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())

describe('The server', () => {
  it('tells its health without a key, and what it does to Prometheus', async () => {
    const health = await eventually(
      async () => (await fetch(`${under.api.url}/health`)).json() as Promise<{ coordinator: string; cache: string }>,
      ({ cache }) => cache === 'fresh',
    )
    expect(health).toEqual({ status: 'ok', database: 'ok', coordinator: 'ok', cache: 'fresh' })
    const tenant = await under.tenant()
    await tenant.graphql('{ cluster { engine } }')
    const text = await (await fetch(`${under.api.url}/metrics`)).text()
    expect(text).toContain('scaimind_coordinator_calls_total{method="GetCluster",code="OK"} 1')
    expect(text).toContain('scaimind_cache_fresh 1')
    expect(text).not.toContain(tenant.id)
  })

  it('GraphiQL comes whole from here, compressed, and is kept by the browser', async () => {
    const ask = (headers: Record<string, string>) => fetch(`${under.api.url}/`, { headers: { accept: 'text/html', ...headers } })
    const page = await ask({ 'accept-encoding': 'br' })
    expect(page.url).toBe(`${under.api.url}/graphql`)
    expect(page.headers.get('content-encoding')).toBe('br')
    expect(Number(page.headers.get('content-length'))).toBeLessThan(4_000_000)
    const text = await page.text()
    expect(text).toContain('renderYogaGraphiQL')
    expect(text).toContain('graphql-transport-ws')
    const loaded = [...text.matchAll(/<(?:script|link)[^>]+(?:src|href)="(?!data:)([^"]+)"/g)].map((match) => match[1])
    expect(loaded).toEqual([])
    expect((await ask({ 'if-none-match': page.headers.get('etag') ?? '' })).status).toBe(304)
    expect((await ask({ 'accept-encoding': 'identity' })).headers.get('content-encoding')).toBeNull()
  })

  it('REST answers beside it, and a path that is not there says so', async () => {
    const tenant = await under.tenant()
    const { job_id } = under.stub.addJob(tenant.id)
    const answer = await fetch(`${under.api.url}/v1/modules/scaimind/jobs/${job_id}`, {
      headers: { authorization: `Bearer ${tenant.key}` },
    })
    expect(await answer.json()).toMatchObject({ status: 'ok', data: { job_id } })
    expect((await fetch(`${under.api.url}/nothing`)).status).toBe(404)
  })

  it('a client that leaves an SSE stream leaves nothing open at the coordinator', async () => {
    const tenant = await under.tenant()
    const { job_id } = under.stub.addJob(tenant.id)
    under.stub.writeMetrics(job_id, 1)
    const left = new AbortController()
    const response = await fetch(`${under.api.url}/graphql`, {
      method: 'POST',
      signal: left.signal,
      headers: { accept: 'text/event-stream', 'content-type': 'application/json', authorization: `Bearer ${tenant.key}` },
      body: JSON.stringify({ query: `subscription { jobMetrics(jobId: "${job_id}") { __typename } }` }),
    })
    await response.body?.getReader().read()
    await eventually(() => under.stub.openStreams('StreamJobMetrics') === 1)
    left.abort()
    await eventually(() => under.stub.openStreams('StreamJobMetrics') === 0)
  })

  it('a port that is taken and a database that is not there stop the start with one line that names the setting', async () => {
    const taken = createServer()
    await new Promise<void>((done) => taken.listen(0, '127.0.0.1', done))
    const { port } = taken.address() as AddressInfo
    const settings = {
      SCAIMIND_API_SECRET: 'a-secret-of-the-test',
      SCAIMIND_LOG_LEVEL: 'silent',
      SCAIMIND_GRPC_PORT: String(under.stub.port),
    }
    const start = (env: Record<string, string>) => startApi(readApiConfig({ ...settings, ...env }))
    const url = await freshDatabase('api')
    await expect(start({ DATABASE_URL: url, SCAIMIND_PORT: String(port) })).rejects.toThrow(new RegExp(`^SCAIMIND_PORT: port ${port} .*$`))
    taken.close()
    await expect(start({ DATABASE_URL: 'mysql://nobody:x@127.0.0.1:1/none', SCAIMIND_PORT: '0' })).rejects.toThrow(/^DATABASE_URL: .*$/)
  })

  it('closing ends streams in order: SSE ends without being completed, WebSockets are told that it goes away', async () => {
    const other = await startApiUnderTest()
    const tenant = await other.tenant()
    const { job_id } = other.stub.addJob(tenant.id)
    other.stub.writeMetrics(job_id, 1)
    const sse = await fetch(`${other.api.url}/graphql`, {
      method: 'POST',
      headers: { accept: 'text/event-stream', 'content-type': 'application/json', authorization: `Bearer ${tenant.key}` },
      body: JSON.stringify({ query: `subscription { jobMetrics(jobId: "${job_id}") { __typename } }` }),
    })
    const socket = new WebSocket(`${other.api.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws')
    await new Promise((done) => socket.once('open', done))
    const closed = new Promise<number>((done) => socket.once('close', done))
    await eventually(() => other.stub.openStreams('StreamJobMetrics') === 1)
    const ended = other.close()
    const text = await sse.text()
    expect(text).not.toContain('event: complete')
    expect(text).toMatch(/^retry: \d+\n\n/)
    expect(await closed).toBe(1001)
    await ended
  })
})
