import { once } from 'node:events'
import { parse } from 'graphql'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { Viewer } from '../../../src/api/auth/viewer.js'
import { sharings } from '../../../src/api/delivery/shared.js'
import { sharingKey } from '../../../src/api/graphql/door/sharing-key.js'
import { schema } from '../../../src/api/graphql/schema.js'
import { newJobId } from '../../../src/contract/ids.js'
import { type ApiUnderTest, callerOf, eventually, startApiUnderTest } from '../../support/api.js'
import { liveDoorNames, liveDoors, numbers, readEvents, readSocket, stepsOf } from './readers.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())

const callsOf = (method: string) => under.stub.calls.get(method) ?? 0

describe('Readers who ask the same', () => {
  it('cost one upstream stream, whatever door they came through', async () => {
    const { id, key } = await under.tenant()
    const { job_id: jobId } = under.stub.addJob(id)
    under.stub.writeMetrics(jobId, 10)
    const before = callsOf('StreamJobMetrics')
    const readers = numbers(1, 51).map((number) => liveDoors[liveDoorNames[number % 3] ?? 'graphql-ws']({ url: under.api.url, key, jobId }))
    for (const reader of readers) await reader.until((told) => stepsOf(told).includes(10))
    under.stub.writeMetrics(jobId, 300)
    under.stub.end(jobId)
    for (const reader of readers) {
      expect(await reader.ended).toEqual({ how: 'complete', failure: undefined })
      expect(stepsOf(reader.told)).toEqual(numbers(1, 310))
    }
    expect(callsOf('StreamJobMetrics') - before).toBe(1)
  })

  it('cost one execution a message', async () => {
    const { id, key, graphql } = await under.tenant()
    const { job_id: jobId } = under.stub.addJob(id)
    await eventually(async () => (await graphql('{ jobs { nodes { jobId } } }')).data.jobs.nodes.length === 1)
    // Each execution asks the coordinator once for what the event does not hold.
    const query =
      'subscription ($after: String) { it: jobsUpdated(after: $after) { cursor job { message checkpoints { nodes { step } } } } }'
    const readers = [
      ...numbers(1, 50).map(() => readSocket(under.api.url, key, query, {})),
      ...numbers(1, 10).map(() => readEvents(`${under.api.url}/graphql`, key, null, { query })),
    ]
    await eventually(async () => (await metric('scaimind_live_readers')) >= 60)
    const before = callsOf('BatchListCheckpoints')
    for (const message of ['1', '2', '3']) {
      under.stub.change(jobId, { message })
      for (const reader of readers) await reader.until((told) => told.length >= Number(message))
    }
    expect(callsOf('BatchListCheckpoints') - before).toBe(3)
    const late = readSocket(under.api.url, key, query, { after: readers[0]?.told[0]?.cursor })
    await late.until((told) => told.length >= 2)
    expect(late.told).toEqual(readers[0]?.told.slice(1))
    expect(callsOf('BatchListCheckpoints') - before).toBe(3)
    for (const reader of [...readers, late]) reader.leave()
  })

  it('share a fault only with those who were there: who comes later is told what there is by then', async () => {
    const { id, key, graphql } = await under.tenant()
    const { job_id: jobId } = under.stub.addJob(id)
    await eventually(async () => (await graphql('{ jobs { nodes { jobId } } }')).data.jobs.nodes.length === 1)
    const query =
      'subscription ($after: String) { it: jobsUpdated(after: $after) { cursor job { message checkpoints { nodes { step } } } } }'
    const before = await metric('scaimind_live_readers')
    const reader = readSocket(under.api.url, key, query, {})
    await eventually(async () => (await metric('scaimind_live_readers')) > before)
    under.stub.change(jobId, { message: 'well' })
    await reader.until((told) => told.length >= 1)
    under.stub.refusals.set('BatchListCheckpoints', { code: 'INTERNAL_ERROR', message: 'a fault' })
    under.stub.change(jobId, { message: 'ill' })
    await reader.until((told) => told.length >= 2)
    under.stub.refusals.clear()
    const later = readSocket(under.api.url, key, query, { after: reader.told[0]?.cursor })
    await later.until((told) => told.length >= 1)
    expect([reader.told[1], later.told[0]]).toMatchObject([
      { job: { message: 'ill', checkpoints: null } },
      { job: { message: 'ill', checkpoints: { nodes: [{ step: 5 }] } } },
    ])
    for (const one of [reader, later]) one.leave()
  })

  it('join in the middle of a batch and get the rest of it, nothing twice', async () => {
    const { id, key } = await under.tenant()
    const { job_id: jobId } = under.stub.addJob(id)
    under.stub.writeMetrics(jobId, 100)
    const first = liveDoors['graphql-ws']({ url: under.api.url, key, jobId })
    await first.until((told) => stepsOf(told).includes(100))
    const [batch] = first.told
    const inside = Math.floor((batch?.records.length ?? 0) / 2)
    const readers = liveDoorNames.map((door) => liveDoors[door]({ url: under.api.url, key, jobId, after: batch?.records[inside]?.cursor }))
    under.stub.writeMetrics(jobId, 20)
    under.stub.end(jobId)
    for (const reader of readers) {
      await reader.ended
      expect(stepsOf(reader.told)).toEqual(numbers(inside + 2, 120))
    }
    await first.ended
    expect(stepsOf(first.told)).toEqual(numbers(1, 120))
  })

  it.each(liveDoorNames)('leave nothing behind where they go before their stream has begun, over %s', async (door) => {
    const { id, key } = await under.tenant()
    // A job that the API has not heard of, so that it asks the coordinator.
    const jobId = newJobId()
    under.stub.jobs.set(jobId, { ...under.stub.addJob(id), job_id: jobId })
    under.stub.writeMetrics(jobId, 1)
    const open = () => liveDoors[door]({ url: under.api.url, key, jobId })
    await eventually(async () => (await metric('scaimind_live_readers')) === 0)
    const asked = callsOf('GetJob')
    under.stub.held.add('GetJob')
    const reader = open()
    await under.stub.until(() => callsOf('GetJob') > asked)
    const gone = await connectionsClosed()
    reader.leave()
    await eventually(async () => (await connectionsClosed()) > gone)
    under.stub.release()
    const next = open()
    await next.until((told) => told.length > 0)
    next.leave()
    await eventually(async () => (await metric('scaimind_live_readers')) === 0)
  })
})

it('A subscription that was completed before it began tells nothing to the next of its name, and leaves nothing behind', async () => {
  const { id, key } = await under.tenant()
  // Jobs that the API has not heard of, so that it asks the coordinator.
  const [first, second] = [newJobId(), newJobId()]
  for (const [jobId, count] of [[first, 3] as const, [second, 5] as const]) {
    under.stub.jobs.set(jobId, { ...under.stub.addJob(id), job_id: jobId })
    under.stub.writeMetrics(jobId, count)
  }
  await eventually(async () => (await metric('scaimind_live_readers')) === 0)
  const asked = callsOf('GetJob')
  const socket = new WebSocket(`${under.api.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws')
  const heard: { id: string; type: string; payload: { data: { jobMetrics: { records: { step: number }[] } } } }[] = []
  const say = (message: object) => socket.send(JSON.stringify(message))
  const query = 'subscription ($id: ID!) { jobMetrics(jobId: $id) { ... on MetricBatch { records { step } } } }'
  const begin = (jobId: string) => say({ id: 'one', type: 'subscribe', payload: { query, variables: { id: jobId } } })
  socket.on('message', (data) => heard.push(JSON.parse(String(data))))
  await once(socket, 'open')
  say({ type: 'connection_init', payload: { authorization: `Bearer ${key}` } })
  await eventually(() => heard.length === 1)
  under.stub.held.add('GetJob')
  begin(first)
  await under.stub.until(() => callsOf('GetJob') === asked + 1)
  say({ id: 'one', type: 'complete' })
  begin(second)
  await under.stub.until(() => callsOf('GetJob') === asked + 2)
  under.stub.release()
  await eventually(() => heard.length > 1)
  await new Promise((done) => setTimeout(done, 200))
  expect(heard.slice(1).map(({ type }) => type)).toEqual(['next'])
  expect(heard[1]?.payload.data.jobMetrics.records).toHaveLength(5)
  expect(await metric('scaimind_live_readers')).toBe(1)
  socket.terminate()
  await eventually(async () => (await metric('scaimind_live_readers')) === 0)
})

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${under.api.url}/metrics`)).text()
  const values = text.split('\n').filter((line) => line.startsWith(name) && /^[ {]/.test(line.slice(name.length)))
  return values.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

/** A number that only rises: requests that are over, less the WebSocket connections that are open. */
async function connectionsClosed(): Promise<number> {
  const text = await (await fetch(`${under.api.url}/metrics`)).text()
  const requests = [...text.matchAll(/^scaimind_http_request_seconds_count\{.*door="(?:graphql|rest)".*\} (\d+)$/gm)]
  return requests.reduce((sum, [, count]) => sum + Number(count), 0) - Number(/^scaimind_websocket_connections (\d+)$/m.exec(text)?.[1])
}

describe('Who asks the same', () => {
  const query =
    'subscription S($id: ID!, $after: String, $names: [String!]) { jobMetrics(jobId: $id, after: $after, names: $names) { __typename } }'
  const keyOf = (variableValues: Record<string, unknown>, { text = query, by = {} as Partial<Viewer>, operationName = 'S' } = {}) =>
    sharingKey({ schema, document: parse(text), operationName, variableValues }, { ...callerOf('acme').viewer, ...by })

  it('is not told apart by where they begin, nor by the order of their variables', () => {
    expect(keyOf({ id: 'a', after: 'x' })).toBe(keyOf({ id: 'a' }))
    expect(keyOf({ after: 'y', id: 'a' })).toBe(keyOf({ id: 'a', after: 'x' }))
    const logs = 'subscription S($id: ID!, $tail: Int, $after: String) { jobLogs(jobId: $id, tail: $tail, after: $after) { __typename } }'
    expect(keyOf({ id: 'a', tail: 5 }, { text: logs })).toBe(keyOf({ id: 'a', after: 'x' }, { text: logs }))
    const fragment =
      'subscription S($id: ID!, $a: String) { ...F } fragment F on Subscription { jobMetrics(jobId: $id, after: $a) { __typename } }'
    expect(keyOf({ id: 'a', a: 'x' }, { text: fragment })).toBe(keyOf({ id: 'a', a: 'y' }, { text: fragment }))
  })

  it('is told apart by other variables, the operation, the tenant and the permissions', () => {
    const one = keyOf({ id: 'a' })
    const two = `${query} ${query.replace('S(', 'T(')}`
    const others = [
      keyOf({ id: 'b' }),
      keyOf({ id: 'a', names: ['loss'] }),
      keyOf({ id: 'a' }, { text: query.replace('__typename', '... on StreamEnd { status }') }),
      keyOf({ id: 'a' }, { by: { tenantId: 'umbrella' as Viewer['tenantId'] } }),
      keyOf({ id: 'a' }, { by: { permissions: new Set(['scaimind:view'] as const) } }),
      keyOf({ id: 'a' }, { text: two }),
      keyOf({ id: 'a' }, { text: two, operationName: 'T' }),
    ]
    expect(new Set([one, ...others]).size).toBe(others.length + 1)
  })

  it('is told apart by a variable that says where to begin and something else, too', () => {
    const text = 'subscription S($id: ID!, $x: String) { jobMetrics(jobId: $id, after: $x, names: [$x]) { __typename } }'
    expect(keyOf({ id: 'a', x: '1' }, { text })).not.toBe(keyOf({ id: 'a', x: '2' }, { text }))
  })

  it('shares what is made of a message until the last of them has left', () => {
    const find = sharings<string>()
    const message = {}
    let made = 0
    const make = () => `made ${++made}`
    const [one, two, other] = [find('k'), find('k'), find('another')]
    expect([one.payloadOf(message, { make }), two.payloadOf(message, { make }), other.payloadOf(message, { make })]).toEqual([
      'made 1',
      'made 1',
      'made 2',
    ])
    one.leave()
    expect(find('k').payloadOf(message, { make })).toBe('made 1')
    two.leave()
    two.leave()
    expect(find('k').payloadOf(message, { make })).toBe('made 3')
  })
})
