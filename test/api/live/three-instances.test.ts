import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { createClient } from 'graphql-ws'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { type Api, startApi } from '../../../src/api/server.js'
import { readApiConfig } from '../../../src/config.js'
import { type ApiUnderTest, eventually, graphql, startApiUnderTest } from '../../support/api.js'
import { linesOf, liveDoorNames, liveDoors, numbers, readSocket, stepsOf } from './readers.js'

let under: ApiUnderTest
let apis: Api[]
let front: Front

beforeAll(async () => {
  under = await startApiUnderTest()
  const { databaseUrl, stub, api } = under
  const settings = { SCAIMIND_PORT: '0', SCAIMIND_GRPC_PORT: String(stub.port), SCAIMIND_API_SECRET: stub.secret }
  const another = () => startApi(readApiConfig({ DATABASE_URL: databaseUrl, SCAIMIND_LOG_LEVEL: 'silent', ...settings }))
  apis = [api, await another(), await another()]
  front = await openFront(apis.map(({ port }) => port))
})
afterAll(async () => {
  front?.close()
  for (const api of apis?.slice(1) ?? []) await api.close()
  await under?.close()
})

/** One address before several instances. */
interface Front {
  url: string
  /** Sends nobody there any more. */
  remove(port: number): void
  close(): void
}

/** Hands each connection to the next instance. */
async function openFront(ports: number[]): Promise<Front> {
  const sockets = new Set<Socket>()
  const left = [...ports]
  let turn = 0
  const server: Server = createServer((socket) => {
    const other = connect(left[turn++ % left.length] ?? 0, '127.0.0.1')
    for (const end of [socket, other]) {
      sockets.add(end)
      end.on('error', () => {}).on('close', () => sockets.delete(end))
    }
    socket.on('close', () => other.destroy())
    other.on('close', () => socket.destroySoon())
    socket.pipe(other).pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    remove: (port) => left.splice(left.indexOf(port), 1),
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

async function samplesOf(api: Api): Promise<Map<string, number>> {
  const text = await (await fetch(`${api.url}/metrics`)).text()
  const lines = text.split('\n').filter((line) => line && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}

describe('Three instances behind one address', () => {
  it('tell every reader every step once, over one upstream stream each', async () => {
    const { id, key } = await under.tenant()
    const { job_id: jobId } = under.stub.addJob(id)
    under.stub.writeMetrics(jobId, 50)
    const before = under.stub.calls.get('StreamJobMetrics') ?? 0
    const open = (door: (typeof liveDoorNames)[number]) => liveDoors[door]({ url: front.url, key, jobId })
    const readers = liveDoorNames.flatMap((door) => numbers(1, 6).map(() => open(door)))
    for (const reader of readers) await reader.until((told) => stepsOf(told).includes(50))
    under.stub.writeMetrics(jobId, 200)
    under.stub.end(jobId)
    for (const reader of readers) {
      expect(await reader.ended).toEqual({ how: 'complete', failure: undefined })
      expect(stepsOf(reader.told)).toEqual(numbers(1, 250))
    }
    expect((under.stub.calls.get('StreamJobMetrics') ?? 0) - before).toBe(3)
  })

  it('tell what was changed through one of them to the subscribers of all', async () => {
    const { id, key } = await under.tenant()
    const { job_id: jobId } = under.stub.addJob(id)
    const query = 'subscription ($id: ID!) { it: jobUpdated(jobId: $id) { cursor job { status } } }'
    const readers = apis.map(({ url }) => readSocket(url, key, query, { id: jobId }))
    for (const reader of readers) await reader.until((told) => told.length > 0)
    const paused = `mutation ($id: ID!) { pauseJob(jobId: $id) { ... on PauseJobSuccess { job { status } } } }`
    const { data } = await graphql(front.url, key, paused, { id: jobId })
    expect(data.pauseJob.job.status).toBe('PAUSED')
    const isPaused = (told: unknown[]) => (told.at(-1) as { job: { status: string } }).job.status === 'PAUSED'
    for (const reader of readers) {
      await reader.until(isPaused)
      reader.leave()
    }
  })

  it('count what they do, and no label holds a user’s text', async () => {
    const { id, key } = await under.tenant()
    const { job_id: jobId } = under.stub.addJob(id, { name: 'the-name-of-a-job' })
    const [, api] = apis as [Api, Api]
    const before = await samplesOf(api)
    const grown = (after: Map<string, number>, name: string) => (after.get(name) ?? 0) - (before.get(name) ?? 0)
    under.stub.writeMetrics(jobId, 100)
    under.stub.writeLogs(jobId, ['the-text-of-a-line'])
    const readers = [
      ...liveDoorNames.map((door) => liveDoors[door]({ url: api.url, key, jobId })),
      liveDoors['graphql-ws']({ url: api.url, key, jobId, kind: 'logs' }),
    ]
    const thinned = readSocket(
      api.url,
      key,
      'subscription ($id: ID!) { it: jobMetrics(jobId: $id, maxPerSecond: 1) { ... on MetricBatch { thinned records { step } } } }',
      { id: jobId },
    )
    const changes = readSocket(api.url, key, 'subscription { it: jobsUpdated { cursor job { name } } }', {})
    for (const reader of readers) await reader.until((told) => stepsOf(told).includes(100) || linesOf(told).length > 0)
    await thinned.until((told) => stepsOf(told).includes(100))
    await eventually(async () => (await samplesOf(api)).get('scaimind_live_readers') === 6)
    under.stub.change(jobId, { message: 'the-text-of-a-message' })
    await changes.until((told) => told.length > 0)
    const open = await samplesOf(api)
    const ofKinds = (name: string) => ['metrics', 'logs'].map((kind) => open.get(`${name}{kind="${kind}"}`))
    // Metrics and what is thinned of them, and lines.
    expect(ofKinds('scaimind_live_topics')).toEqual([2, 1])
    expect(ofKinds('scaimind_live_upstream_streams')).toEqual([1, 1])
    expect(open.get('scaimind_live_topics{kind="events"}')).toBeGreaterThan(0)
    expect(grown(open, 'scaimind_live_messages_in_total{kind="metrics"}')).toBe(2)
    expect(grown(open, 'scaimind_live_messages_in_total{kind="logs"}')).toBe(1)
    expect(grown(open, 'scaimind_live_messages_in_total{kind="events"}')).toBeGreaterThan(0)
    expect(grown(open, 'scaimind_live_messages_out_total')).toBe(3 * 2 + 1 + thinned.told.length + changes.told.length)
    expect(grown(open, 'scaimind_live_thinned_records_total{kind="metrics"}')).toBe(100 - stepsOf(thinned.told).length)
    expect(open.get('scaimind_live_ring_bytes')).toBeGreaterThan(100 * 200)
    expect(open.get('scaimind_live_ring_bytes')).toBeLessThan(1024 * 1024)
    expect(open.get('scaimind_live_waiting_bytes')).toBe(0)
    expect(open.get('scaimind_live_lag_seconds')).toBeLessThan(1)
    for (const reader of [...readers, thinned, changes]) reader.leave()
    await eventually(async () => (await samplesOf(api)).get('scaimind_live_readers') === 0)
    for (const name of (await samplesOf(api)).keys()) {
      for (const text of [id, key, jobId, 'the-name', 'the-text']) expect(name).not.toContain(text)
    }
  })

  it('one is closed: its clients go on with the others, nothing lost and nothing twice', async () => {
    const { id, key } = await under.tenant()
    const { job_id: jobId } = under.stub.addJob(id)
    under.stub.writeMetrics(jobId, 40)
    const clients = numbers(1, 6).map(() => followOn(front.url, key, jobId))
    for (const client of clients) await client.until(40)
    const [, , last] = apis as [Api, Api, Api]
    expect((await samplesOf(last)).get('scaimind_websocket_connections')).toBe(2)
    front.remove(last.port)
    const closed = last.close()
    for (let written = 40; written < 240; written += 40) {
      under.stub.writeMetrics(jobId, 40)
      await clients[0]?.until(written + 40)
    }
    await closed
    under.stub.writeMetrics(jobId, 60)
    under.stub.end(jobId)
    for (const client of clients) {
      await client.completed
      expect(client.steps).toEqual(numbers(1, 300))
    }
    expect(clients.map(({ closings }) => closings.filter((code) => code === 1001).length).sort()).toEqual([0, 0, 0, 0, 1, 1])
  })
})

/** A client as users have it: it comes back by itself, and says after which cursor. */
function followOn(url: string, key: string, jobId: string) {
  const steps: number[] = []
  const closings: number[] = []
  const variables: { id: string; after?: string } = { id: jobId }
  let look = () => {}
  const client = createClient({
    url: `${url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${key}` },
    retryWait: async () => {},
    on: { closed: (event) => closings.push((event as CloseEvent).code) },
  })
  interface Batch {
    cursor: string
    records?: { step: number }[]
  }
  const query = `subscription ($id: ID!, $after: String) { it: jobMetrics(jobId: $id, after: $after) {
    ... on MetricBatch { cursor records { step } } ... on StreamEnd { cursor }
  } }`
  const completed = new Promise<void>((complete, error) => {
    client.subscribe<{ it: Batch }>(
      { query, variables: variables as unknown as Record<string, unknown> },
      {
        next({ data }) {
          if (!data) return
          variables.after = data.it.cursor
          steps.push(...(data.it.records ?? []).map(({ step }) => step))
          look()
        },
        complete,
        error,
      },
    )
  }).finally(() => client.dispose())
  return {
    steps,
    closings,
    completed,
    async until(step: number) {
      while (!steps.includes(step)) await new Promise<void>((resolve) => (look = resolve))
    },
  }
}
