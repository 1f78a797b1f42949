import { z } from 'zod'
import { isTerminal, type JobStatus, jobOrderFields, jobStatuses, logLevels, trainingTypes } from '../../contract/statuses.js'
import type { JobEvent__Output } from '../../generated/proto/scaimind/v1/JobEvent.js'
import type { JobView, LiveMessage } from '../operations/job-types.js'
import { type FramedMessage, type JsonAnswer, type Rest, type RestCall, stream } from './answer.js'
import { type JsonObject, toJson } from './json.js'
import { flag, text, textList, textsByName, wholeNumber, word, words } from './query.js'
import { get, post, unchecked } from './route.js'

const orders = jobOrderFields.flatMap((field) => [field, `-${field}`] as const)

const asked = (call: RestCall, name: string): string | undefined => {
  const value = call.headers[name]
  return Array.isArray(value) ? value[0] : value
}
const lastEventId = (call: RestCall) => asked(call, 'last-event-id') || null
const wantsEvents = (call: RestCall) => /\btext\/event-stream\b/i.test(call.headers.accept ?? '')

const jobAnswer = ({ job, stale, syncedAt }: JobView): JsonAnswer => ({ data: toJson('Job', job), freshness: { stale, syncedAt } })

/** Jobs: list, submit, read, control, follow. */
export const jobRoutes = [
  get(
    '/jobs',
    {
      status: words(jobStatuses),
      training_type: words(trainingTypes),
      'label.*': textsByName,
      page_size: wholeNumber(1, 100),
      page_token: text,
      order_by: word(orders),
    },
    async ({ operations, caller }, query) => {
      const { jobs, nextPageToken, totalCount, stale, syncedAt } = await operations.jobs.listFromCoordinator(caller, {
        statuses: query.status,
        trainingTypes: query.training_type,
        labels: query['label.*'],
        pageSize: query.page_size,
        pageToken: query.page_token,
        orderBy: query.order_by,
      })
      const data = { jobs: jobs.map((job) => toJson('Job', job)), next_page_token: nextPageToken, total_count: totalCount }
      return { data, freshness: { stale, syncedAt } }
    },
  ),

  post('/jobs', unchecked, async (call, spec) => {
    const idempotencyKey = asked(call, 'idempotency-key') ?? null
    const { view, message, estimatedWaitSeconds } = await call.operations.jobs.submit(call.caller, { spec, idempotencyKey })
    const data = {
      job_id: view?.job.job_id ?? null,
      status: view?.job.status ?? null,
      message,
      estimated_wait_seconds: estimatedWaitSeconds,
    }
    return { status: 201, data }
  }),

  get('/jobs/{id}', {}, async ({ operations, caller, id }) =>
    jobAnswer(await operations.jobs.get(caller, id, { consistency: 'COORDINATOR' })),
  ),

  post(
    '/jobs/{id}/cancel',
    z.strictObject({ reason: z.string().max(1000).optional(), save_checkpoint: z.boolean().optional() }),
    async ({ operations, caller, id }, { reason, save_checkpoint: saveCheckpoint }) =>
      jobAnswer(await operations.jobs.cancel(caller, id, { reason, saveCheckpoint })),
  ),

  post(
    '/jobs/{id}/pause',
    z.strictObject({ save_checkpoint: z.boolean().optional() }),
    async ({ operations, caller, id }, { save_checkpoint: saveCheckpoint }) =>
      jobAnswer(await operations.jobs.pause(caller, id, { saveCheckpoint })),
  ),

  post(
    '/jobs/{id}/resume',
    z.strictObject({ checkpoint_id: z.string().optional() }),
    async ({ operations, caller, id }, { checkpoint_id: checkpointId }) =>
      jobAnswer(await operations.jobs.resume(caller, id, { checkpointId })),
  ),

  post(
    '/jobs/{id}/retry',
    z.strictObject({ from_checkpoint: z.string().optional() }),
    async (call, { from_checkpoint: fromCheckpoint }) => {
      const idempotencyKey = asked(call, 'idempotency-key') ?? null
      return jobAnswer(await call.operations.jobs.retry(call.caller, call.id, { fromCheckpoint, idempotencyKey }))
    },
  ),

  get('/jobs/{id}/checkpoints', {}, async ({ operations, caller, id }) => {
    const checkpoints = await operations.jobs.checkpoints(caller, id)
    return { data: { checkpoints: checkpoints.map((checkpoint) => toJson('Checkpoint', checkpoint)) } }
  }),

  get(
    '/jobs/{id}/metrics',
    { names: textList(20), since_step: wholeNumber(0), max_points: wholeNumber(2, 2000) },
    async ({ operations, caller, id }, { names, since_step: sinceStep, max_points: maxPoints }) => {
      const { series, latest } = await operations.jobs.metrics(caller, id, { names, sinceStep, maxPoints })
      const wantsHistory = names.length > 0 || sinceStep !== undefined || maxPoints !== undefined
      return { data: wantsHistory ? { series: series.map((one) => toJson('MetricSeries', one)) } : pointInTime(latest) }
    },
  ),

  get('/jobs/{id}/metrics/stream', {}, async (call) =>
    stream(await call.operations.jobs.followMetrics(call.caller, call.id, { after: lastEventId(call) }), framesOf('MetricRecord')),
  ),

  get('/jobs/{id}/logs', { follow: flag, tail: wholeNumber(0, 1000), level: word(logLevels) }, async (call, { follow, tail, level }) => {
    const live = await call.operations.jobs.followLogs(call.caller, call.id, { after: lastEventId(call), follow, tail, level })
    // Without following, the stream ends with what is there, in the middle of a job.
    const rest = follow === false ? 'perhaps more' : 'more'
    return stream(live, framesOf('LogRecord', rest), rest)
  }),

  get('/jobs/{id}/events', {}, async (call) => {
    const { operations, caller, id } = call
    if (!wantsEvents(call)) {
      const events = await operations.jobs.events(caller, id)
      return { data: { events: events.map((event) => toJson('JobEvent', event)) } }
    }
    const after = lastEventId(call)
    const live = await operations.jobs.followJobEvents(caller, id, { after })
    // Nothing comes after the event that made the job terminal, for a caller who has it already.
    return stream(live, framesOfEvent, after === null ? 'more' : 'perhaps more')
  }),
]

/** The newest value of each metric; zeros without a time before the first. */
function pointInTime(latest: object | null): JsonObject {
  const { cursor: _cursor, ...record } = toJson('MetricRecord', latest ?? { step: '0', epoch: 0, attempt: 0, values: {} })
  return record
}

/** A frame a record, under the record's own cursor, so that resuming is exact. What is gone is told by a frame of the event `gap`. */
function framesOf(type: 'MetricRecord' | 'LogRecord', rest: Rest = 'more') {
  return (message: LiveMessage<{ cursor: string }>): FramedMessage => {
    switch (message.type) {
      case 'batch':
        return { frames: message.records.map((record) => ({ id: record.cursor, data: toJson(type, record) })), rest }
      case 'gap':
        return { frames: [{ id: message.cursor, event: 'gap', data: toJson('StreamGap', message) }], rest }
      case 'end':
        return { frames: [], rest: 'nothing' }
    }
  }
}

function framesOfEvent(event: JobEvent__Output): FramedMessage {
  // A retry may follow the end of a job.
  const isEnd = event.type === 'DELETED' || isTerminal(event.to_status as JobStatus)
  return { frames: [{ id: event.cursor, data: toJson('JobEvent', event) }], rest: isEnd ? 'perhaps more' : 'more' }
}
