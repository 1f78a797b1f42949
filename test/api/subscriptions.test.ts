import { createClient as createSseClient } from 'graphql-sse'
import { createClient } from 'graphql-ws'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { type ApiUnderTest, eventually, startApiUnderTest, type TenantUnderTest } from '../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())

interface Message {
  __typename: string
  cursor: string
  records?: { step?: number; text?: string; values?: { name: string }[] }[]
  status?: string
  thinned?: number
}

const metrics = `subscription ($id: ID!, $after: String, $names: [String!], $max: Int) {
  it: jobMetrics(jobId: $id, after: $after, names: $names, maxPerSecond: $max) {
    __typename
    ... on MetricBatch { cursor thinned records { step values { name value } } }
    ... on StreamGap { cursor from to reason }
    ... on StreamEnd { cursor status }
  }
}`
const logs = `subscription ($id: ID!, $after: String, $tail: Int, $level: LogLevel) {
  it: jobLogs(jobId: $id, after: $after, tail: $tail, level: $level) {
    __typename
    ... on LogBatch { cursor records { text } }
    ... on StreamEnd { cursor status }
  }
}`
const updates = `subscription ($id: ID!, $after: String) {
  it: jobUpdated(jobId: $id, after: $after) { cursor event { type toStatus } job { status } }
}`

type Transport = (tenant: TenantUnderTest, query: string, variables: Record<string, unknown>) => AsyncIterableIterator<Message>

const transports: Record<string, Transport> = {
  async *WebSocket(tenant, query, variables) {
    const client = createClient({
      url: `${under.api.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { authorization: `Bearer ${tenant.key}` },
      retryAttempts: 0,
    })
    try {
      for await (const { data, errors } of client.iterate<{ it: Message }>({ query, variables })) {
        if (errors) throw Object.assign(new Error(errors[0]?.message), { code: errors[0]?.extensions?.code })
        if (data) yield data.it
      }
    } finally {
      await client.dispose()
    }
  },
  async *SSE(tenant, query, variables) {
    const client = createSseClient({
      url: `${under.api.url}/graphql`,
      headers: { authorization: `Bearer ${tenant.key}` },
      retryAttempts: 0,
    })
    try {
      for await (const { data, errors } of client.iterate<{ it: Message }>({ query, variables })) {
        if (errors) throw Object.assign(new Error(errors[0]?.message), { code: errors[0]?.extensions?.code })
        if (data) yield data.it
      }
    } finally {
      client.dispose()
    }
  },
}

const steps = (messages: Message[]) => messages.flatMap(({ records }) => records?.map(({ step }) => step) ?? [])
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index)

async function known(tenant: TenantUnderTest, job: object = {}): Promise<string> {
  const { job_id } = under.stub.addJob(tenant.id, job)
  // In the list it is when its events have been told.
  await eventually(async () => (await tenant.graphql('{ jobs { nodes { jobId } } }')).data.jobs.nodes[0]?.jobId === job_id)
  return job_id
}

describe.each(Object.entries(transports))('Subscriptions over %s', (_name, subscribe) => {
  it('metrics are told from the first record, live, and end with the job', async () => {
    const tenant = await under.tenant()
    const id = await known(tenant)
    under.stub.writeMetrics(id, 60)
    const got: Message[] = []
    for await (const message of subscribe(tenant, metrics, { id })) {
      got.push(message)
      if (steps(got).length === 60) under.stub.writeMetrics(id, 5)
      if (steps(got).length === 65) under.stub.end(id)
    }
    expect(steps(got)).toEqual(numbers(1, 65))
    expect(got.at(-1)).toMatchObject({ __typename: 'StreamEnd', status: 'COMPLETED' })
  })

  it('a stream that is left is resumed after its last cursor, nothing lost and nothing twice', async () => {
    const tenant = await under.tenant()
    const id = await known(tenant)
    const got: Message[] = []
    let after: string | null = null
    under.stub.writeMetrics(id, 200)
    under.stub.end(id)
    for (let round = 0; round < 50 && got.at(-1)?.__typename !== 'StreamEnd'; round++) {
      for await (const message of subscribe(tenant, metrics, { id, after })) {
        got.push(message)
        after = message.cursor
        break
      }
    }
    expect(steps(got)).toEqual(numbers(1, 200))
  })

  it('logs begin with the last lines that are asked for, and can be filtered by level', async () => {
    const tenant = await under.tenant()
    const id = await known(tenant)
    under.stub.writeLogs(id, ['a', 'b', 'c', 'd'])
    const texts: (string | undefined)[] = []
    for await (const { records = [] } of subscribe(tenant, logs, { id, tail: 2 })) {
      texts.push(...records.map(({ text }) => text))
      if (texts.length === 2) {
        under.stub.writeLogs(id, ['e'])
        under.stub.end(id)
      }
    }
    expect(texts).toEqual(['c', 'd', 'e'])
    under.stub.writeLogs(id, ['bad'], 'ERROR')
    const graver: (string | undefined)[] = []
    for await (const { records = [] } of subscribe(tenant, logs, { id, level: 'WARN' })) graver.push(...records.map(({ text }) => text))
    expect(graver).toEqual(['bad'])
  })

  it('a job is told as it is, then as it changes, and the stream ends with it', async () => {
    const tenant = await under.tenant()
    const id = await known(tenant)
    const told: Message[] = []
    for await (const message of subscribe(tenant, updates, { id })) {
      told.push(message)
      if (told.length === 1) under.stub.change(id, { status: 'TRAINING' })
      if (told.length === 2) under.stub.change(id, { status: 'COMPLETED' })
    }
    expect(told).toMatchObject([
      { event: null, job: { status: 'QUEUED' } },
      { event: { type: 'STATUS_CHANGED' }, job: { status: 'TRAINING' } },
      { event: { type: 'STATUS_CHANGED', toStatus: 'COMPLETED' }, job: { status: 'COMPLETED' } },
    ])
    const again: Message[] = []
    for await (const message of subscribe(tenant, updates, { id })) again.push(message)
    expect(again).toMatchObject([{ event: null, job: { status: 'COMPLETED' } }])
  })

  it('changes of a job are told after a cursor, and nothing is told after the last', async () => {
    const tenant = await under.tenant()
    const id = await known(tenant)
    const { value: first } = await subscribe(tenant, updates, { id }).next()
    under.stub.change(id, { message: 'one' })
    under.stub.change(id, { status: 'COMPLETED' })
    const resumed: Message[] = []
    for await (const message of subscribe(tenant, updates, { id, after: first.cursor })) resumed.push(message)
    expect(resumed).toMatchObject([{ event: { type: 'UPDATED' } }, { event: { type: 'STATUS_CHANGED', toStatus: 'COMPLETED' } }])
    const left: Message[] = []
    for await (const message of subscribe(tenant, updates, { id, after: resumed.at(-1)?.cursor })) left.push(message)
    expect(left).toEqual([])
  })

  it('another tenant’s job, an unknown one and a cursor of another job are refused', async () => {
    const [tenant, other] = [await under.tenant(), await under.tenant()]
    const [id, otherId] = [await known(tenant), await known(other)]
    under.stub.writeMetrics(otherId, 1)
    const cursor = under.stub.metrics.get(otherId)?.records[0]?.cursor
    const outcome = async (variables: object) =>
      subscribe(tenant, metrics, { ...variables })
        .next()
        .then(
          () => 'nothing',
          (error: { code?: string }) => error.code,
        )
    expect(await outcome({ id: otherId })).toBe('JOB_NOT_FOUND')
    expect(await outcome({ id: 'job_unknown' })).toBe('JOB_NOT_FOUND')
    expect(await outcome({ id, after: cursor })).toBe('CURSOR_INVALID')
    expect(await outcome({ id, after: 'rubbish' })).toBe('CURSOR_INVALID')
  })

  it('a key that is revoked ends its streams within a second or so', async () => {
    const tenant = await under.tenant()
    const id = await known(tenant)
    under.stub.writeMetrics(id, 1)
    const stream = subscribe(tenant, metrics, { id })
    await stream.next()
    const started = Date.now()
    await under.database.apiKey.updateMany({ where: { keyId: tenant.keyId }, data: { revokedAt: new Date() } })
    await expect(stream.next()).rejects.toBeTruthy()
    expect(Date.now() - started).toBeLessThan(5000)
    expect((await tenant.graphql('{ viewer { keyId } }')).errors?.[0]?.extensions.code).toBe('AUTH_TOKEN_INVALID')
  })
})

describe('Subscriptions', () => {
  it('SSE frames carry the cursor as their id, and Last-Event-ID fills an absent after', async () => {
    const tenant = await under.tenant()
    const id = await known(tenant)
    under.stub.writeMetrics(id, 120)
    under.stub.end(id)
    const ask = async (headers: Record<string, string>) => {
      const query = `subscription { jobMetrics(jobId: "${id}") { __typename ... on MetricBatch { records { step } } } }`
      const response = await fetch(`${under.api.url}/graphql`, {
        method: 'POST',
        headers: { accept: 'text/event-stream', 'content-type': 'application/json', authorization: `Bearer ${tenant.key}`, ...headers },
        body: JSON.stringify({ query }),
      })
      const frames = (await response.text()).split('\n\n').filter((frame) => frame.startsWith('event: next'))
      return frames.map((frame) => ({
        id: /^id: (.+)$/m.exec(frame)?.[1],
        steps: (JSON.parse(/^data: (.+)$/m.exec(frame)?.[1] ?? '{}').data?.jobMetrics?.records ?? []).map(
          ({ step }: { step: number }) => step,
        ),
      }))
    }
    const whole = await ask({})
    expect(whole.flatMap((frame) => frame.steps)).toEqual(numbers(1, 120))
    const rest = await ask({ 'last-event-id': whole[0]?.id ?? '' })
    expect(rest.flatMap((frame) => frame.steps)).toEqual(numbers((whole[0]?.steps.length ?? 0) + 1, 120))
  })

  it('Last-Event-ID fills an absent after in a fragment, too', async () => {
    const tenant = await under.tenant()
    const id = await known(tenant)
    under.stub.writeMetrics(id, 5)
    under.stub.end(id)
    const steps = async (query: string, headers: Record<string, string> = {}) => {
      const response = await fetch(`${under.api.url}/graphql`, {
        method: 'POST',
        headers: { accept: 'text/event-stream', 'content-type': 'application/json', authorization: `Bearer ${tenant.key}`, ...headers },
        body: JSON.stringify({ query }),
      })
      const text = await response.text()
      return {
        steps: [...text.matchAll(/"step":(\d+)/g)].map(([, step]) => Number(step)),
        cursor: /"cursor":"([^"]+)"/.exec(text)?.[1] ?? '',
      }
    }
    const field = `jobMetrics(jobId: "${id}") { ... on MetricBatch { records { cursor step } } }`
    const { steps: all, cursor } = await steps(`subscription { ${field} }`)
    expect(all).toEqual(numbers(1, 5))
    const header = { 'last-event-id': cursor }
    expect((await steps(`subscription { ... on Subscription { ${field} } }`, header)).steps).toEqual(numbers(2, 5))
    expect((await steps(`subscription { ...f } fragment f on Subscription { ${field} }`, header)).steps).toEqual(numbers(2, 5))
  })

  it('a filter that no list would take is refused by jobsUpdated, too', async () => {
    const tenant = await under.tenant()
    const filter = { createdAfter: '2027-01-01T00:00:00Z', createdBefore: '2026-01-01T00:00:00Z', nameContains: '' }
    const response = await fetch(`${under.api.url}/graphql`, {
      method: 'POST',
      headers: { accept: 'text/event-stream', 'content-type': 'application/json', authorization: `Bearer ${tenant.key}` },
      body: JSON.stringify({
        query: 'subscription ($filter: JobFilter) { jobsUpdated(filter: $filter) { cursor } }',
        variables: { filter },
      }),
    })
    expect(await response.text()).toMatch(/VALIDATION_ERROR.*filter\.nameContains|filter\.nameContains.*VALIDATION_ERROR/)
  })

  it('maxPerSecond leaves out what is between and says how much', async () => {
    const tenant = await under.tenant()
    const id = await known(tenant)
    // Ten records a second by their own times.
    under.stub.writeMetrics(id, 100)
    under.stub.end(id)
    const got: Message[] = []
    for await (const message of transports.WebSocket?.(tenant, metrics, { id, max: 1 }) ?? []) got.push(message)
    expect(steps(got).length).toBeLessThanOrEqual(12)
    expect(steps(got)[0]).toBe(1)
    expect(steps(got).at(-1)).toBe(100)
    expect(steps(got).length + got.reduce((sum, { thinned = 0 }) => sum + thinned, 0)).toBe(100)
  })

  it('a reader of some metrics is told those only', async () => {
    const tenant = await under.tenant()
    const id = await known(tenant)
    under.stub.writeMetrics(id, 2)
    under.stub.end(id)
    const got: Message[] = []
    for await (const message of transports.SSE?.(tenant, metrics, { id, names: ['loss'] }) ?? []) got.push(message)
    expect(got[0]?.records?.map(({ values }) => values?.map(({ name }) => name))).toEqual([['loss'], ['loss']])
  })

  it('a WebSocket is closed with 4401 without a key that works', async () => {
    const closed = (parameters: object) =>
      new Promise<number>((resolve) => {
        const socket = new WebSocket(`${under.api.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws')
        socket.on('open', () => socket.send(JSON.stringify({ type: 'connection_init', payload: parameters })))
        socket.on('close', resolve)
      })
    expect(await closed({})).toBe(4401)
    expect(await closed({ apiKey: `sgk_${'x'.repeat(40)}` })).toBe(4401)
    const tenant = await under.tenant()
    expect(await closed({ apiKey: tenant.key, 'x-scaigrid-tenant': 'another' })).toBe(4403)
  })
})
