import type { Attempt } from '../../../generated/prisma/coordinator/client.js'
import type { JobFailure__Output } from '../../../generated/proto/scaimind/v1/JobFailure.js'
import type { EngineHandle } from '../../engines/engine.js'
import { canHappen } from '../records/lifecycle.js'
import { type JobRecord, specOf, statusOf } from '../records/record.js'
import type { Change, Step } from '../records/store.js'
import { decideEnd, type Ending, notStarted } from './finish.js'

/** The engine took the attempt. */
export function storeHandle(job: JobRecord, number: number, handle: EngineHandle): Change | null {
  const text = JSON.stringify(handle)
  const isStarting = canHappen('submitted', statusOf(job)) && job.attempt === number
  if (attemptOf(job, number)?.handle === text && !isStarting) return null
  return {
    steps: isStarting ? [{ happened: 'submitted', message: 'Starting.' }] : [],
    effects: writeAttempt(job, number, { handle: text }),
  }
}

/** Its trainer started. */
export function storeStart(job: JobRecord, number: number, time: Date): Change | null {
  const attempt = attemptOf(job, number)
  if (!attempt || attempt.finishedAt || job.attempt !== number) return null
  // A program of the tenant's own need not speak of phases: once it runs, it trains.
  const trains = specOf(job).training_config.framework.type === 'CUSTOM' && statusOf(job) === 'PREPARING'
  if (attempt.startedAt && !trains) return null
  const set = { startedAt: job.startedAt ?? time }
  return {
    steps: [trains ? { happened: 'trains', message: 'Running.', set } : { set }],
    effects: writeAttempt(job, number, { startedAt: attempt.startedAt ?? time }),
  }
}

/** Its processes are proven dead. */
export function storeEnd(job: JobRecord, number: number, ending: Ending, now: Date): Change | null {
  const attempt = attemptOf(job, number)
  if (!attempt || attempt.finishedAt) return null
  const { time, exitCode, signal } = ending.end
  const ended = { finishedAt: time, exitCode, signal, startedAt: attempt.startedAt ?? attempt.submittedAt }
  const after = {
    ...job,
    startedAt: job.startedAt ?? ended.startedAt,
    attempts: job.attempts.map((candidate) => (candidate === attempt ? { ...attempt, ...ended } : candidate)),
  }
  return { steps: job.attempt === number ? decideEnd(after, ending, now) : [], effects: writeAttempt(job, number, ended) }
}

/** It never had processes: `isRefused` where the job itself is at fault, else its node. */
export function storeNeverRan(
  job: JobRecord,
  number: number,
  { failure, isRefused }: { failure: JobFailure__Output; isRefused: boolean },
  now: Date,
): Change | null {
  const attempt = attemptOf(job, number)
  if (!attempt || attempt.finishedAt) return null
  const steps: Step[] = job.wanted === 'CANCEL' ? [{ happened: 'cancelled' }] : notStarted(job, isRefused, failure, now)
  return { steps: job.attempt === number ? steps : [], effects: writeAttempt(job, number, { finishedAt: now }) }
}

const attemptOf = (job: JobRecord, number: number): Attempt | undefined => job.attempts.find((attempt) => attempt.number === number)

function writeAttempt({ jobId }: JobRecord, number: number, data: Partial<Omit<Attempt, 'jobId' | 'number'>>): Change['effects'] {
  return (tx) => tx.attempt.update({ where: { jobId_number: { jobId, number } }, data })
}
