import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JobEvent__Output } from '../../../src/generated/proto/scaimind/v1/JobEvent.js'
import type { ListJobEventsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListJobEventsResponse.js'
import type { ListJobsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListJobsResponse.js'
import type { LogEvent__Output } from '../../../src/generated/proto/scaimind/v1/LogEvent.js'
import type { MetricEvent__Output } from '../../../src/generated/proto/scaimind/v1/MetricEvent.js'
import type { ReadJobLogsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ReadJobLogsResponse.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator, toRefusal } from '../../support/coordinator.js'

let coordinator: TestCoordinator
let tenant: CoordinatorTenant
let done: string

const prints = (steps: number) =>
  `for (let step = 1; step <= ${steps}; step++) console.log(JSON.stringify({ step, loss: 1 / step, grad_norm: 2 }))\nconsole.error('WARNING: a warm machine')`

beforeAll(async () => {
  coordinator = await startTestCoordinator()
  tenant = coordinator.tenant()
  done = await tenant.submit(tenant.custom(prints(30)))
  await tenant.until(done, 'COMPLETED')
})
afterAll(async () => {
  await coordinator?.close()
})

async function all<Message>(stream: AsyncIterable<Message>): Promise<Message[]> {
  const messages = []
  for await (const message of stream) messages.push(message)
  return messages
}
const refusal = (stream: AsyncIterable<unknown>) =>
  all(stream).then(
    () => {
      throw new Error('The stream was accepted.')
    },
    (error: unknown) => toRefusal(error),
  )

describe('A stream of metrics', () => {
  const stream = (request: object) => tenant.stream<MetricEvent__Output>('StreamJobMetrics', { job_id: done, ...request })

  it('tells every record once, then the end', async () => {
    keepOnFailure(coordinator)
    const events = await all(stream({}))
    const steps = events.flatMap(({ batch }) => batch?.records ?? []).map(({ step }) => Number(step))
    expect(steps).toEqual(Array.from({ length: 30 }, (_, index) => index + 1))
    expect(events.at(-1)).toMatchObject({ event: 'end', end: { status: 'COMPLETED' } })
  })

  it('goes on after any cursor, under any names', async () => {
    const records = (await all(stream({}))).flatMap(({ batch }) => batch?.records ?? [])
    const rest = await all(stream({ after: records[9]?.cursor, names: ['loss'] }))
    const resumed = rest.flatMap(({ batch }) => batch?.records ?? [])
    expect(resumed.map(({ step }) => Number(step))).toEqual(Array.from({ length: 20 }, (_, index) => index + 11))
    expect(Object.keys(resumed[0]?.values ?? {})).toEqual(['loss'])
    expect(await all(stream({ after: rest.at(-1)?.cursor }))).toMatchObject([{ event: 'end' }])
  })

  it('has the documented alias', async () => {
    expect((await all(tenant.stream<MetricEvent__Output>('StreamMetrics', { job_id: done }))).at(-1)?.event).toBe('end')
  })

  it("refuses a malformed cursor, another job's, and another kind's", async () => {
    const other = await tenant.submit(tenant.custom('console.log(1)'))
    const [first] = await all(stream({}))
    for (const [job_id, after] of [
      [done, 'nonsense'],
      [other, first?.cursor],
    ]) {
      expect(await refusal(tenant.stream('StreamJobMetrics', { job_id, after }))).toMatchObject({ code: 'CURSOR_INVALID', status: 3 })
    }
    expect((await refusal(tenant.stream('StreamJobLogs', { job_id: done, after: first?.cursor }))).code).toBe('CURSOR_INVALID')
  })

  it('stays open over a pause, and tells the next attempt', async () => {
    const script = `import { readFileSync } from 'node:fs'
const { attempt } = JSON.parse(readFileSync('job.json', 'utf8'))
process.on('SIGTERM', () => process.exit(85))
console.log(JSON.stringify({ step: attempt, loss: 1 }))
if (attempt === 1) setInterval(() => {}, 1000)`
    const id = await tenant.submit(tenant.custom(script))
    const seen: number[] = []
    for await (const { batch } of tenant.stream<MetricEvent__Output>('StreamJobMetrics', { job_id: id })) {
      for (const { attempt } of batch?.records ?? []) {
        seen.push(attempt)
        if (attempt !== 1) continue
        await tenant.until(id, 'TRAINING')
        await tenant.call('PauseJob', { job_id: id })
        await tenant.until(id, 'PAUSED')
        await tenant.call('ResumeJob', { job_id: id })
      }
    }
    expect(seen).toEqual([1, 2])
  })
})

describe('A stream of logs', () => {
  const lines = async (request: object) =>
    (await all(tenant.stream<LogEvent__Output>('StreamJobLogs', { job_id: done, ...request }))).flatMap(({ batch }) => batch?.records ?? [])

  it('tells every line of the journal', async () => {
    const journal = readFileSync(join(coordinator.dataDir, 'jobs', tenant.id, done, 'attempts/1/logs.0.jsonl'), 'utf8')
    const texts = journal
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { text: string }).text)
    expect((await lines({})).map(({ text }) => text)).toEqual(texts)
  })

  it('can begin with the last lines, hold only graver ones, and not wait', async () => {
    expect(await lines({ tail: 3 })).toHaveLength(3)
    expect(await lines({ level: 'WARN' })).toMatchObject([{ text: 'WARNING: a warm machine', stream: 'stderr' }])
    expect(await lines({ follow: false })).toHaveLength(31)
    expect(await lines({ rank: 1 })).toEqual([])
  })

  it('is filtered by level, rank, attempt, time and pattern, all at once', async () => {
    const read = (request: object) => tenant.call<ReadJobLogsResponse__Output>('ReadJobLogs', { job_id: done, ...request })
    const texts = async (request: object) => (await read(request)).records.map(({ text }) => text)
    expect(await texts({ pattern: '"step":(7|8)\\b' })).toEqual([
      expect.stringContaining('"step":7,'),
      expect.stringContaining('"step":8,'),
    ])
    expect(await texts({ pattern: '(?i)warning', level: 'WARN', rank: 0, attempt: 1, since: { seconds: 1 } })).toEqual([
      'WARNING: a warm machine',
    ])
    for (const nothing of [{ rank: 1 }, { attempt: 2 }, { until: { seconds: 1 } }, { since: { seconds: 4_000_000_000 } }]) {
      expect(await texts(nothing)).toEqual([])
    }
    const last = await read({ pattern: 'step', from_end: true, limit: 5 })
    expect(last.records.map(({ text }) => JSON.parse(text).step)).toEqual([26, 27, 28, 29, 30])
    expect(last.has_earlier).toBe(true)
    const before = await read({ pattern: 'step', from_end: true, limit: 5, before: last.start_cursor })
    expect(before.records.map(({ text }) => JSON.parse(text).step)).toEqual([21, 22, 23, 24, 25])
  })

  it('names the filter that is wrong', async () => {
    for (const [path, wrong] of [
      ['pattern', { pattern: 'a(' }],
      ['pattern', { pattern: 'x'.repeat(201) }],
      ['until', { since: { seconds: 20 }, until: { seconds: 10 } }],
      ['before', { before: 'cursor' }],
    ] as const) {
      const refused = await tenant.refused('ReadJobLogs', { job_id: done, ...wrong })
      expect(refused).toMatchObject({ code: 'INVALID_ARGUMENT', fields: [{ path }] })
    }
  })

  it('is also there page by page', async () => {
    const first = await tenant.call<ReadJobLogsResponse__Output>('ReadJobLogs', { job_id: done, limit: 20 })
    expect(first).toMatchObject({ has_more: true })
    const second = await tenant.call<ReadJobLogsResponse__Output>('ReadJobLogs', { job_id: done, after: first.end_cursor })
    expect(second).toMatchObject({ has_more: false })
    expect(first.records.length + second.records.length).toBe(31)
    expect(
      (await tenant.call<ReadJobLogsResponse__Output>('ReadJobLogs', { job_id: done, from_end: true, limit: 1 })).records,
    ).toHaveLength(1)
  })

  it('of a job that has not started waits, and without follow says so at once', async () => {
    const id = await tenant.submit(tenant.custom('console.log(1)', { scheduling_config: { start_after: { seconds: 4_000_000_000 } } }))
    const events = await all(tenant.stream<LogEvent__Output>('StreamJobLogs', { job_id: id, follow: false }))
    expect(events).toMatchObject([{ event: 'end', end: { status: 'QUEUED' } }])
    expect(await tenant.call('ReadJobLogs', { job_id: id })).toMatchObject({ records: [], has_more: false })
  })
})

describe('The history of metrics', () => {
  it('comes as series, thinned to what is asked for', async () => {
    const all = await tenant.call<{ series: { name: string; points: unknown[] }[]; latest: unknown }>('GetJobMetrics', { job_id: done })
    expect(all.series.map(({ name, points }) => [name, points.length])).toEqual(
      expect.arrayContaining([
        ['loss', 30],
        ['grad_norm', 30],
      ]),
    )
    expect(all.latest).toMatchObject({ step: '30' })
    const few = await tenant.call<typeof all>('GetJobMetrics', { job_id: done, names: ['loss'], max_points: 5, since_step: 10 })
    expect(few.series).toHaveLength(1)
    expect(few.series[0]?.points.length).toBeLessThanOrEqual(5)
    expect((await tenant.refused('GetJobMetrics', { job_id: done, max_points: 1 })).fields).toMatchObject([{ path: 'max_points' }])
  })
})

describe('The history of a job', () => {
  const history = (request: object) => tenant.call<ListJobEventsResponse__Output>('ListJobEvents', request)

  it('tells each change of its state, and neither what changed within one nor the job', async () => {
    const id = await tenant.submit(tenant.custom('console.log(1)'))
    await tenant.until(id, 'COMPLETED')
    await tenant.call('UpdateJob', { job_id: id, labels: { labels: { team: 'search' } } })
    const events = await all(tenant.stream<JobEvent__Output>('StreamJobEvents', { job_id: id }))
    expect(events.at(-1)?.type).toBe('UPDATED')
    expect((await history({ job_id: id })).events).toEqual(
      events.filter(({ type }) => type !== 'UPDATED').map((event) => ({ ...event, job: null })),
    )
  })

  it('tells the newest where a few are asked for', async () => {
    const { events } = await history({ job_id: done, limit: 2 })
    expect(events.map(({ to_status }) => to_status)).toEqual(['TRAINING', 'COMPLETED'])
    expect((await tenant.refused('ListJobEvents', { job_id: done, limit: 1001 })).fields).toMatchObject([{ path: 'limit' }])
  })
})

describe('A stream of events', () => {
  const take = async (count: number, request: object, more: Record<string, string> = {}) => {
    const events: JobEvent__Output[] = []
    for await (const event of tenant.stream<JobEvent__Output>('StreamJobEvents', request, more)) {
      events.push(event)
      if (events.length === count) break
    }
    return events
  }

  it("goes on from a listing's cursor, for one tenant and for all", async () => {
    for (const id of [tenant.id, '*']) {
      const { snapshot_cursor: after } = await tenant.call<ListJobsResponse__Output>('ListJobs', {}, { 'x-tenant-id': id })
      const job = await tenant.submit(tenant.custom('console.log(1)'))
      const events = await take(2, { after }, { 'x-tenant-id': id })
      expect(events).toMatchObject([
        { job_id: job, type: 'SUBMITTED', to_status: 'PENDING', job: { revision: '1' } },
        { job_id: job, type: 'STATUS_CHANGED', from_status: 'PENDING', to_status: 'QUEUED', job: { revision: '2' } },
      ])
      expect((await take(1, { after: events[0]?.cursor }, { 'x-tenant-id': id }))[0]?.sequence).toBe(events[1]?.sequence)
      await tenant.until(job, 'COMPLETED')
    }
  })

  it('raises the revision with every event, in the order of its numbers', async () => {
    const events = await all(tenant.stream<JobEvent__Output>('StreamJobEvents', { job_id: done }))
    expect(events.map(({ job }) => Number(job?.revision))).toEqual(events.map((_, index) => index + 1))
    const numbers = events.map(({ sequence }) => Number(sequence))
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
  })

  it('ends after the event that made its job terminal', async () => {
    expect((await all(tenant.stream<JobEvent__Output>('StreamJobEvents', { job_id: done }))).at(-1)?.to_status).toBe('COMPLETED')
  })

  it("refuses another tenant's cursor, and one of a database that is no more", async () => {
    const other = coordinator.tenant()
    const [event] = await take(1, { from_start: true })
    expect(await refusal(other.stream('StreamJobEvents', { after: event?.cursor }))).toMatchObject({ code: 'CURSOR_INVALID' })
    const beyond = Buffer.from(`1.e.${tenant.id}.0.999999999`).toString('base64url')
    expect(await refusal(tenant.stream('StreamJobEvents', { after: beyond }))).toMatchObject({ code: 'CURSOR_EXPIRED', status: 11 })
  })
})
