import { z } from 'zod'
import { parseCursor } from '../../contract/cursor.js'
import { parseJobId } from '../../contract/ids.js'
import { logLevels } from '../../contract/statuses.js'
import type { JobEvent__Output } from '../../generated/proto/scaimind/v1/JobEvent.js'
import type { Caller } from '../auth/viewer.js'
import { allow } from '../auth/who-may.js'
import type { JobOperations } from './job-types.js'
import type { JobParts } from './jobs.js'
import { parseInput } from './parse.js'

const eventsMax = 1000
// A job's stream goes on while the job lives; one that says nothing for so long has told its history.
const quietMs = 1000

const metricsSchema = z.object({
  names: z.array(z.string().min(1).max(128)).max(20, 'At most 20 names at once').default([]),
  since_step: z
    .union([z.number().int().min(0), z.string().regex(/^\d{1,19}$/)])
    .transform(String)
    .default('0'),
  max_points: z.number().int().min(2).max(2000).default(500),
})

const logsSchema = z.object({
  after: z.string().default(''),
  level: z.enum(logLevels).optional(),
  rank: z.number().int().min(0).optional(),
  limit: z.number().int().min(1).max(1000).default(100),
  from_end: z.boolean().default(false),
})

type History = Pick<JobOperations, 'checkpoints' | 'metrics' | 'logs' | 'events'>

/** What a job left behind so far: the coordinator is asked each time. */
export function jobHistory({ coordinator }: JobParts): History {
  function prepare(caller: Caller, id: string) {
    allow(caller.viewer, 'readJobs')
    const { tenantId, userId } = caller.viewer
    return { job_id: parseJobId(id), context: { tenantId, userId, requestId: caller.requestId } }
  }

  return {
    async checkpoints(caller, jobId) {
      const { job_id, context } = prepare(caller, jobId)
      return (await coordinator.call('ListCheckpoints', { job_id }, context)).checkpoints
    },

    async metrics(caller, jobId, { names, sinceStep, maxPoints } = {}) {
      const { job_id, context } = prepare(caller, jobId)
      const wanted = parseInput(metricsSchema, { names, since_step: sinceStep, max_points: maxPoints })
      return coordinator.call('GetJobMetrics', { job_id, ...wanted }, context)
    },

    async logs(caller, jobId, { after, level, rank, limit, fromEnd } = {}) {
      const { job_id, context } = prepare(caller, jobId)
      const wanted = parseInput(logsSchema, { after, level, rank, limit, from_end: fromEnd })
      if (wanted.after) parseCursor(wanted.after, 'logs', job_id)
      return coordinator.call('ReadJobLogs', { job_id, ...wanted }, context)
    },

    async events(caller, jobId) {
      const { job_id, context } = prepare(caller, jobId)
      const { revision } = await coordinator.call('GetJob', { job_id }, context)
      const stop = new AbortController()
      const events: JobEvent__Output[] = []
      const request = { job_id, from_start: true }
      let timer = setTimeout(() => stop.abort(), quietMs)
      try {
        for await (const event of coordinator.openStream({ method: 'StreamJobEvents', request, context, signal: stop.signal })) {
          clearTimeout(timer)
          timer = setTimeout(() => stop.abort(), quietMs)
          events.push(event)
          if (events.length > eventsMax) events.shift()
          if (event.job && BigInt(event.job.revision) >= BigInt(revision)) break
        }
      } finally {
        clearTimeout(timer)
        stop.abort()
      }
      return events
    },
  }
}
