import { once } from 'node:events'
import { Duplex } from 'node:stream'
import { describe, expect, it } from 'vitest'
import type { LiveMessage } from '../../../src/api/operations/job-types.js'
import { Failure } from '../../../src/contract/failure.js'
import { toTimestamp } from '../../../src/contract/proto.js'
import type { JobEvent, JobEvent__Output } from '../../../src/generated/proto/scaimind/v1/JobEvent.js'
import type { LogRecord__Output } from '../../../src/generated/proto/scaimind/v1/LogRecord.js'
import type { MetricRecord__Output } from '../../../src/generated/proto/scaimind/v1/MetricRecord.js'
import { fed, job, jobsInMemory, offTheWire, openDoor } from './support.js'

type Metrics = LiveMessage<MetricRecord__Output>
type Logs = LiveMessage<LogRecord__Output>

const at = toTimestamp(new Date('2027-01-31T08:00:00Z'))
const metric = (step: number): MetricRecord__Output => ({
  cursor: `m${step}`,
  step: String(step),
  epoch: 0.5,
  time: at,
  attempt: 1,
  values: { loss: 3 - step / 10 },
})
const line = (number: number): LogRecord__Output => ({
  cursor: `l${number}`,
  time: at,
  rank: 0,
  stream: 'stdout',
  level: 'INFO',
  text: `line ${number}\n`,
  attempt: 1,
})
const batch = <Item extends { cursor: string }>(...records: Item[]): LiveMessage<Item> => ({
  type: 'batch',
  cursor: records.at(-1)?.cursor ?? '',
  records,
  thinned: 0,
})
const end: LiveMessage<never> = { type: 'end', cursor: 'x', status: 'COMPLETED', reason: '' }

const one = job()
const path = (rest: string) => `/jobs/${one.job_id}/${rest}`

describe('A stream of metrics', () => {
  it('is a frame a record, each with its own cursor, and closes with [DONE]', async () => {
    const feed = fed<Metrics>(batch(metric(1), metric(2)), batch(metric(3)), end)
    const door = await openDoor({ jobs: jobsInMemory([], { followMetrics: async () => feed.feed }) })
    const response = await door.open(path('metrics/stream'))
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    expect(response.headers.get('x-request-id')).toMatch(/^req_/)
    const frame = (step: number, loss: number) =>
      `id: m${step}\ndata: {"cursor":"m${step}","step":${step},"epoch":0.5,"time":"2027-01-31T08:00:00.000Z","attempt":1,"values":{"loss":${loss}}}\n\n`
    expect(await response.text()).toBe(`${frame(1, 2.9)}${frame(2, 2.8)}${frame(3, 2.7)}data: [DONE]\n\n`)
    await feed.left
  })

  it('goes on after Last-Event-ID', async () => {
    const asked: unknown[] = []
    const followMetrics = async (...[, , options]: unknown[]) => {
      asked.push(options)
      return fed<Metrics>(end).feed
    }
    const door = await openDoor({ jobs: jobsInMemory([], { followMetrics }) })
    await (await door.open(path('metrics/stream'), { headers: { 'last-event-id': 'm7' } })).text()
    await (await door.open(path('metrics/stream'))).text()
    expect(asked).toEqual([{ after: 'm7' }, { after: null }])
  })

  it('tells a gap as an event of that name', async () => {
    const gap: Metrics = { type: 'gap', cursor: 'm9', from: 'm2', to: 'm9', reason: 'no longer kept' }
    const door = await openDoor({ jobs: jobsInMemory([], { followMetrics: async () => fed<Metrics>(gap, end).feed }) })
    expect(await (await door.open(path('metrics/stream'))).text()).toBe(
      'id: m9\nevent: gap\ndata: {"from":"m2","to":"m9","reason":"no longer kept"}\n\ndata: [DONE]\n\n',
    )
  })
})

describe('A stream of logs', () => {
  it('hands on what to follow, and ends with what is there where it does not follow', async () => {
    const asked: unknown[] = []
    const followLogs = async (...[, , options]: unknown[]) => {
      asked.push(options)
      const feed = fed<Logs>(batch(line(1)))
      feed.end()
      return feed.feed
    }
    const door = await openDoor({ jobs: jobsInMemory([], { followLogs }) })
    const text = await (await door.open(path('logs?follow=false&tail=10&level=WARN'))).text()
    expect(asked).toEqual([{ after: null, follow: false, tail: 10, level: 'WARN' }])
    expect(text).toBe(
      'id: l1\ndata: {"cursor":"l1","time":"2027-01-31T08:00:00.000Z","rank":0,"stream":"stdout","level":"INFO","text":"line 1\\n","attempt":1}\n\ndata: [DONE]\n\n',
    )
  })

  it('ends at once where there is nothing to read and nothing to wait for', async () => {
    const feed = fed<Logs>()
    feed.end()
    const door = await openDoor({ jobs: jobsInMemory([], { followLogs: async () => feed.feed }) })
    expect(await (await door.open(path('logs?follow=false'))).text()).toBe('data: [DONE]\n\n')
  })
})

describe('A stream of job events', () => {
  const update = (cursor: string, event: JobEvent): JobEvent__Output => offTheWire('StreamJobEvents', { cursor, ...event })
  const sse = { accept: 'text/event-stream' }

  it('is told where the caller accepts it, from the first event to the one that made the job terminal', async () => {
    const asked: unknown[] = []
    const feed = fed<JobEvent__Output>(
      update('e1', { type: 'SUBMITTED', to_status: 'PENDING' }),
      update('e2', { type: 'STATUS_CHANGED', from_status: 'EXPORTING', to_status: 'COMPLETED', job: one }),
    )
    feed.end()
    const followJobEvents = async (...[, , options]: unknown[]) => {
      asked.push(options)
      return feed.feed
    }
    const door = await openDoor({ jobs: jobsInMemory([], { followJobEvents }) })
    const frames = (await (await door.open(path('events'), { headers: sse })).text()).split('\n\n')
    expect(asked).toEqual([{ after: null }])
    expect(frames[0]).toMatch(/^id: e1\ndata: \{"cursor":"e1",.*"type":"SUBMITTED","from_status":null,"to_status":"PENDING"/)
    expect(JSON.parse(frames[1]?.split('data: ')[1] ?? '')).toMatchObject({ to_status: 'COMPLETED', job: { job_id: one.job_id } })
    expect(frames.slice(2)).toEqual(['data: [DONE]', ''])
  })

  it('is over at once for a caller who has the last event already', async () => {
    const feed = fed<JobEvent__Output>()
    feed.end()
    const door = await openDoor({ jobs: jobsInMemory([], { followJobEvents: async () => feed.feed }) })
    const response = await door.open(path('events'), { headers: { ...sse, 'last-event-id': 'e2' } })
    expect(await response.text()).toBe('data: [DONE]\n\n')
  })
})

describe('Any stream', () => {
  it('tells a fault in mid-stream as an error event, and closes with [DONE] all the same', async () => {
    const feed = fed<Metrics>(batch(metric(1)))
    feed.end(new Failure('AUTH_TOKEN_INVALID', 'The key was revoked.'))
    const door = await openDoor({ jobs: jobsInMemory([], { followMetrics: async () => feed.feed }) })
    const frames = (await (await door.open(path('metrics/stream'))).text()).split('\n\n')
    expect(frames.slice(1)).toEqual([
      'event: error\ndata: {"code":"AUTH_TOKEN_INVALID","message":"The key was revoked."}',
      'data: [DONE]',
      '',
    ])
  })

  it('says that it was cut off where it ends before its last message, so that nobody takes the job for finished', async () => {
    const feed = fed<Metrics>(batch(metric(1)))
    feed.end()
    const door = await openDoor({ jobs: jobsInMemory([], { followMetrics: async () => feed.feed }) })
    const text = await (await door.open(path('metrics/stream'))).text()
    expect(text).toContain('event: error\ndata: {"code":"COORDINATOR_UNAVAILABLE",')
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true)
  })

  it('hides a bug of ours, and logs it', async () => {
    const feed = fed<Metrics>()
    feed.end(new TypeError('secret is undefined'))
    const door = await openDoor({ jobs: jobsInMemory([], { followMetrics: async () => feed.feed }) })
    const text = await (await door.open(path('metrics/stream'))).text()
    expect(text).toMatch(/^event: error\ndata: \{"code":"INTERNAL_ERROR"/)
    expect(text).not.toContain('secret')
    expect(door.logged).toMatchObject([{ err: { message: 'secret is undefined' } }])
  })

  it('is refused as JSON where it cannot begin', async () => {
    const followMetrics = async () => {
      throw new Failure('JOB_NOT_FOUND', 'There is no such job.')
    }
    const door = await openDoor({ jobs: jobsInMemory([], { followMetrics }) })
    expect(await door.send('GET', path('metrics/stream'))).toMatchObject({ status: 404, body: { error: { code: 'JOB_NOT_FOUND' } } })
  })

  it('says a comment now and then while nothing happens', async () => {
    const feed = fed<Metrics>()
    const door = await openDoor({ heartbeatMs: 10, jobs: jobsInMemory([], { followMetrics: async () => feed.feed }) })
    const response = await door.open(path('metrics/stream'))
    const reader = response.body?.getReader()
    const first = await reader?.read()
    expect(Buffer.from(first?.value ?? []).toString()).toMatch(/^(:\n\n)+$/)
    await reader?.cancel()
  })

  it('is left when the client goes', async () => {
    const feed = fed<Metrics>(batch(metric(1)))
    const door = await openDoor({ jobs: jobsInMemory([], { followMetrics: async () => feed.feed }) })
    const leaving = new AbortController()
    const response = await door.open(path('metrics/stream'), { signal: leaving.signal })
    await response.body?.getReader().read()
    leaving.abort()
    await feed.left
    expect(door.logged).toEqual([])
  })

  it('asks for no message before the connection has taken the one before', async () => {
    const feed = fed<Logs>(batch({ ...line(1), text: 'x'.repeat(1_000_000) }), end)
    const taken: (() => void)[] = []
    const slow = new Duplex({
      read() {},
      write(_chunk, _encoding, take) {
        taken.push(take)
        this.emit('given')
      },
    })
    const door = await openDoor({ jobs: jobsInMemory([], { followLogs: async () => feed.feed }) })
    const headers = once(slow, 'given')
    door.connect(slow)
    slow.push(`GET /v1/modules/scaimind${path('logs')} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sgk_all\r\n\r\n`)
    await headers
    await new Promise(setImmediate)
    expect(feed.taken()).toBe(1)
    slow.on('given', () => taken.shift()?.())
    taken.shift()?.()
    await feed.left
    expect(feed.taken()).toBe(2)
  })
})
