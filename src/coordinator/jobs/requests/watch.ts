import { isTerminal } from '../../../contract/statuses.js'
import type { JobWatch, JournalAttempt } from '../../journal/follow.js'
import type { JobChanges } from '../records/changes.js'
import { type JobRecord, nodesOf, statusOf } from '../records/record.js'

/** A job kept up to date by word of its changes, as readers of its journal need it. */
export interface LiveJob extends JobWatch {
  /** The newest record. */
  job(): JobRecord
  stop(): void
}

/** The attempts of a job as readers of its journal need them. */
export const journalAttempts = ({ attempts }: JobRecord): JournalAttempt[] =>
  attempts.map((attempt) => ({
    number: attempt.number,
    closed: attempt.finishedAt !== null,
    ranks: Math.max(1, nodesOf(attempt).length),
    gpuSampled: attempt.gpuSampled,
  }))

/** Watches a job. `load` reads it once, after listening began, so that no change falls between. */
export async function watchJob(changes: JobChanges, jobId: string, load: () => Promise<JobRecord>): Promise<LiveJob> {
  let newest: JobRecord | undefined
  let unseen = true
  const waiting = new Set<() => void>()
  const take = (job: JobRecord) => {
    if (newest && job.revision <= newest.revision) return
    newest = job
    unseen = true
    for (const wake of waiting) wake()
  }
  const stop = changes.listen({ jobId }, ({ job }) => take(job))
  const loaded = await load().catch((error: unknown) => {
    stop()
    throw error
  })
  take(loaded)
  const job = () => newest ?? loaded
  return {
    job,
    stop,
    state() {
      unseen = false
      return { attempts: journalAttempts(job()), over: isTerminal(statusOf(job())) }
    },
    async changed(signal) {
      if (unseen || signal.aborted) return
      await new Promise<void>((resolve) => {
        const wake = () => {
          waiting.delete(wake)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        waiting.add(wake)
        signal.addEventListener('abort', wake)
      })
    },
  }
}
