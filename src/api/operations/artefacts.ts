import { Failure } from '../../contract/failure.js'
import { allow } from '../auth/who-may.js'
import type { JobSelection } from '../cache/job-query.js'
import type { CachedJob, JobCache } from '../cache/jobs.js'
import type { ArtefactFilter, ArtefactOperations } from './artefact-types.js'
import { CachedView } from './cached-view.js'
import type { JobOperations, JobOrder, JobView } from './job-types.js'
import { cachedPage } from './paging.js'

const latestFirst: JobOrder = { field: 'finished_at', descending: true }

/** The use cases of models that jobs left behind. */
export function artefactOperations({
  cache,
  isFresh,
  jobs,
}: {
  cache: JobCache
  isFresh(): boolean
  jobs: Pick<JobOperations, 'get' | 'getMany'>
}): ArtefactOperations {
  const view = (cached: CachedJob): JobView => new CachedView(cached, !isFresh())

  return {
    async get(caller, jobId) {
      const found = await jobs.get(caller, jobId)
      if (!found.job.output) throw new Failure('JOB_NOT_FOUND', `The job ${jobId} left no model behind.`)
      return found
    },

    getMany: async (caller, jobIds) => (await jobs.getMany(caller, jobIds)).map((found) => (found?.job.output ? found : null)),

    async list(caller, { filter, page = {} }) {
      allow(caller.viewer, 'readJobs')
      const { tenantId } = caller.viewer
      return cachedPage({ cache, tenantId, selection: selectionOf(filter), order: latestFirst }, page, view)
    },

    async count(caller, filter) {
      allow(caller.viewer, 'readJobs')
      return cache.count(caller.viewer.tenantId, selectionOf(filter))
    },
  }
}

const selectionOf = (filter: ArtefactFilter | null | undefined): JobSelection => ({ ...filter, hasOutput: true })
