import type { JobFailure__Output } from '../../../generated/proto/scaimind/v1/JobFailure.js'
import type { ModelArtefact__Output } from '../../../generated/proto/scaimind/v1/ModelArtefact.js'
import type { AttemptEnd } from '../../engines/engine.js'
import { canHappen } from '../records/lifecycle.js'
import { currentAttempt, type JobRecord, specOf, statusOf, wantedOf } from '../records/record.js'
import type { Step } from '../records/store.js'
import { reachable } from './reach.js'

/** Exit code of a trainer that saved and stopped because it was asked to. */
const stopped = 85
/** So many attempts in a row whose launcher died unheard are no accident of a node. */
const lostMax = 3

/** What ended, and what it left to say. */
export interface Ending {
  end: AttemptEnd
  /** Why it failed, should it turn out to have failed. */
  failure: JobFailure__Output
  /** Why its output could not be delivered or registered; null where it was, or there was none. */
  undelivered: JobFailure__Output | null
  /** Whether its output is registered: then it is too late for the job to be stopped. Default false. */
  isRegistered?: boolean
  /** The output of an attempt that did its work, named by its content. */
  output?: ModelArtefact__Output
}

/**
 * What becomes of a job whose current attempt ended. Why it stopped is what was wanted, not its exit code; only where nothing was
 * wanted but that it runs does the code speak. Pure.
 */
export function decideEnd(job: JobRecord, ending: Ending, now: Date): Step[] {
  const status = statusOf(job)
  // It waited in its engine's queue and was ended there, or ran so shortly that only its end was seen.
  const ran = ending.end.exitCode !== null || ending.end.signal !== ''
  if (status === 'QUEUED' && !ran) return neverStarted(job, ending, now)
  const arrived: Step[] =
    status === 'QUEUED'
      ? [
          { happened: 'placed', set: { notBefore: null } },
          { happened: 'submitted', message: 'Started.' },
        ]
      : []
  if (arrived.length === 0 && !canHappen('completed', status)) return []
  const [first, ...others] = outcome(job, ending, now)
  // A start that was never heard of is known by now.
  return first ? [...arrived, { ...first, set: { startedAt: job.startedAt, ...reachable, ...first.set } }, ...others] : []
}

/** What becomes of a job whose attempt was ended in its engine's queue. */
function neverStarted(job: JobRecord, { end: { verdict }, failure }: Ending, now: Date): Step[] {
  if (wantedOf(job) === 'CANCEL') return [{ happened: 'cancelled' }]
  if (verdict?.cause === 'CANCELLED') return [{ happened: 'cancelled', message: `Cancelled in the cluster: ${verdict.words}` }]
  return notStarted(job, verdict?.cause === 'REFUSED', failure, now)
}

function outcome(job: JobRecord, { end, failure, undelivered, output, isRegistered = false }: Ending, now: Date): Step[] {
  const wanted = isRegistered ? 'RUN' : wantedOf(job)
  if (wanted === 'CANCEL') return [{ happened: 'cancelled' }]
  if (wanted === 'PAUSE') return [{ happened: 'paused', message: 'Paused; its resources are given back.' }]
  if (end.exitCode === 0 && !end.lost) {
    if (undelivered) return [{ happened: 'failed', message: undelivered.message, set: { failure: JSON.stringify(undelivered) } }]
    const set = { failure: null, ...(output ? { output: JSON.stringify(output) } : {}) }
    const name = specOf(job).output_config.register_as
    const message = name === '' || isRegistered ? 'Completed.' : `Completed. It left no model to register as ${name}.`
    return [{ happened: 'completed', message, set }]
  }
  const { verdict } = end
  if (verdict?.cause === 'CANCELLED') return [{ happened: 'cancelled', message: `Cancelled in the cluster: ${verdict.words}` }]
  // It was asked to give its place back: however it then ended, that was no failure of its own.
  if (currentAttempt(job)?.evicted || verdict?.cause === 'PREEMPTED') return losePlace(job, end)
  const overtime = ranTooLong(job, end.time)
  if (overtime !== null || verdict?.cause === 'TIME_LIMIT') {
    const message =
      overtime === null ? `Stopped at a time limit of the cluster: ${verdict?.words}` : `Stopped at its time limit of ${overtime} s.`
    const hint = 'Raise scheduling_config.max_runtime_seconds and retry: it goes on from its last checkpoint.'
    const late = { ...failure, class: 'TIME_LIMIT', message, hint } satisfies JobFailure__Output
    return [{ happened: 'failed', message, set: { failure: JSON.stringify(late) } }]
  }
  // Where a node fails, the processes on the others end badly, too.
  const isUnheard = end.exitCode === null && end.signal === '' && verdict === null
  const isLost = end.lost || isUnheard || verdict?.cause === 'NODE_FAILED'
  if (end.exitCode === stopped || (isLost && !isLostTooOften(job))) return losePlace(job, end)
  return fail(job, failure, now)
}

/** What becomes of a job whose attempt the engine did not start. What is wrong with the job fails it; a node that does not start it is tried a few times. Pure. */
export function notStarted(job: JobRecord, isRefused: boolean, failure: JobFailure__Output, now: Date): Step[] {
  const earlier = job.attempts.filter(({ number }) => number < job.attempt).slice(1 - lostMax)
  const before = earlier.filter(({ finishedAt, startedAt }) => finishedAt !== null && startedAt === null).length
  if (isRefused || before >= lostMax - 1) {
    return [{ happened: 'failed', message: failure.message, set: { failure: JSON.stringify(failure) } }]
  }
  const set = { notBefore: new Date(now.getTime() + retryDelaySeconds(before + 1) * 1000) }
  const message = `${failure.message} It will be tried again.`
  return [canHappen('placeLost', statusOf(job)) ? { happened: 'placeLost', message, set } : { message, set }]
}

function fail(job: JobRecord, failure: JobFailure__Output, now: Date): Step[] {
  const failures = job.failures + 1
  if (failures > job.maxRetries)
    return [{ happened: 'failed', message: failure.message, set: { failures, failure: JSON.stringify(failure) } }]
  const delay = retryDelaySeconds(failures)
  const message = `Attempt ${job.attempt} failed: ${failure.message} The next starts in ${delay} s (retry ${failures} of ${job.maxRetries}).`
  const set = { failures, notBefore: new Date(now.getTime() + delay * 1000), nextCause: 'RETRY' }
  return [{ happened: 'triedAgain', message, set }]
}

/** 1, 4, 16, 64, 256, then always 300. */
export const retryDelaySeconds = (failures: number): number => Math.min(300, 4 ** (failures - 1))

/** The limit in seconds that a job's current attempt ran into by `time`; null where it did not. */
export function ranTooLong(job: JobRecord, time: Date): number | null {
  const limit = Number(specOf(job).scheduling_config.max_runtime_seconds)
  const startedAt = currentAttempt(job)?.startedAt
  return limit > 0 && startedAt && time.getTime() - startedAt.getTime() >= limit * 1000 ? limit : null
}

function losePlace(job: JobRecord, end: AttemptEnd): Step[] {
  const evicted = currentAttempt(job)?.evicted
  const message = evicted ? `Preempted: ${evicted}` : lossOf(end)
  if (!specOf(job).scheduling_config.requeue_on_preemption) return [{ happened: 'preempted', message: `${message} Waits for a retry.` }]
  return [
    { happened: 'preempted', message },
    { happened: 'requeued', message: `${message} Waits for a place again.`, set: { nextCause: 'REQUEUE' } },
  ]
}

/** How an attempt that did not fail lost its place, in one sentence. */
export function lossOf({ lost, verdict }: AttemptEnd): string {
  if (verdict) return `${verdict.cause === 'PREEMPTED' ? 'Preempted' : 'Lost its node'}: ${verdict.words}`
  return lost ? 'Lost its node.' : 'Preempted: its trainer was asked to stop, and not by us.'
}

/** Counts the newest attempts; the one that just ended is among them already. */
function isLostTooOften(job: JobRecord): boolean {
  const newest = job.attempts.slice(-lostMax)
  return (
    newest.length === lostMax &&
    newest.every(({ finishedAt, exitCode, signal }) => finishedAt !== null && exitCode === null && signal === '')
  )
}
