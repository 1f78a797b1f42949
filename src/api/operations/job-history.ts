import { z } from 'zod'
import { parseCursor } from '../../contract/cursor.js'
import { parseJobId } from '../../contract/ids.js'
import { fromTimestamp, toTimestamp } from '../../contract/proto.js'
import { logLevels } from '../../contract/statuses.js'
import type { Timestamp__Output } from '../../generated/proto/google/protobuf/Timestamp.js'
import type { Caller } from '../auth/viewer.js'
import { allow } from '../auth/who-may.js'
import type { JobParts } from './job-parts.js'
import type { JobOperations } from './job-types.js'
import { parseInput } from './parse.js'

/** Over all jobs of one call. */
const checkpointsMax = 5000

const metricsSchema = z.object({
  names: z.array(z.string().min(1).max(128)).max(20, 'At most 20 names at once').default([]),
  since_step: z
    .union([z.number().int().min(0), z.string().regex(/^\d{1,19}$/)])
    .transform(String)
    .default('0'),
  max_points: z.number().int().min(2).max(2000).default(500),
})

const time = z.date().transform(toTimestamp)
const logsSchema = z
  .object({
    after: z.string().default(''),
    before: z.string().default(''),
    level: z.enum(logLevels).optional(),
    rank: z.number().int().min(0, 'A rank is a whole number from 0').optional(),
    limit: z.number().int().min(1, 'A page has 1 to 1,000 lines').max(1000, 'A page has 1 to 1,000 lines').default(100),
    from_end: z.boolean().default(false),
    attempt: z.number().int().min(1, 'An attempt is a whole number from 1').optional(),
    since: time.optional(),
    until: time.optional(),
    pattern: z.string().max(200, 'A pattern is a regular expression of at most 200 characters').default(''),
  })
  .refine(({ since, until }) => !since || !until || isBefore(since, until), { path: ['until'], message: 'This is a time after since' })

const isBefore = (a: Timestamp__Output, b: Timestamp__Output) => (fromTimestamp(a) ?? 0) < (fromTimestamp(b) ?? 0)

type History = Pick<JobOperations, 'checkpoints' | 'checkpointsOf' | 'metrics' | 'latestMetricsOf' | 'logs' | 'events'>

/** What a job left behind so far: the coordinator is asked each time. */
export function jobHistory({ coordinator }: JobParts): History {
  function contextOf({ viewer, requestId }: Caller) {
    allow(viewer, 'readJobs')
    return { tenantId: viewer.tenantId, userId: viewer.userId, requestId }
  }
  function prepare(caller: Caller, id: string) {
    const context = contextOf(caller)
    return { job_id: parseJobId(id), context }
  }

  return {
    async checkpoints(caller, jobId) {
      const { job_id, context } = prepare(caller, jobId)
      return (await coordinator.call('ListCheckpoints', { job_id }, context)).checkpoints
    },

    async checkpointsOf(caller, jobIds, { limit }) {
      const context = contextOf(caller)
      const ids = [...new Set(jobIds)]
      const atOnce = Math.floor(checkpointsMax / limit)
      const parts = Array.from({ length: Math.ceil(ids.length / atOnce) }, (_, i) => ids.slice(i * atOnce, (i + 1) * atOnce))
      const answers = await Promise.all(parts.map((job_ids) => coordinator.call('BatchListCheckpoints', { job_ids, limit }, context)))
      const found = new Map(answers.flatMap(({ jobs }) => jobs.map(({ job_id, checkpoints }) => [job_id, checkpoints])))
      return jobIds.map((jobId) => found.get(jobId) ?? [])
    },

    async latestMetricsOf(caller, jobIds) {
      const context = contextOf(caller)
      const { jobs } = await coordinator.call('BatchGetLatestMetrics', { job_ids: [...new Set(jobIds)] }, context)
      const found = new Map(jobs.map(({ job_id, latest }) => [job_id, latest]))
      return jobIds.map((jobId) => found.get(jobId) ?? null)
    },

    async metrics(caller, jobId, { names, sinceStep, maxPoints } = {}) {
      const { job_id, context } = prepare(caller, jobId)
      const wanted = parseInput(metricsSchema, { names, since_step: sinceStep, max_points: maxPoints })
      return coordinator.call('GetJobMetrics', { job_id, ...wanted }, context)
    },

    async logs(caller, jobId, { fromEnd, ...options } = {}) {
      const { job_id, context } = prepare(caller, jobId)
      const wanted = parseInput(logsSchema, { ...options, from_end: fromEnd })
      for (const cursor of [wanted.after, wanted.before].filter(Boolean)) parseCursor(cursor, 'logs', job_id)
      return coordinator.call('ReadJobLogs', { job_id, ...wanted }, context)
    },

    async events(caller, jobId) {
      const { job_id, context } = prepare(caller, jobId)
      return (await coordinator.call('ListJobEvents', { job_id }, context)).events
    },
  }
}
