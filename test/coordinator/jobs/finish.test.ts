import { describe, expect, it } from 'vitest'
import type { JobWanted } from '../../../src/contract/statuses.js'
import type { EngineVerdict } from '../../../src/coordinator/engines/engine.js'
import { storeEnd } from '../../../src/coordinator/jobs/attempts/attempt-changes.js'
import { ownFailure } from '../../../src/coordinator/jobs/attempts/failure.js'
import { decideEnd, notStarted, retryDelaySeconds } from '../../../src/coordinator/jobs/attempts/finish.js'
import type { Transaction } from '../../../src/coordinator/jobs/records/database.js'
import type { JobRecord } from '../../../src/coordinator/jobs/records/record.js'
import { completeSpec } from '../../../src/coordinator/jobs/records/spec.js'

const time = new Date('2030-01-01T01:00:00Z')
const attempt = {
  jobId: 'job_a',
  number: 1,
  cause: 'FIRST',
  token: '',
  handle: null,
  placement: '[]',
  fromCheckpoint: null,
  eventsApplied: 0,
  submittedAt: new Date('2030-01-01T00:59:00Z'),
  startedAt: new Date('2030-01-01T00:59:00Z'),
  finishedAt: time,
  exitCode: null,
  signal: '',
  evicted: null,
  evictedFor: null,
  gpus: 0,
  share: 0,
  gpuSampled: false,
}

function running(wanted: JobWanted, { retries = 0, limit = '0', requeue = true } = {}): JobRecord {
  const spec = completeSpec(null)
  spec.scheduling_config.max_runtime_seconds = limit
  spec.scheduling_config.requeue_on_preemption = requeue
  const job = { status: 'TRAINING', wanted, attempt: 1, failures: 0, maxRetries: retries, startedAt: time, spec: JSON.stringify(spec) }
  return { ...job, attempts: [attempt] } as unknown as JobRecord
}
const outcome = (
  job: JobRecord,
  exitCode: number | null,
  { signal = '', lost = false, verdict = null as EngineVerdict | null, isRegistered = false } = {},
) =>
  decideEnd(
    job,
    { end: { time, exitCode, signal, lost, verdict }, failure: ownFailure('CODE', 'It broke.'), undelivered: null, isRegistered },
    time,
  ).map(({ happened }) => happened)

/** What is written of an attempt that ended in its engine's queue, or there after it was started. */
async function written(status: string, startedAt: Date | null, exitCode: number | null) {
  const job = { ...running('CANCEL'), status, attempts: [{ ...attempt, startedAt, finishedAt: null }] } as unknown as JobRecord
  const end = { time, exitCode, signal: '', lost: false, verdict: null }
  const rows: unknown[] = []
  const tx = { attempt: { update: async ({ data }: { data: unknown }) => rows.push(data) } } as unknown as Transaction
  await storeEnd(job, 1, { end, failure: ownFailure('UNKNOWN', ''), undelivered: null }, time)?.effects?.(tx)
  return rows
}

describe('When an attempt ends', () => {
  it('that only waited, nothing counts as its run', async () => {
    expect(await written('QUEUED', null, null)).toMatchObject([{ startedAt: null, finishedAt: time }])
    expect(await written('QUEUED', null, 0)).toMatchObject([{ startedAt: attempt.submittedAt }])
    expect(await written('TRAINING', attempt.startedAt, null)).toMatchObject([{ startedAt: attempt.startedAt }])
  })
  it('that the engine did not start, it is tried three times in a row', () => {
    const job = { ...running('RUN'), status: 'QUEUED' }
    const tried = (number: number, finishedAt: Date | null) => ({ ...attempt, number, startedAt: null, finishedAt })
    const decide = (...attempts: ReturnType<typeof tried>[]) =>
      notStarted({ ...job, attempts, attempt: attempts.length } as JobRecord, false, ownFailure('NODE', ''), time).map(
        ({ happened }) => happened,
      )
    for (const last of [null, time]) {
      expect(decide(tried(1, time), tried(2, last))).toEqual([undefined])
      expect(decide(tried(1, time), tried(2, time), tried(3, last))).toEqual(['failed'])
    }
  })
  it('with its model registered, it is too late to stop it', () => {
    for (const wanted of ['CANCEL', 'PAUSE'] as const) expect(outcome(running(wanted), 0, { isRegistered: true })).toEqual(['completed'])
  })
  it.each([0, 1, 85, 137, null])('what was wanted counts, not exit code %s', (code) => {
    expect(outcome(running('CANCEL'), code, { lost: code === null })).toEqual(['cancelled'])
    expect(outcome(running('PAUSE'), code, { lost: code === null })).toEqual(['paused'])
  })
  it('0 completes the job', () => expect(outcome(running('RUN'), 0)).toEqual(['completed']))
  it('85 that nobody asked for is a preemption', () => {
    expect(outcome(running('RUN'), 85)).toEqual(['preempted', 'requeued'])
    expect(outcome(running('RUN', { requeue: false }), 85)).toEqual(['preempted'])
  })
  it('a node that is lost is no failure of the job', () => {
    expect(outcome(running('RUN'), null, { lost: true })).toEqual(['preempted', 'requeued'])
    const verdict: EngineVerdict = { cause: 'NODE_FAILED', words: 'NODE_FAIL' }
    for (const code of [1, null]) expect(outcome(running('RUN', { requeue: false }), code, { verdict })).toEqual(['preempted'])
  })
  it('but three in a row are', () => {
    const job = running('RUN')
    job.attempts = [1, 2, 3].map((number) => ({ ...attempt, number }))
    expect(outcome({ ...job, attempt: 3 }, null, { lost: true })).toEqual(['failed'])
  })
  it('anything else fails it, or is tried again where retries are left', () => {
    expect(outcome(running('RUN'), 1)).toEqual(['failed'])
    expect(outcome(running('RUN'), null, { signal: 'SIGKILL' })).toEqual(['failed'])
    expect(outcome(running('RUN', { retries: 1 }), 1)).toEqual(['triedAgain'])
  })
  it('one that ran into its time limit is not tried again', () => {
    expect(outcome(running('RUN', { limit: '30', retries: 5 }), 85)).toEqual(['failed'])
    expect(outcome(running('RUN', { limit: '30' }), 0)).toEqual(['completed'])
  })
  it('the time limit is its own reason, with what the log said as evidence', () => {
    const failure = { ...ownFailure('CODE', 'Stopped.', { evidence: ['saving'] }), node: 'n', rank: 0 }
    const [step] = decideEnd(
      running('RUN', { limit: '30' }),
      { end: { time, exitCode: 85, signal: '', lost: false, verdict: null }, failure, undelivered: null },
      time,
    )
    expect(JSON.parse(String(step?.set?.failure))).toMatchObject({
      class: 'TIME_LIMIT',
      message: 'Stopped at its time limit of 30 s.',
      hint: expect.stringContaining('max_runtime_seconds'),
      evidence: ['saving'],
      node: 'n',
    })
  })
  it('a job that is not running is left alone', () => {
    expect(outcome({ ...running('RUN'), status: 'CANCELLED' }, 1)).toEqual([])
  })
  it('waits longer after each failure', () => expect([1, 2, 3, 4, 5, 6].map(retryDelaySeconds)).toEqual([1, 4, 16, 64, 256, 300]))
})
