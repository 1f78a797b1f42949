import type { EngineQueueEntry } from '../engine.js'
import { attemptOfName } from './options.js'
import type { SlurmJob } from './parse.js'
import { phaseOf, waitOf } from './states.js'

/** What waits, in the order in which Slurm would start it: by priority, then by age. `user`: whose jobs are ours. */
export function waitingJobs(jobs: SlurmJob[], user: string): EngineQueueEntry[] {
  return jobs
    .filter(({ states }) => phaseOf(states) === 'WAITING')
    .sort((a, b) => b.priority - a.priority || a.id - b.id)
    .map((job) => ({
      attempt: runningAttemptOf(job, user),
      queue: job.partition,
      reason: job.reason,
      waitsFor: waitOf(job.reason),
      estimatedStart: job.startTime,
    }))
}

/** The attempt of ours that a job runs or would run, those that Slurm itself began anew counted; null where the job is none of ours. */
function runningAttemptOf({ name, user: owner, restarts }: SlurmJob, user: string): EngineQueueEntry['attempt'] {
  const first = owner === user ? attemptOfName(name) : null
  return first && { ...first, number: first.number + restarts }
}
