import type { AttemptName, Engine, EngineHandle } from '../../engines/engine.js'
import { writeStopRequest } from '../../journal/stop.js'
import { currentAttempt, type JobRecord, wantedOf } from '../records/record.js'
import { ranTooLong } from './finish.js'

/** An attempt, and what its trainer was last asked. */
export interface Obedience {
  job: JobRecord
  name: AttemptName
  /** Null until the engine answered the submission. */
  handle: EngineHandle | null
  /** The request that was passed on; empty: none in this life of the coordinator. */
  asked: string
}

/** Passes on what the record wants of a running attempt, and its time limit: written down first, then signalled, once each. Does nothing where nothing new is wanted. */
export async function obey(attempt: Obedience, { engine, now }: { engine: Engine; now: Date }): Promise<void> {
  const { job, name, handle } = attempt
  if (!handle || job.attempt !== name.number) return
  const request = requestFor(job, now)
  if (!request || attempt.asked === request.key) return
  const before = attempt.asked
  attempt.asked = request.key
  try {
    await writeStopRequest(name.directory, { saveCheckpoint: request.saveCheckpoint, reason: request.reason })
    // Whoever is told to stop twice still saves; to drop a save that was asked for before takes more.
    await engine.signal(name, handle, before && !request.saveCheckpoint ? 'kill' : 'stop')
  } catch (error) {
    attempt.asked = before
    throw error
  }
}

function requestFor(job: JobRecord, now: Date): { key: string; saveCheckpoint: boolean; reason: string } | null {
  const { saveCheckpoint } = job
  switch (wantedOf(job)) {
    case 'CANCEL':
      return { key: `CANCEL ${saveCheckpoint}`, saveCheckpoint, reason: 'cancelled' }
    case 'PAUSE':
      return { key: `PAUSE ${saveCheckpoint}`, saveCheckpoint, reason: 'paused' }
    case 'RUN':
      if (currentAttempt(job)?.evicted) return { key: 'EVICT', saveCheckpoint: true, reason: 'evicted' }
      return ranTooLong(job, now) === null ? null : { key: 'TIME_LIMIT', saveCheckpoint: true, reason: 'time limit' }
  }
}
