import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../../../src/api/server.js'
import { readApiConfig } from '../../../src/config.js'
import { formatCursor } from '../../../src/contract/cursor.js'
import { type ApiUnderTest, eventually, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'
import { liveDoorNames, liveDoors, numbers, readEvents, readSocket, stepsOf, type Told, thinnedOf } from './readers.js'

let under: ApiUnderTest
let tenant: TenantUnderTest
const others: Api[] = []

beforeAll(async () => {
  under = await startApiUnderTest()
  tenant = await under.tenant()
})
afterAll(async () => {
  for (const other of others) await other.close()
  await under?.close()
})

/** Another API on the same database, before the same coordinator. */
async function startAnother(): Promise<Api> {
  const { databaseUrl, stub } = under
  const settings = { SCAIMIND_PORT: '0', SCAIMIND_GRPC_PORT: String(stub.port), SCAIMIND_API_SECRET: stub.secret }
  const api = await startApi(readApiConfig({ DATABASE_URL: databaseUrl, SCAIMIND_LOG_LEVEL: 'silent', ...settings }))
  others.push(api)
  return api
}

const url = () => under.api.url
const cursorOf = (jobId: string, step: number) => under.stub.metrics.get(jobId)?.records[step - 1]?.cursor ?? ''

/** A finished job that wrote 230 steps, of which the first ten are kept no more. */
function finishedJob(): string {
  const { job_id } = under.stub.addJob(tenant.id)
  under.stub.writeMetrics(job_id, 230)
  under.stub.end(job_id)
  under.stub.expired.set(job_id, 9)
  return job_id
}

async function allOf(reader: ReturnType<(typeof liveDoors)['graphql-ws']>): Promise<Told[]> {
  expect(await reader.ended).toEqual({ how: 'complete', failure: undefined })
  return reader.told
}

describe.each(liveDoorNames)('A stream that is resumed over %s', (door) => {
  const read = (jobId: string, after?: string, at = url()) => liveDoors[door]({ url: at, key: tenant.key, jobId, after })

  it('goes on after any cursor that it ever sent, nothing lost and nothing twice', async () => {
    const jobId = finishedJob()
    const whole = await allOf(read(jobId, cursorOf(jobId, 4)))
    expect(whole[0]).toMatchObject({ type: 'StreamGap', from: cursorOf(jobId, 4), to: cursorOf(jobId, 10), cursor: cursorOf(jobId, 10) })
    expect(stepsOf(whole)).toEqual(numbers(11, 230))
    const stepAfter = new Map<string, number>([[whole[0]?.cursor ?? '', 11]])
    for (const { cursor, records } of whole) {
      for (const { cursor: own, step = 0 } of records) stepAfter.set(own, step + 1)
      const last = records.at(-1)?.step
      if (last) stepAfter.set(cursor, last + 1)
    }
    const sent = [...stepAfter]
    expect(sent.length).toBe(221)
    const some = sent.filter((_, index) => index % 12 === 0 || index === sent.length - 1)
    for (const [cursor, next] of some) expect(stepsOf(await allOf(read(jobId, cursor)))).toEqual(numbers(next, 230))
  })

  it('goes on where it was on another instance', async () => {
    const { job_id: jobId } = under.stub.addJob(tenant.id)
    under.stub.writeMetrics(jobId, 120)
    const here = read(jobId)
    await here.until((told) => stepsOf(told).length >= 60)
    const earlier = [...here.told]
    here.leave()
    const other = await startAnother()
    const there = read(jobId, earlier.at(-1)?.cursor, other.url)
    under.stub.writeMetrics(jobId, 5)
    under.stub.end(jobId)
    await there.ended
    expect([...stepsOf(earlier), ...stepsOf(there.told)]).toEqual(numbers(1, 125))
  })

  it('is told all of a long history by a process that has it in memory', async () => {
    const { job_id: jobId } = under.stub.addJob(tenant.id)
    under.stub.writeMetrics(jobId, 2500)
    const first = read(jobId)
    await first.until((told) => told.at(-1)?.records.at(-1)?.step === 2500)
    const second = read(jobId, cursorOf(jobId, 3))
    await second.until((told) => told.at(-1)?.records.at(-1)?.step === 2500)
    first.leave()
    second.leave()
    expect([thinnedOf(first.told), thinnedOf(second.told)]).toEqual([0, 0])
    expect(stepsOf(first.told)).toEqual(numbers(1, 2500))
    expect(stepsOf(second.told)).toEqual(numbers(4, 2500))
  })

  it('is refused with CURSOR_INVALID after a cursor of another job, of another kind, or none at all', async () => {
    const [jobId, otherId] = [finishedJob(), finishedJob()]
    const ofLogs = formatCursor({ kind: 'logs', topic: jobId, attempt: 1, sequence: 3 })
    for (const cursor of [cursorOf(otherId, 20), ofLogs, 'rubbish']) {
      const { failure } = await read(jobId, cursor).ended
      expect(failure).toBe('CURSOR_INVALID')
    }
  })
})

describe('GraphQL over SSE', () => {
  it.each(['*/*', 'text/*', 'application/json, text/plain, */*'])('is the same for a client that accepts %s', async (accept) => {
    const { job_id: jobId } = under.stub.addJob(tenant.id)
    under.stub.writeMetrics(jobId, 3)
    under.stub.end(jobId)
    const ask = async (headers: Record<string, string>) => {
      const response = await fetch(`${url()}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${tenant.key}`, ...headers },
        body: JSON.stringify({ query: `subscription { jobMetrics(jobId: "${jobId}") { ... on MetricBatch { records { step } } } }` }),
      })
      expect(response.headers.get('content-type')).toBe('text/event-stream')
      // How soon to come back differs.
      return (await response.text()).replace(/^retry: \d+\n\n/, '')
    }
    const text = await ask({ accept })
    expect(text).toBe(await ask({ accept: 'text/event-stream' }))
    expect(text).toContain(`id: ${cursorOf(jobId, 3)}`)
  })
})

const updates = `subscription ($after: String) { it: jobsUpdated(after: $after) { cursor job { message } } }`
const update = `subscription ($id: ID!, $after: String) { it: jobUpdated(jobId: $id, after: $after) { cursor job { message } } }`

const messagesOf = (told: Told[]) => told.map((one) => (one as unknown as { job: { message: string } }).job.message)

describe('Changes of jobs', () => {
  /** A tenant with a job whose message was changed to 1, 2, … and the cursors of these changes, by number. */
  async function changedJob(count: number) {
    const of = await under.tenant()
    const { job_id } = under.stub.addJob(of.id)
    const listed = async () => (await of.graphql('{ jobs { nodes { jobId } } }')).data.jobs.nodes.length === 1
    await eventually(listed)
    const reader = readSocket(url(), of.key, update, { id: job_id })
    await reader.until((told) => told.length >= 1)
    for (let number = 1; number <= count; number++) under.stub.change(job_id, { message: String(number) })
    await reader.until((told) => messagesOf(told).includes(String(count)))
    reader.leave()
    const cursors = reader.told.map(({ cursor }) => cursor)
    return { key: of.key, job_id, cursors }
  }
  const texts = (from: number, to: number) => numbers(from, to).map(String)

  it('go on after a cursor, over WebSocket in `after` and over SSE in Last-Event-ID', async () => {
    const { key, job_id, cursors } = await changedJob(6)
    const graphql = `${url()}/graphql`
    const readers = [
      readSocket(url(), key, update, { id: job_id, after: cursors[2] }),
      readSocket(url(), key, updates, { after: cursors[2] }),
      readEvents(graphql, key, cursors[2], { query: update, variables: { id: job_id } }),
      readEvents(graphql, key, cursors[2], { query: updates }),
    ]
    for (const reader of readers) {
      await reader.until((told) => told.length >= 4)
      expect(messagesOf(reader.told)).toEqual(texts(3, 6))
    }
    under.stub.change(job_id, { message: '7' })
    for (const reader of readers) {
      await reader.until((told) => told.length >= 5)
      expect(messagesOf(reader.told).at(-1)).toBe('7')
      reader.leave()
    }
  })

  it('go on after a cursor that is older than what the process has heard', async () => {
    const { key, job_id, cursors } = await changedJob(6)
    const fresh = await startAnother()
    const readers = [
      readSocket(fresh.url, key, update, { id: job_id, after: cursors[1] }),
      readSocket(fresh.url, key, updates, { after: cursors[1] }),
      readEvents(`${fresh.url}/graphql`, key, cursors[1], { query: updates }),
    ]
    for (const reader of readers) await reader.until((told) => told.length >= 5)
    under.stub.change(job_id, { message: '7' })
    for (const reader of readers) {
      await reader.until((told) => told.length >= 6)
      expect(messagesOf(reader.told)).toEqual(texts(2, 7))
      reader.leave()
    }
  })

  it('are refused with CURSOR_INVALID after a cursor of another tenant', async () => {
    const [one, other] = [await changedJob(1), await changedJob(1)]
    const after = other.cursors[0]
    const variables = { id: one.job_id, after }
    expect(await readSocket(url(), one.key, updates, { after }).ended).toMatchObject({ failure: 'CURSOR_INVALID' })
    expect(await readSocket(url(), one.key, update, variables).ended).toMatchObject({ failure: 'CURSOR_INVALID' })
    expect(await readEvents(`${url()}/graphql`, one.key, after, { query: updates }).ended).toMatchObject({ failure: 'CURSOR_INVALID' })
  })
})

describe('After API and coordinator were both started again', () => {
  it('every stream goes on after its last cursor', async () => {
    const own = await startApiUnderTest()
    const { id, key } = await own.tenant()
    const { job_id: jobId } = own.stub.addJob(id)
    own.stub.writeMetrics(jobId, 30)
    const readAt = (at: string, door: (typeof liveDoorNames)[number], after?: string) => liveDoors[door]({ url: at, key, jobId, after })
    const before = liveDoorNames.map((door) => readAt(own.api.url, door))
    const changes = readSocket(own.api.url, key, update, { id: jobId })
    for (const reader of before) await reader.until((told) => stepsOf(told).includes(30))
    await changes.until((told) => told.length >= 1)
    await own.api.close()
    own.stub.stop()
    own.stub.writeMetrics(jobId, 30)
    own.stub.change(jobId, { message: 'meanwhile' })
    await own.stub.start()
    const settings = { SCAIMIND_PORT: '0', SCAIMIND_GRPC_PORT: String(own.stub.port), SCAIMIND_API_SECRET: own.stub.secret }
    const api = await startApi(readApiConfig({ DATABASE_URL: own.databaseUrl, SCAIMIND_LOG_LEVEL: 'silent', ...settings }))
    for (const [index, door] of liveDoorNames.entries()) {
      const earlier = before[index]?.told ?? []
      const reader = readAt(api.url, door, earlier.findLast(({ cursor }) => cursor)?.cursor)
      await reader.until((told) => stepsOf(told).includes(60))
      expect([...stepsOf(earlier), ...stepsOf(reader.told)]).toEqual(numbers(1, 60))
      reader.leave()
    }
    const rest = readSocket(api.url, key, update, { id: jobId, after: changes.told.at(-1)?.cursor })
    await rest.until((told) => messagesOf(told).includes('meanwhile'))
    rest.leave()
    await api.close()
    await own.close()
  })
})
