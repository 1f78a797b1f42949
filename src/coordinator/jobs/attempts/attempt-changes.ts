import type { Attempt } from '../../../generated/prisma/coordinator/client.js'
import type { JobFailure__Output } from '../../../generated/proto/scaimind/v1/JobFailure.js'
import type { TrainerCode__Output } from '../../../generated/proto/scaimind/v1/TrainerCode.js'
import type { AttemptEnd, EngineEvent, EngineHandle, Placement } from '../../engines/engine.js'
import { canHappen } from '../records/lifecycle.js'
import { type JobRecord, placementOf, specOf, statusOf, storePlacement } from '../records/record.js'
import type { Change, Step } from '../records/store.js'
import { decideEnd, type Ending, lossOf, notStarted } from './finish.js'
import { reachable } from './reach.js'

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

/** Its trainer started; `placement` where its engine chose the place. */
export function storeStart(
  job: JobRecord,
  number: number,
  { time, placement }: { time: Date; placement?: Placement[] | undefined },
): Change | null {
  const attempt = attemptOf(job, number)
  if (!attempt || attempt.finishedAt || job.attempt !== number) return null
  const arrived = arrivalSteps(job, placement ?? placementOf(attempt))
  const isPreparing = arrived.length > 0 || statusOf(job) === 'PREPARING'
  const trains = isPreparing && !speaksOfPhases(job)
  if (attempt.startedAt && !trains && arrived.length === 0) return null
  const set = { startedAt: job.startedAt ?? time }
  return {
    steps: [...arrived, trains ? { happened: 'trains', message: 'Running.', set } : { set }],
    effects: writeAttempt(job, number, {
      startedAt: attempt.startedAt ?? time,
      ...(placement ? { placement: storePlacement(placement) } : {}),
    }),
  }
}

/** Whether its trainer surely says when it trains: ours do, and none but ours is for HF_TRAINER unless the operator says so. Another program, once it runs, trains. */
function speaksOfPhases(job: JobRecord): boolean {
  const code = job.code ? (JSON.parse(job.code) as TrainerCode__Output) : null
  return code?.trainer === 'hf' || specOf(job).training_config.framework.type === 'HF_TRAINER'
}

/** An attempt that waited in its engine's queue has got a place and is started: both at once, as far as we can see. */
function arrivalSteps(job: JobRecord, placement: Placement[]): Step[] {
  if (!canHappen('placed', statusOf(job))) return []
  const nodes = placement.map(({ nodeId }) => nodeId).join(', ')
  return [
    { happened: 'placed', message: nodes === '' ? 'Placed.' : `Placed on ${nodes}.`, set: { notBefore: null } },
    { happened: 'submitted', message: 'Starting.' },
  ]
}

/** Its processes are proven dead. */
export function storeEnd(job: JobRecord, number: number, ending: Ending, now: Date): Change | null {
  const attempt = attemptOf(job, number)
  if (!attempt || attempt.finishedAt) return null
  const { time, exitCode, signal, lost } = ending.end
  // What only waited in its engine's queue used nothing.
  const ran = attempt.startedAt !== null || exitCode !== null || signal !== '' || lost
  const ended = { finishedAt: time, exitCode, signal, startedAt: ran ? (attempt.startedAt ?? attempt.submittedAt) : null }
  const after = {
    ...job,
    startedAt: job.startedAt ?? ended.startedAt,
    attempts: job.attempts.map((candidate) => (candidate === attempt ? { ...attempt, ...ended } : candidate)),
  }
  return { steps: job.attempt === number ? decideEnd(after, ending, now) : [], effects: writeAttempt(job, number, ended) }
}

/** It ended, and its engine runs the job again by itself, as the attempt `next`. */
export function storeRequeue(
  job: JobRecord,
  number: number,
  { end, next, handle, token }: Pick<Extract<EngineEvent, { type: 'requeued' }>, 'end' | 'next' | 'handle' | 'token'>,
): Change | null {
  const attempt = attemptOf(job, number)
  if (!attempt || attempt.finishedAt) return null
  const { jobId } = job
  const { time: finishedAt, exitCode, signal } = end
  const { gpus, share, gpuSampled } = attempt
  const row = { cause: 'REQUEUE', token, handle: JSON.stringify(handle), placement: '[]', submittedAt: finishedAt, gpus, share, gpuSampled }
  const isCurrent = job.attempt === number
  return {
    steps: isCurrent ? requeueSteps(job, end, next.number) : [],
    effects: async (tx) => {
      await writeAttempt(job, number, { finishedAt, exitCode, signal })?.(tx)
      await tx.attempt.upsert({
        where: { jobId_number: { jobId, number: next.number } },
        create: { jobId, number: next.number, ...row },
        update: {},
      })
    },
  }
}

function requeueSteps(job: JobRecord, end: AttemptEnd, number: number): Step[] {
  const set = { attempt: number, ...reachable }
  // One that is to stop has not lost anything that it would wait for: the new attempt is taken back before it starts.
  if (job.wanted !== 'RUN' || !canHappen('preempted', statusOf(job))) return [{ set }]
  const message = `${lossOf(end)} It runs again as attempt ${number}`
  return [
    { happened: 'preempted', message: `${message}.` },
    { happened: 'requeued', message: `${message} once it has a place.`, set },
  ]
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
