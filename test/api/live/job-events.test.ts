import { describe, expect, it } from 'vitest'
import type { OpenStream } from '../../../src/api/coordinator-client/stream.js'
import { streamCounts } from '../../../src/api/live/counts.js'
import { iterate } from '../../../src/api/live/feed.js'
import { type EventReading, type JobEvents, jobEvents } from '../../../src/api/live/job-events.js'
import { followEvaluation } from '../../../src/api/operations/evaluation-stream.js'
import type { JobParts } from '../../../src/api/operations/job-parts.js'
import { jobStreams } from '../../../src/api/operations/job-streams.js'
import { formatCursor } from '../../../src/contract/cursor.js'
import { Failure } from '../../../src/contract/failure.js'
import { newJobId } from '../../../src/contract/ids.js'
import type { JobStatus } from '../../../src/contract/statuses.js'
import type { JobEvent__Output } from '../../../src/generated/proto/scaimind/v1/JobEvent.js'
import { callerOf } from '../../support/api.js'

const tenantId = 'acme'
const jobId = newJobId()
const cursor = (sequence: number, topic = tenantId) => formatCursor({ kind: 'events', topic, attempt: 0, sequence })
const never = new AbortController().signal

const event = (sequence: number, status: JobStatus): JobEvent__Output =>
  ({
    cursor: '',
    sequence: String(sequence),
    tenant_id: tenantId,
    job_id: jobId,
    type: 'STATUS_CHANGED',
    to_status: status,
    job: { job_id: jobId, revision: String(sequence), status },
  }) as unknown as JobEvent__Output

/** A coordinator that knows events up to `newest`, and has none of them any more. */
const openStreamUpTo = (newest: { sequence: number }): OpenStream =>
  async function* (options) {
    const after = (options.request as { after?: string }).after ?? ''
    const sequence = after === '' ? -1 : Number(Buffer.from(after, 'base64url').toString().split('.').at(-1))
    if (sequence > newest.sequence) throw new Failure('CURSOR_EXPIRED', 'after: this cursor lies beyond the newest event.')
    yield* []
  }

function eventsWith(isNewest: (event: JobEvent__Output) => Promise<boolean> = async () => true, newest = { sequence: 1000 }): JobEvents {
  return jobEvents({ openStream: openStreamUpTo(newest), counts: streamCounts(), isNewest, lingerMs: 50 })
}

async function sequencesOf(events: JobEvents, reading: Partial<EventReading>): Promise<number[]> {
  const told: number[] = []
  for await (const { sequence } of iterate(events.follow({ tenantId, requestId: 'test', ...reading }), never)) told.push(Number(sequence))
  return told
}

describe('The events of one job', () => {
  it('end with the job for a reader who comes when its last event has been told', async () => {
    const events = eventsWith()
    events.begin(cursor(4, '*'))
    events.publish([event(5, 'TRAINING'), event(6, 'COMPLETED')])
    expect(await sequencesOf(events, { jobId, after: cursor(4) })).toEqual([5, 6])
  })

  it('go on for a reader who comes when a job that failed was retried', async () => {
    let newest = 6
    const events = eventsWith(async ({ sequence }) => Number(sequence) === newest)
    events.begin(cursor(4, '*'))
    newest = 7
    events.publish([event(5, 'TRAINING'), event(6, 'FAILED')])
    const told = sequencesOf(events, { jobId, after: cursor(4) })
    await new Promise((done) => setTimeout(done, 20))
    events.publish([event(7, 'QUEUED')])
    newest = 8
    events.publish([event(8, 'COMPLETED')])
    expect(await told).toEqual([5, 6, 7, 8])
  })

  it('end with the job once the cache can be asked whether it was retried', async () => {
    let asked = 0
    const events = eventsWith(async () => {
      if (asked++ === 0) throw new Failure('DATABASE_UNAVAILABLE', 'away')
      return true
    })
    events.begin(cursor(4, '*'))
    const told = sequencesOf(events, { jobId, after: cursor(4) })
    events.publish([event(5, 'COMPLETED')])
    expect(await told).toEqual([5])
  })
})

describe('A reader whose place the coordinator does not know', () => {
  it('is told so when all is loaded anew, whatever it follows', async () => {
    const events = eventsWith()
    events.begin(cursor(40, '*'))
    const told = [sequencesOf(events, { jobId }), sequencesOf(events, {})]
    events.begin(cursor(3, '*'))
    for (const one of told) await expect(one).rejects.toMatchObject({ code: 'CURSOR_EXPIRED' })
  })

  it('is told so when it comes with a cursor beyond all events', async () => {
    const events = eventsWith(undefined, { sequence: 40 })
    events.begin(cursor(40, '*'))
    await expect(sequencesOf(events, { after: cursor(41) })).rejects.toMatchObject({ code: 'CURSOR_EXPIRED' })
  })

  it('is not refused what another instance has heard earlier', async () => {
    const events = eventsWith(undefined, { sequence: 41 })
    events.begin(cursor(40, '*'))
    const told = sequencesOf(events, { jobId, after: cursor(41) })
    await new Promise((done) => setTimeout(done, 20))
    events.publish([event(41, 'TRAINING'), event(42, 'COMPLETED')])
    expect(await told).toEqual([42])
  })
})

describe('A job that is followed before this process has heard of any event', () => {
  const callers = callerOf(tenantId)
  const now = { job: event(7, 'TRAINING').job, syncedAt: new Date(), stale: false }

  it('is told as it is when the events begin, so that none is missed in between', async () => {
    const events = eventsWith()
    const current = { ...now }
    const streams = jobStreams({ cache: { get: async () => current }, events, isFresh: () => true } as unknown as JobParts)
    const opened = streams.followJob(callers, jobId)
    await new Promise((done) => setTimeout(done, 20))
    current.job = event(8, 'EXPORTING').job
    events.begin(cursor(8, '*'))
    const told: unknown[] = []
    const reading = (async () => {
      for await (const { job } of iterate(await opened, never)) told.push(job?.job.status)
    })()
    await new Promise((done) => setTimeout(done, 20))
    events.publish([event(9, 'COMPLETED')])
    await reading
    expect(told).toEqual(['EXPORTING', 'COMPLETED'])
  })

  it('is not waited for where it cannot be read', async () => {
    const away = async () => {
      throw new Failure('COORDINATOR_UNAVAILABLE', 'away')
    }
    await expect(followEvaluation(eventsWith(), callers, jobId, away)).rejects.toMatchObject({ code: 'COORDINATOR_UNAVAILABLE' })
  })
})
