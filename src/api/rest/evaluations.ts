import { z } from 'zod'
import { jobStatuses } from '../../contract/statuses.js'
import type { EvaluationView } from '../operations/evaluation-types.js'
import { evaluationSchema } from '../operations/evaluations.js'
import type { JsonAnswer } from './answer.js'
import { header } from './headers.js'
import { toJson } from './json.js'
import { countOf, listOf, message, objectOf, textOf } from './json-schema.js'
import { text, wholeNumber, words } from './query.js'
import { get, post, postAsIs } from './route.js'

const answer = ({ evaluation, stale, syncedAt }: EvaluationView): JsonAnswer => ({
  data: toJson('Evaluation', evaluation),
  freshness: { stale, syncedAt },
})

/** Evaluations of models. */
export const evaluationRoutes = [
  get(
    '/evaluations',
    {
      summary: 'A page of evaluations, newest first',
      description: 'Asked of the coordinator; from the cache, with `meta.stale`, while that is away.',
      query: {
        job_id: text.describe('Only evaluations of this job.'),
        status: words(jobStatuses).describe('Only evaluations in one of these.'),
        page_size: wholeNumber(1, 100).describe('Default 20.'),
        page_token: text.describe('`next_page_token` of the page before; bound to the filter.'),
      },
      data: objectOf({
        evaluations: listOf(message('Evaluation')),
        next_page_token: textOf('Empty on the last page.'),
        total_count: countOf('Evaluations that match.'),
      }),
    },
    async ({ operations, caller }, query) => {
      const { evaluations, nextPageToken, totalCount, stale, syncedAt } = await operations.evaluations.listFromCoordinator(caller, {
        jobId: query.job_id,
        statuses: query.status,
        pageSize: query.page_size,
        pageToken: query.page_token,
      })
      const data = {
        evaluations: evaluations.map((evaluation) => toJson('Evaluation', evaluation)),
        next_page_token: nextPageToken,
        total_count: totalCount,
      }
      return { data, freshness: { stale, syncedAt } }
    },
  ),

  postAsIs(
    '/evaluations',
    {
      summary: 'Evaluate a model',
      description: "A job's output, one of its checkpoints, or a model by path, on one or more benchmarks.",
      status: 201,
      idempotent: true,
      body: evaluationSchema,
      data: message('Evaluation'),
    },
    async (call, evaluation) => {
      const idempotencyKey = header(call, 'idempotency-key') ?? null
      return { ...answer(await call.operations.evaluations.submit(call.caller, { evaluation, idempotencyKey })), status: 201 }
    },
  ),

  get(
    '/evaluations/{id}',
    { summary: 'An evaluation, with the results so far', data: message('Evaluation') },
    async ({ operations, caller, id }) => answer(await operations.evaluations.get(caller, id, { consistency: 'COORDINATOR' })),
  ),

  post(
    '/evaluations/{id}/cancel',
    {
      summary: 'Cancel an evaluation',
      body: z.strictObject({ reason: z.string().max(1000).optional().describe('Why, for whoever reads the evaluation.') }),
      data: message('Evaluation'),
    },
    async ({ operations, caller, id }, { reason }) => answer(await operations.evaluations.cancel(caller, id, { reason })),
  ),
]
