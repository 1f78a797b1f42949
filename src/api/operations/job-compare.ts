import { z } from 'zod'
import { parseJobId } from '../../contract/ids.js'
import type { Caller } from '../auth/viewer.js'
import { allow } from '../auth/who-may.js'
import { alignSeries } from './align-series.js'
import { differences } from './differences.js'
import type { JobParts } from './job-parts.js'
import type { JobOperations } from './job-types.js'
import { parseInput } from './parse.js'

const idsSchema = z.object({
  job_ids: z
    .array(z.string())
    .min(2, 'Give 2 to 10 jobs')
    .max(10, 'Give 2 to 10 jobs')
    .refine((ids) => new Set(ids).size === ids.length, 'A job is given twice'),
})
const metricsSchema = z.object({
  metrics: z.array(z.string().min(1).max(128)).max(20, 'At most 20 names at once').default([]),
  max_points: z
    .number()
    .int()
    .min(50, 'This is a whole number from 50 to 2000')
    .max(2000, 'This is a whole number from 50 to 2000')
    .default(500),
})

const seriesMax = 20
// As fine as the coordinator tells it: thinned here, over all jobs at once, so that their steps stay the same.
const pointsOfOne = 2000

/** Jobs side by side: what was asked differently, what they ran on, and how their metrics went. */
export function jobComparison(
  { coordinator }: JobParts,
  { get, getMany }: Pick<JobOperations, 'get' | 'getMany'>,
): Pick<JobOperations, 'compare' | 'compareMetrics'> {
  return {
    async compare(caller, ids) {
      allow(caller.viewer, 'readJobs')
      const { job_ids } = parseInput(idsSchema, { job_ids: ids })
      const known = await getMany(caller, job_ids.map(parseJobId))
      const views = await Promise.all(known.map((view, index) => view ?? get(caller, job_ids[index] as string)))
      const jobs = views.map(({ job }) => job)
      return {
        views,
        configs: differences(
          jobs.map(({ training_config, data_config, resource_config, output_config, scheduling_config }) => ({
            training_config,
            data_config,
            resource_config,
            output_config,
            scheduling_config,
          })),
        ),
        dataHashes: differences(jobs.map(({ data_hashes }) => ({ data_hashes }))),
        code: differences(jobs.map(({ code }) => ({ code }))),
      }
    },

    async compareMetrics(caller: Caller, ids, { names, maxPoints } = {}) {
      allow(caller.viewer, 'readJobs')
      const { job_ids } = parseInput(idsSchema, { job_ids: ids })
      const wanted = parseInput(metricsSchema, { metrics: names, max_points: maxPoints })
      const { tenantId, userId } = caller.viewer
      const context = { tenantId, userId, requestId: caller.requestId }
      const request = { names: wanted.metrics, since_step: '0', max_points: pointsOfOne }
      const histories = await Promise.all(job_ids.map((job_id) => coordinator.call('GetJobMetrics', { job_id, ...request }, context)))
      const series = histories.map(
        (history) =>
          new Map(
            history.series
              .filter(({ points }) => points.length > 0)
              .map(({ name, points }) => [name, new Map(points.map(({ step, value }) => [Number(step), value]))]),
          ),
      )
      const found = wanted.metrics.length > 0 ? wanted.metrics : [...new Set(series.flatMap((one) => [...one.keys()]))].slice(0, seriesMax)
      return found.map((name) =>
        alignSeries(
          name,
          series.map((one) => one.get(name) ?? new Map()),
          wanted.max_points,
        ),
      )
    },
  }
}
