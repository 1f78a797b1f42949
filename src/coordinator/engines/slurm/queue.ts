import type { EngineQueueEntry } from '../engine.js'
import { attemptOfName } from './options.js'
import type { SlurmJob } from './parse.js'
import { phaseOf, waitOf } from './states.js'

/** What waits, in the order in which Slurm would start it: by priority, then by age; last what may not start yet, whatever is free. `userId`: whose jobs are ours. */
export function waitingJobs(jobs: SlurmJob[], userId: number | undefined): EngineQueueEntry[] {
  return jobs
    .filter(({ states }) => phaseOf(states) === 'WAITING')
    .sort((a, b) => Number(mayStart(b)) - Number(mayStart(a)) || b.priority - a.priority || a.id - b.id)
    .map((job) => ({
      attempt: runningAttemptOf(job, userId),
      queue: job.partition,
      reason: job.reason,
      waitsFor: waitOf(job.reason),
      estimatedStart: job.startTime,
    }))
}

const mayStart = ({ reason }: SlurmJob): boolean => !['DEPENDENCY', 'START_TIME', 'FOREVER'].includes(waitOf(reason))

/** The attempt of ours that a job runs or would run, those that Slurm itself began anew counted; null where the job is none of ours. */
function runningAttemptOf({ name, userId: owner, restarts }: SlurmJob, userId: number | undefined): EngineQueueEntry['attempt'] {
  const first = owner === userId ? attemptOfName(name) : null
  return first && { ...first, number: first.number + restarts }
}
