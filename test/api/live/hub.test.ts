import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type CoordinatorClient, connectCoordinator } from '../../../src/api/coordinator-client/index.js'
import { streamCounts } from '../../../src/api/live/counts.js'
import { type Feed, iterate } from '../../../src/api/live/feed.js'
import { type Hub, recordHub } from '../../../src/api/live/hub.js'
import type { LiveMessage } from '../../../src/api/live/record-kind.js'
import type { MetricRecord__Output } from '../../../src/generated/proto/scaimind/v1/MetricRecord.js'
import { eventually, newTenantId, silent } from '../../support/api.js'
import { StubCoordinator } from '../../support/stub-coordinator.js'

type Message = LiveMessage<MetricRecord__Output>

let stub: StubCoordinator
let coordinator: CoordinatorClient
let hub: Hub<MetricRecord__Output>
const never = new AbortController().signal

function open(ringBytes: number, lingerMs = 50): void {
  hub = recordHub<MetricRecord__Output>({
    kind: 'metrics',
    openStream: coordinator.openStream,
    log: silent,
    counts: streamCounts(),
    sizeOf: () => 100,
    ringBytes,
    lingerMs,
  })
}

beforeEach(async () => {
  stub = await new StubCoordinator().start()
  coordinator = connectCoordinator({
    addresses: [{ host: '127.0.0.1', port: stub.port }],
    secret: stub.secret,
    timeoutMs: 5000,
    log: silent,
  })
})
afterEach(() => {
  hub.close()
  coordinator.close()
  stub.stop()
})

const follow = (jobId: string, tenantId: string, after = ''): Feed<Message> => hub.follow({ tenantId, jobId, after, requestId: 'test' })
const stepsIn = (message: Message | undefined) => (message?.type === 'batch' ? message.records.map(({ step }) => Number(step)) : [])

/** Reads a stream to its end, told of each step by `onStep`. */
async function stepsOf(messages: AsyncIterable<Message>, onStep: (step: number) => void | Promise<void> = () => {}): Promise<number[]> {
  const steps: number[] = []
  for await (const message of messages) {
    for (const step of stepsIn(message)) {
      steps.push(step)
      await onStep(step)
    }
  }
  return steps
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

describe('The hub', () => {
  it('a hundred readers of a job cost the coordinator one stream', async () => {
    open(1_000_000)
    const tenant = newTenantId()
    const { job_id } = stub.addJob(tenant)
    stub.writeMetrics(job_id, 10)
    const readers = upTo(100).map(() => stepsOf(follow(job_id, tenant)))
    await eventually(() => stub.openStreams('StreamJobMetrics') === 1)
    stub.writeMetrics(job_id, 500)
    stub.end(job_id)
    for (const steps of await Promise.all(readers)) expect(steps).toEqual(upTo(510))
    expect(stub.calls.get('StreamJobMetrics')).toBe(1)
  })

  it('a topic is closed a little after its last reader, and not while one comes back', async () => {
    open(1_000_000, 100)
    const tenant = newTenantId()
    const { job_id } = stub.addJob(tenant)
    stub.writeMetrics(job_id, 1)
    for (let round = 0; round < 3; round++) {
      for await (const _message of follow(job_id, tenant)) break
    }
    expect(stub.calls.get('StreamJobMetrics')).toBe(1)
    await eventually(() => stub.openStreams('StreamJobMetrics') === 0)
    expect([...hub.topics()]).toEqual([])
  })

  it('readers that come at any time, from any cursor, over broken streams and a small ring, get every record once', async () => {
    // Room for 30 records: most readers begin behind it and slow ones fall out of it.
    open(3000)
    const tenant = newTenantId()
    const { job_id } = stub.addJob(tenant)
    const total = 1500
    stub.writeMetrics(job_id, 200)
    const readers: Promise<{ from: number; steps: number[] }>[] = []
    const start = (from: number, pause: number) => {
      const after = from === 0 ? '' : (stub.metrics.get(job_id)?.records[from - 1]?.cursor ?? '')
      const slow = async (step: number) => {
        if (pause > 0 && step % 50 === 0) await new Promise((done) => setTimeout(done, pause))
      }
      readers.push(stepsOf(follow(job_id, tenant, after), slow).then((steps) => ({ from, steps })))
    }
    start(0, 0)
    start(150, 0)
    start(0, 3)
    for (let written = 200; written < total; written += 100) {
      stub.writeMetrics(job_id, 100)
      if (written % 300 === 200) stub.breakStreams('StreamJobMetrics')
      if (written === 600) {
        stub.stop()
        await stub.start()
      }
      await new Promise((done) => setTimeout(done, 5))
      if (written % 400 === 200) start(written - 100, 2)
      if (written % 400 === 0) start(written + 50, 0)
    }
    stub.end(job_id)
    for (const { from, steps } of await Promise.all(readers)) expect(steps).toEqual(upTo(total).slice(from))
  })

  it('a reader that stands still neither holds up the others nor takes memory', async () => {
    open(3000)
    const tenant = newTenantId()
    const { job_id } = stub.addJob(tenant)
    stub.writeMetrics(job_id, 10)
    const still = iterate(follow(job_id, tenant), never)
    const { value: first } = await still.next()
    const moving = stepsOf(follow(job_id, tenant))
    stub.writeMetrics(job_id, 2000)
    stub.end(job_id)
    expect(await moving).toEqual(upTo(2010))
    expect([...stepsIn(first as Message), ...(await stepsOf(still))]).toEqual(upTo(2010))
  })

  it('a reader of a long history gets all of it though another, who began further on, came and left meanwhile', async () => {
    open(3000)
    const tenant = newTenantId()
    const { job_id } = stub.addJob(tenant)
    stub.writeMetrics(job_id, 2000)
    const slow = iterate(follow(job_id, tenant), never)
    const { value: first } = await slow.next()
    const ahead = iterate(follow(job_id, tenant, stub.metrics.get(job_id)?.records[999]?.cursor), never)
    expect(stepsIn((await ahead.next()).value as Message)[0]).toBe(1001)
    expect(stub.openStreams('StreamJobMetrics')).toBe(2)
    await ahead.return()
    await stub.until(() => stub.openStreams('StreamJobMetrics') === 1)
    stub.writeMetrics(job_id, 500)
    stub.end(job_id)
    expect([...stepsIn(first as Message), ...(await stepsOf(slow))]).toEqual(upTo(2500))
    expect(stub.calls.get('StreamJobMetrics')).toBe(2)
  })

  it('five hundred who ask from the first record on, far behind those who are told what is new, cost few streams', async () => {
    open(20_000)
    const tenant = newTenantId()
    const { job_id } = stub.addJob(tenant)
    stub.writeMetrics(job_id, 2000)
    const live = iterate(follow(job_id, tenant), never)
    while (!stepsIn((await live.next()).value as Message).includes(2000));
    const late = Array.from({ length: 500 }, () => stepsOf(follow(job_id, tenant)))
    await stub.until(() => stub.openStreams('StreamJobMetrics') > 1)
    stub.writeMetrics(job_id, 10)
    stub.end(job_id)
    for (const steps of await Promise.all(late)) expect(steps).toEqual(upTo(2010))
    expect(stub.calls.get('StreamJobMetrics')).toBeLessThan(10)
    await live.return()
  })

  it('a reader of thinned records who has come from the journal into the ring has no stream of its own any more', async () => {
    open(100)
    const tenant = newTenantId()
    const { job_id } = stub.addJob(tenant)
    stub.writeMetrics(job_id, 1001)
    const thinning = { maxPerSecond: 5, choose: (record: MetricRecord__Output) => record, name: 'all' }
    const feed = () => hub.follow({ tenantId: tenant, jobId: job_id, after: '', requestId: 'test' }, thinning)
    const first = feed()[Symbol.asyncIterator]()
    while (!stepsIn((await first.next()).value as Message).includes(1001));
    const opened = stub.calls.get('StreamJobMetrics')
    const second = feed()[Symbol.asyncIterator]()
    while (!stepsIn((await second.next()).value as Message).includes(1001));
    void second.next()
    expect(stub.calls.get('StreamJobMetrics')).toBe((opened ?? 0) + 1)
    await eventually(() => stub.openStreams('StreamJobMetrics') === 1)
  })

  it('a cursor older than what is kept is told as a gap, and the stream goes on', async () => {
    open(1_000_000)
    const tenant = newTenantId()
    const { job_id } = stub.addJob(tenant)
    stub.writeMetrics(job_id, 20)
    stub.end(job_id)
    stub.expired.set(job_id, 9)
    const after = stub.metrics.get(job_id)?.records[2]?.cursor
    const messages: Message[] = []
    for await (const message of follow(job_id, tenant, after)) messages.push(message)
    const to = stub.metrics.get(job_id)?.records[9]?.cursor
    expect(messages[0]).toMatchObject({ type: 'gap', from: after, to, cursor: to })
    expect(messages.flatMap(stepsIn)).toEqual(upTo(20).slice(10))
  })

  it('a cursor of a job of which nothing is kept is told what is gone, and the end', async () => {
    open(1_000_000)
    const tenant = newTenantId()
    const { job_id } = stub.addJob(tenant)
    stub.writeMetrics(job_id, 20)
    stub.end(job_id)
    stub.expired.set(job_id, 19)
    const [after, to] = [3, 19].map((index) => stub.metrics.get(job_id)?.records[index]?.cursor)
    const messages: Message[] = []
    for await (const message of follow(job_id, tenant, after)) messages.push(message)
    expect(messages).toMatchObject([
      { type: 'gap', from: after, to, cursor: to },
      { type: 'end', cursor: to, status: 'COMPLETED' },
    ])
  })

  it('a job that is gone is told to every reader', async () => {
    open(1_000_000)
    const messages = iterate(follow('job_00000000000000000000000000', newTenantId()), never)
    await expect(messages.next()).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
    expect((await messages.next()).done).toBe(true)
  })

  it('leaving does not wait for the next record', async () => {
    open(1_000_000)
    const tenant = newTenantId()
    const { job_id } = stub.addJob(tenant)
    const leave = new AbortController()
    const pending = iterate(follow(job_id, tenant), leave.signal).next()
    leave.abort()
    expect((await pending).done).toBe(true)
  })
})
