import { z } from 'zod'
import { parseJobId } from '../../contract/ids.js'
import { type JobStatus, jobOrderFields, type TrainingType } from '../../contract/statuses.js'
import type { Caller } from '../auth/viewer.js'
import { allow } from '../auth/who-may.js'
import type { CachedJob } from '../cache/jobs.js'
import { CachedView } from './cached-view.js'
import { checkFilter } from './job-filter.js'
import type { JobParts } from './job-parts.js'
import type { CoordinatorListing, JobOperations, JobOrder, JobView } from './job-types.js'
import { cachedPage, newestFirst, pageSizeDefault, pageSizeMax, pageSizeProblem } from './paging.js'
import { parseInput } from './parse.js'
import { isUnreachable } from './unreachable.js'

type Reads = Pick<JobOperations, 'get' | 'getMany' | 'list' | 'count' | 'listFromCoordinator'>

/** Reading jobs: from the cache, which job events keep fresh, or from the coordinator. */
export function jobReads({ cache, coordinator, changes, isFresh, log }: JobParts): Reads {
  /** How copies are told that are read from now on: none is older than an event that was received, or it says that it may be. */
  async function viewer(tenantId: string) {
    const settling = changes.settled(tenantId)
    const isSettled = settling === undefined || (await settling)
    const stale = !isSettled || !isFresh()
    return (cached: CachedJob): JobView => new CachedView(cached, stale)
  }
  const contextOf = ({ viewer, requestId }: Caller) => ({ tenantId: viewer.tenantId, userId: viewer.userId, requestId })

  /** After the answer: a refresh that fails costs nothing, for job events bring the same. */
  function refreshLater(jobs: JobView['job'][]): void {
    cache.write(jobs).catch((error: unknown) => log.debug({ err: error }, 'could not refresh the cache'))
  }

  const reads: Reads = {
    async get(caller, id, { consistency } = {}) {
      allow(caller.viewer, 'readJobs')
      const jobId = parseJobId(id)
      const { tenantId } = caller.viewer
      if (consistency !== 'COORDINATOR') {
        const view = await viewer(tenantId)
        const cached = await cache.get(tenantId, jobId)
        if (cached) return view(cached)
      }
      try {
        const job = await coordinator.call('GetJob', { job_id: jobId }, contextOf(caller))
        refreshLater([job])
        return { job, syncedAt: new Date(), stale: false }
      } catch (failure) {
        if (!isUnreachable(failure)) throw failure
        const copy = await cache.get(tenantId, jobId)
        if (!copy) throw failure
        return { ...copy, stale: true }
      }
    },

    async getMany(caller, jobIds) {
      allow(caller.viewer, 'readJobs')
      const view = await viewer(caller.viewer.tenantId)
      const found = new Map(
        (await cache.getMany(caller.viewer.tenantId, [...new Set(jobIds)])).map((cached) => [cached.job.job_id, cached]),
      )
      return jobIds.map((jobId) => {
        const cached = found.get(jobId)
        return cached ? view(cached) : null
      })
    },

    async list(caller, { filter, orderBy, page = {}, columns }) {
      allow(caller.viewer, 'readJobs')
      checkFilter(filter ?? {})
      const { tenantId } = caller.viewer
      const view = await viewer(tenantId)
      return cachedPage(
        { cache, tenantId, selection: filter ?? {}, order: orderBy ?? newestFirst, columns: columns ?? undefined },
        page,
        view,
      )
    },

    async count(caller, filter) {
      allow(caller.viewer, 'readJobs')
      checkFilter(filter ?? {})
      return cache.count(caller.viewer.tenantId, filter ?? {})
    },

    async listFromCoordinator(caller, listing) {
      allow(caller.viewer, 'readJobs')
      const { statuses = [], trainingTypes = [], labels = {}, pageSize = pageSizeDefault, pageToken = '', orderBy = '' } = listing
      if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > pageSizeMax) throw pageSizeProblem('page_size')
      // A token that the cache gave while the coordinator was away goes on in the cache.
      if (pageToken.startsWith(cacheToken)) return listFromCache(caller, { ...listing, pageSize })
      const request = {
        statuses: [...statuses],
        training_types: [...trainingTypes],
        labels: { ...labels },
        page_size: pageSize,
        page_token: pageToken,
        order_by: orderBy,
      }
      try {
        const page = await coordinator.call('ListJobs', request, contextOf(caller))
        refreshLater(page.jobs)
        const { jobs, next_page_token: nextPageToken, total_count: total } = page
        return { jobs, nextPageToken, totalCount: Number(total), stale: false, syncedAt: null }
      } catch (failure) {
        if (!isUnreachable(failure)) throw failure
        // A token of the coordinator says nothing to the cache.
        if (pageToken) throw failure
        return listFromCache(caller, { ...listing, pageSize })
      }
    },
  }

  async function listFromCache(caller: Caller, { statuses, trainingTypes, labels, pageSize, pageToken, orderBy }: CoordinatorListing) {
    const conditions = Object.entries(labels ?? {}).map(([key, value]) => ({ key, value }))
    const filter = { statuses: statuses as JobStatus[], trainingTypes: trainingTypes as TrainingType[], labels: conditions }
    const after = pageToken?.slice(cacheToken.length) || null
    const page = await reads.list(caller, { filter, orderBy: parseOrder(orderBy), page: { first: pageSize, after } })
    const views = page.edges.map(({ node }) => node)
    const oldest = views.reduce<Date | null>((at, { syncedAt }) => (at && at < syncedAt ? at : syncedAt), null)
    return {
      jobs: views.map(({ job }) => job),
      nextPageToken: page.pageInfo.hasNextPage ? `${cacheToken}${page.pageInfo.endCursor}` : '',
      totalCount: await reads.count(caller, filter),
      stale: true,
      syncedAt: oldest,
    }
  }

  return reads
}

const cacheToken = 'cache.'

/** Reads `-created_at`. */
function parseOrder(text: string | undefined): JobOrder {
  const field = parseInput(z.enum(jobOrderFields), text?.replace(/^-/, '') || newestFirst.field)
  return { field, descending: text ? text.startsWith('-') : true }
}
