import { allow } from '../auth/who-may.js'
import type { JobParts } from './job-parts.js'
import type { JobOperations } from './job-types.js'
import { foreignCheckpoints, lineageGraph } from './lineage-graph.js'

const checkpointsMax = 100
const evaluationsMax = 100

/** Where jobs come from and what came of them, from the cached jobs and evaluations and the coordinator's checkpoints. */
export function jobLineage(
  { coordinator, evaluationsOfJobs }: JobParts,
  { getMany, checkpointsOf }: Pick<JobOperations, 'getMany' | 'checkpointsOf'>,
): Pick<JobOperations, 'lineageOf'> {
  return {
    async lineageOf(caller, views) {
      allow(caller.viewer, 'readJobs')
      const { tenantId, userId } = caller.viewer
      const context = { tenantId, userId, requestId: caller.requestId }
      const jobs = views.map(({ job }) => job)
      const ids = jobs.map(({ job_id }) => job_id)
      const [checkpoints, evaluations] = await Promise.all([
        checkpointsOf(caller, ids, { limit: checkpointsMax }),
        evaluationsOfJobs(tenantId, ids, evaluationsMax),
      ])
      const starts = [...new Set(jobs.flatMap((job, index) => foreignCheckpoints(job, checkpoints[index] ?? [])))]
      const answer =
        starts.length > 0 ? await coordinator.call('BatchListCheckpoints', { checkpoint_ids: starts.slice(0, 500) }, context) : { jobs: [] }
      const foreign = new Map(answer.jobs.flatMap((one) => one.checkpoints.map((checkpoint) => [checkpoint.checkpoint_id, checkpoint])))
      const parentIds = [...new Set([...foreign.values()].map(({ job_id }) => job_id))]
      const parentViews = parentIds.length > 0 ? await getMany(caller, parentIds) : []
      const parents = new Map(parentViews.flatMap((view) => (view ? [[view.job.job_id, view.job]] : [])))
      return jobs.map((job, index) =>
        lineageGraph({
          job,
          checkpoints: checkpoints[index] ?? [],
          evaluations: (evaluations.get(job.job_id) ?? []).map((cached) => cached.job),
          foreign,
          parents,
        }),
      )
    },
  }
}
