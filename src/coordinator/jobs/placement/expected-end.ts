import type { Attempt, Job } from '../../../generated/prisma/coordinator/client.js'
import { runSecondsMax } from '../records/needs.js'
import { specOf } from '../records/record.js'

/** What tells how long an attempt may still take. */
type Timed = Pick<Attempt, 'startedAt' | 'submittedAt'> & { job: Pick<Job, 'progress' | 'updatedAt' | 'spec'> }

/** When a running attempt will be over by its trainer's estimate or by its limit, whichever comes first; null where nothing is known. */
export function expectedEnd({ job, ...attempt }: Timed): Date | null {
  const { eta_seconds: eta } = (job.progress === null ? {} : JSON.parse(job.progress)) as { eta_seconds?: number }
  const limit = runSecondsMax(specOf(job))
  const startedAt = attempt.startedAt ?? attempt.submittedAt
  const ends = [
    ...(eta === undefined ? [] : [job.updatedAt.getTime() + eta * 1000]),
    ...(limit === null ? [] : [startedAt.getTime() + limit * 1000]),
  ]
  return ends.length > 0 ? new Date(Math.min(...ends)) : null
}
