import type { Logger } from 'pino'
import { z } from 'zod'
import { toEvaluation } from '../../contract/evaluation.js'
import { parseEvaluationId } from '../../contract/ids.js'
import type { Evaluation__Output } from '../../generated/proto/scaimind/v1/Evaluation.js'
import type { SubmitEvaluationRequest } from '../../generated/proto/scaimind/v1/SubmitEvaluationRequest.js'
import type { ExchangeTokens } from '../auth/token-exchange.js'
import type { Caller } from '../auth/viewer.js'
import { allow } from '../auth/who-may.js'
import type { EvaluationsOfJobs } from '../cache/evaluations-of-jobs.js'
import type { JobSelection } from '../cache/job-query.js'
import type { CachedJob, JobCache } from '../cache/jobs.js'
import type { CoordinatorClient } from '../coordinator-client/index.js'
import type { JobEvents } from '../live/job-events.js'
import { compareEvaluations } from './evaluation-comparison.js'
import { followEvaluation } from './evaluation-stream.js'
import type { EvaluationFilter, EvaluationOperations, EvaluationView } from './evaluation-types.js'
import { idempotencyKeySchema, mapSchema, prioritySchema } from './job-spec.js'
import { cachedPage, newestFirst, pageSizeDefault, pageSizeMax, pageSizeProblem } from './paging.js'
import { parseInput } from './parse.js'
import { isUnreachable } from './unreachable.js'

/** What the use cases of evaluations work on. */
export interface EvaluationParts {
  cache: JobCache
  evaluationsOfJobs: EvaluationsOfJobs
  coordinator: CoordinatorClient
  events: JobEvents
  /** Whether the cache holds what the coordinator has now. */
  isFresh(): boolean
  /** What a submission fetches data and models with. */
  exchangeTokens: ExchangeTokens
  log: Logger
}

const text = z.string().max(4096)
/** What is evaluated: proto `SubmitEvaluationRequest` without its key. */
export const evaluationSchema = z.strictObject({
  job_id: text.optional(),
  model_uri: text.optional(),
  checkpoint_id: text.optional(),
  benchmarks: z
    .array(
      z.strictObject({
        name: text.min(1, 'This field is required'),
        dataset: text.optional(),
        num_samples: z.number().int().min(0).max(4_294_967_295).optional(),
        parameters: mapSchema.optional(),
      }),
    )
    .min(1, 'Name at least one benchmark')
    .max(32, 'An evaluation has at most 32 benchmarks'),
  name: z
    .string()
    .max(255)
    .regex(/^\P{Cc}*$/u, 'A name holds no control characters')
    .optional(),
  priority: prioritySchema.optional(),
  gpu_count: z.number().int().min(0).max(1024).optional(),
  gpu_type: text.optional(),
  environment: mapSchema.optional(),
})
const keySchema = z.object({ idempotency_key: idempotencyKeySchema.optional() })
const comparedSchema = z.object({
  evaluation_ids: z
    .array(z.string())
    .min(2, 'Compare 2 to 10 evaluations')
    .max(10, 'Compare 2 to 10 evaluations')
    .refine((ids) => new Set(ids).size === ids.length, 'Name each evaluation once'),
})
const ofJobMax = 100
const cacheToken = 'cache.'

/** The use cases of evaluations. They are jobs that lists of jobs leave out, so that the cache of jobs has them. */
export function evaluationOperations(parts: EvaluationParts): EvaluationOperations {
  const { cache, coordinator, isFresh, log } = parts
  const contextOf = ({ viewer, requestId }: Caller) => ({ tenantId: viewer.tenantId, userId: viewer.userId, requestId })
  const view = ({ job, syncedAt }: CachedJob): EvaluationView => ({ evaluation: toEvaluation(job), syncedAt, stale: !isFresh() })

  /** So that callers read their own writes from every instance: the cache holds the evaluation's job, which has to be asked for. */
  async function keep(evaluation: Evaluation__Output, caller: Caller): Promise<EvaluationView> {
    const { requestId } = caller
    try {
      await cache.write([await coordinator.call('GetJob', { job_id: evaluation.evaluation_id }, contextOf(caller))])
    } catch (error) {
      // The write has happened, and job events will bring it: to answer an error would ask for it twice.
      log.warn({ err: error, request_id: requestId }, 'a written evaluation is not in the cache yet')
    }
    return { evaluation, syncedAt: new Date(), stale: false }
  }

  async function cached(caller: Caller, evaluationId: string): Promise<EvaluationView | null> {
    const copy = await cache.get(caller.viewer.tenantId, evaluationId)
    return copy && view(copy)
  }

  async function get(caller: Caller, id: string, consistency?: 'CACHED' | 'COORDINATOR' | null): Promise<EvaluationView> {
    const evaluationId = parseEvaluationId(id)
    const copy = consistency === 'COORDINATOR' ? null : await cached(caller, evaluationId)
    if (copy) return copy
    try {
      const evaluation = await coordinator.call('GetEvaluation', { evaluation_id: evaluationId }, contextOf(caller))
      return { evaluation, syncedAt: new Date(), stale: false }
    } catch (failure) {
      if (!isUnreachable(failure)) throw failure
      const last = await cached(caller, evaluationId)
      if (!last) throw failure
      return { ...last, stale: true }
    }
  }

  async function getMany(caller: Caller, evaluationIds: readonly string[]): Promise<(EvaluationView | null)[]> {
    const known = [...new Set(evaluationIds)].filter((id) => id.startsWith('eval_'))
    const found = new Map((await cache.getMany(caller.viewer.tenantId, known)).map((copy) => [copy.job.job_id, view(copy)]))
    return evaluationIds.map((id) => found.get(id) ?? null)
  }

  const operations: EvaluationOperations = {
    async submit(caller, { evaluation, idempotencyKey }) {
      allow(caller.viewer, 'evaluate')
      const { idempotency_key = '' } = parseInput(keySchema, { idempotency_key: idempotencyKey })
      const request: SubmitEvaluationRequest = { ...parseInput(evaluationSchema, evaluation), idempotency_key }
      const context = { ...contextOf(caller), ...(await parts.exchangeTokens(caller.viewer)) }
      return keep(await coordinator.call('SubmitEvaluation', request, context), caller)
    },

    async get(caller, evaluationId, { consistency } = {}) {
      allow(caller.viewer, 'readEvaluations')
      return get(caller, evaluationId, consistency)
    },

    async getMany(caller, evaluationIds) {
      allow(caller.viewer, 'readEvaluations')
      return getMany(caller, evaluationIds)
    },

    async list(caller, { filter, page = {} }) {
      allow(caller.viewer, 'readEvaluations')
      const { tenantId } = caller.viewer
      return cachedPage({ cache, tenantId, selection: selectionOf(filter), order: newestFirst }, page, view)
    },

    async count(caller, filter) {
      allow(caller.viewer, 'readEvaluations')
      return cache.count(caller.viewer.tenantId, selectionOf(filter))
    },

    async ofJobs(caller, jobIds, limit = ofJobMax) {
      allow(caller.viewer, 'readEvaluations')
      const found = await parts.evaluationsOfJobs(caller.viewer.tenantId, jobIds, limit)
      return jobIds.map((jobId) => (found.get(jobId) ?? []).map(view))
    },

    async compare(caller, evaluationIds) {
      allow(caller.viewer, 'readEvaluations')
      const { evaluation_ids: ids } = parseInput(comparedSchema, { evaluation_ids: evaluationIds })
      for (const id of ids) parseEvaluationId(id)
      const copies = await getMany(caller, ids)
      const views = await Promise.all(copies.map((copy, index) => copy ?? get(caller, ids[index] ?? '')))
      return { evaluations: views, benchmarks: compareEvaluations(views.map(({ evaluation }) => evaluation)) }
    },

    async listFromCoordinator(caller, listing) {
      allow(caller.viewer, 'readEvaluations')
      const { jobId = '', statuses = [], pageSize = pageSizeDefault, pageToken = '' } = listing
      if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > pageSizeMax) throw pageSizeProblem('page_size')
      // A token that the cache gave while the coordinator was away goes on in the cache.
      if (pageToken.startsWith(cacheToken)) return listFromCache(caller, { ...listing, pageSize })
      const request = { job_id: jobId, statuses: [...statuses], page_size: pageSize, page_token: pageToken }
      try {
        const page = await coordinator.call('ListEvaluations', request, contextOf(caller))
        const { evaluations, next_page_token: nextPageToken, total_count: total } = page
        return { evaluations, nextPageToken, totalCount: Number(total), stale: false, syncedAt: null }
      } catch (failure) {
        // A token of the coordinator says nothing to the cache.
        if (!isUnreachable(failure) || pageToken) throw failure
        return listFromCache(caller, { ...listing, pageSize })
      }
    },

    async cancel(caller, id, { reason } = {}) {
      allow(caller.viewer, 'evaluate')
      const request = { evaluation_id: parseEvaluationId(id), reason: parseInput(text, reason ?? '') }
      return keep(await coordinator.call('CancelEvaluation', request, contextOf(caller)), caller)
    },

    async follow(caller, id) {
      allow(caller.viewer, 'readEvaluations')
      const evaluationId = parseEvaluationId(id)
      return followEvaluation(parts.events, caller, evaluationId, () => get(caller, evaluationId))
    },
  }

  async function listFromCache(caller: Caller, { jobId, statuses, pageSize, pageToken }: Listing) {
    const filter = { jobIds: jobId ? [jobId] : undefined, statuses }
    const after = pageToken?.slice(cacheToken.length) || null
    const { edges, pageInfo } = await operations.list(caller, { filter, page: { first: pageSize, after } })
    const views = edges.map(({ node }) => node)
    const oldest = views.reduce<Date | null>((at, { syncedAt }) => (at && at < syncedAt ? at : syncedAt), null)
    return {
      evaluations: views.map(({ evaluation }) => evaluation),
      nextPageToken: pageInfo.hasNextPage ? `${cacheToken}${pageInfo.endCursor}` : '',
      totalCount: await operations.count(caller, filter),
      stale: true,
      syncedAt: oldest,
    }
  }

  return operations
}

type Listing = Parameters<EvaluationOperations['listFromCoordinator']>[1]

/** An id that cannot be a job's has no evaluations, which is what a filter that matches nothing says. */
function selectionOf(filter: EvaluationFilter | null | undefined): JobSelection {
  const { jobIds, statuses } = filter ?? {}
  return { statuses, ...(jobIds?.length ? { evaluatesJobIds: jobIds } : { labels: [{ key: 'type', value: 'evaluation' }] }) }
}
