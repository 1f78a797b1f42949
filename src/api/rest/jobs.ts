import { z } from 'zod'
import { isTerminal, type JobStatus, jobOrderFields, jobStatuses, logLevels, trainingTypes } from '../../contract/statuses.js'
import type { JobEvent__Output } from '../../generated/proto/scaimind/v1/JobEvent.js'
import { jobSpecSchema } from '../operations/job-spec.js'
import type { JobView, LiveMessage } from '../operations/job-types.js'
import { type Frame, type FramedMessage, type JsonAnswer, type Rest, type RestCall, stream } from './answer.js'
import { header } from './headers.js'
import { type JsonObject, toJson } from './json.js'
import { countOf, listOf, message, objectOf, textOf } from './json-schema.js'
import { flag, text, textList, textsByName, wholeNumber, word, words } from './query.js'
import { get, post, postAsIs } from './route.js'

const orders = jobOrderFields.flatMap((field) => [field, `-${field}`] as const)

const lastEventId = (call: RestCall) => header(call, 'last-event-id') || null
const wantsEvents = (call: RestCall) => /\btext\/event-stream\b/i.test(call.headers.accept ?? '')

const jobAnswer = ({ job, stale, syncedAt }: JobView): JsonAnswer => ({ data: toJson('Job', job), freshness: { stale, syncedAt } })

const record = objectOf({
  step: { type: 'integer', description: 'The optimizer step; 0 before the first record.' },
  epoch: { type: ['number', 'null'], description: 'Passes over the data.' },
  time: { type: ['string', 'null'], format: 'date-time' },
  attempt: { type: 'integer', description: 'The attempt, from 1.' },
  values: { type: 'object', additionalProperties: { type: ['number', 'null'] }, description: 'By metric name.' },
})

const submitted = {
  job_id: textOf('Its id.'),
  status: textOf('Where it stands.'),
  message: textOf('What became of it, in words.'),
  estimated_wait_seconds: { type: ['number', 'null'], description: 'Seconds until it starts; null where unknown.' },
}
const maybeReused = {
  ...submitted,
  reused: { type: 'boolean', description: 'Whether it is a finished job that has done this work already.' },
}

/** Jobs: list, submit, read, control, follow. */
export const jobRoutes = [
  get(
    '/jobs',
    {
      summary: 'A page of jobs',
      description:
        'Asked of the coordinator; from the cache, with `meta.stale`, while that is away. Evaluations are left out unless `label.type=evaluation`.',
      query: {
        status: words(jobStatuses).describe('Only jobs in one of these.'),
        training_type: words(trainingTypes).describe('Only jobs of one of these.'),
        'label.*': textsByName.describe('Only jobs with this label, `label.<key>=<value>`; may be given for several keys.'),
        page_size: wholeNumber(1, 100).describe('Default 20.'),
        page_token: text.describe('`next_page_token` of the page before; bound to filter and order.'),
        order_by: word(orders).describe('With `-` for descending. Default `-created_at`.'),
      },
      data: objectOf({
        jobs: listOf(message('Job')),
        next_page_token: textOf('Empty on the last page.'),
        total_count: countOf('Jobs that match.'),
      }),
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

  postAsIs(
    '/jobs',
    {
      summary: 'Submit a job',
      description:
        'With `dry_run=true` it is only validated and planned: 200 and `data: {"plan"}`. With `reuse=true` the data says whether it is `reused`: then it is a finished job that has done the same work, and the status is 200.',
      status: 201,
      idempotent: true,
      query: {
        dry_run: flag.describe('Validate and plan only; nothing is stored. Default false.'),
        reuse: flag.describe(
          'Answer a finished job of the same content, where its output is still there, instead of training again. Default false.',
        ),
      },
      body: jobSpecSchema,
      data: { anyOf: [objectOf(submitted), objectOf(maybeReused), objectOf({ plan: message('JobPlan') })] },
    },
    async (call, spec, { dry_run: dryRun, reuse }) => {
      const idempotencyKey = header(call, 'idempotency-key') ?? null
      const submission = { spec, idempotencyKey, dryRun, reuse }
      const { view, plan, message, reused, estimatedWaitSeconds } = await call.operations.jobs.submit(call.caller, submission)
      if (!view) return { data: { plan: toJson('JobPlan', plan ?? {}) } }
      const { job_id, status } = view.job
      const data = { job_id, status, message, estimated_wait_seconds: estimatedWaitSeconds, ...(reuse ? { reused } : {}) }
      return { status: reused ? 200 : 201, data }
    },
  ),

  get('/jobs/{id}', { summary: 'A job', data: message('Job') }, async ({ operations, caller, id }) =>
    jobAnswer(await operations.jobs.get(caller, id, { consistency: 'COORDINATOR' })),
  ),

  post(
    '/jobs/{id}/cancel',
    {
      summary: 'Cancel a job',
      description: 'Any job that is not terminal. Repeating it answers the same job.',
      body: z.strictObject({
        reason: z.string().max(1000).optional().describe('Why, for whoever reads the job.'),
        save_checkpoint: z.boolean().optional().describe('Save a checkpoint before it ends. Default false.'),
      }),
      data: message('Job'),
    },
    async ({ operations, caller, id }, { reason, save_checkpoint: saveCheckpoint }) =>
      jobAnswer(await operations.jobs.cancel(caller, id, { reason, saveCheckpoint })),
  ),

  post(
    '/jobs/{id}/pause',
    {
      summary: 'Pause a running job',
      description: 'It stops at a checkpoint and gives its GPUs back.',
      body: z.strictObject({ save_checkpoint: z.boolean().optional().describe('Save a checkpoint first. Default true.') }),
      data: message('Job'),
    },
    async ({ operations, caller, id }, { save_checkpoint: saveCheckpoint }) =>
      jobAnswer(await operations.jobs.pause(caller, id, { saveCheckpoint })),
  ),

  post(
    '/jobs/{id}/resume',
    {
      summary: 'Resume a paused job',
      body: z.strictObject({ checkpoint_id: z.string().optional().describe('Default: the newest complete checkpoint.') }),
      data: message('Job'),
    },
    async ({ operations, caller, id }, { checkpoint_id: checkpointId }) =>
      jobAnswer(await operations.jobs.resume(caller, id, { checkpointId })),
  ),

  post(
    '/jobs/{id}/retry',
    {
      summary: 'Retry a failed, cancelled or preempted job',
      description: 'A new attempt of the same job.',
      idempotent: true,
      body: z.strictObject({
        from_checkpoint: z.string().optional().describe('Default: the newest complete checkpoint, else from the start.'),
      }),
      data: message('Job'),
    },
    async (call, { from_checkpoint: fromCheckpoint }) => {
      const idempotencyKey = header(call, 'idempotency-key') ?? null
      return jobAnswer(await call.operations.jobs.retry(call.caller, call.id, { fromCheckpoint, idempotencyKey }))
    },
  ),

  get(
    '/jobs/{id}/checkpoints',
    { summary: 'The complete checkpoints of a job, newest first', data: objectOf({ checkpoints: listOf(message('Checkpoint')) }) },
    async ({ operations, caller, id }) => {
      const checkpoints = await operations.jobs.checkpoints(caller, id)
      return { data: { checkpoints: checkpoints.map((checkpoint) => toJson('Checkpoint', checkpoint)) } }
    },
  ),

  get(
    '/jobs/{id}/metrics',
    {
      summary: 'The newest value of each metric, or their history',
      description: 'With any parameter the history, `{"series"}`, thinned so that peaks survive; without, the newest values.',
      query: {
        names: textList(20).describe('Only these metrics; default all, up to 20.'),
        since_step: wholeNumber(0).describe('Only points of later steps.'),
        max_points: wholeNumber(2, 2000).describe('Most points of a series. Default 500.'),
      },
      data: { anyOf: [record, objectOf({ series: listOf(message('MetricSeries')) })] },
    },
    async ({ operations, caller, id }, { names, since_step: sinceStep, max_points: maxPoints }) => {
      const { series, latest } = await operations.jobs.metrics(caller, id, { names, sinceStep, maxPoints })
      const wantsHistory = names.length > 0 || sinceStep !== undefined || maxPoints !== undefined
      return { data: wantsHistory ? { series: series.map((one) => toJson('MetricSeries', one)) } : pointInTime(latest) }
    },
  ),

  get(
    '/jobs/{id}/metrics/stream',
    {
      summary: 'Metrics as they are written',
      description:
        'From the first record, or after `Last-Event-ID`. Waits for a job that has not started; ends when the job has. A caller that takes less than comes is told the newest, after an event `thinned` with `{"records"}`, how many were left out, or `gap` with from where to where.',
      data: {},
      frames: message('MetricRecord'),
    },
    async (call) =>
      stream(await call.operations.jobs.followMetrics(call.caller, call.id, { after: lastEventId(call) }), {
        name: `metrics of ${call.id}`,
        frame: framesOf('MetricRecord'),
      }),
  ),

  get(
    '/jobs/{id}/logs',
    {
      summary: 'Log lines as they are written',
      description: 'From the first line, the last `tail` lines, or after `Last-Event-ID`. Ends when the job has.',
      query: {
        follow: flag.describe('Whether to wait for more while the job runs. Default true.'),
        tail: wholeNumber(0, 1000).describe('Begin with the last so many lines; ignored with `Last-Event-ID`.'),
        level: word(logLevels).describe('Only lines of this level or graver.'),
      },
      data: {},
      frames: message('LogRecord'),
    },
    async (call, { follow, tail, level }) => {
      const feed = await call.operations.jobs.followLogs(call.caller, call.id, { after: lastEventId(call), follow, tail, level })
      // Without following, the stream ends with what is there, in the middle of a job.
      const rest = follow === false ? 'perhaps more' : 'more'
      return stream(feed, { name: `logs of ${call.id} from ${level ?? 'any'} ${rest}`, frame: framesOf('LogRecord', rest), rest })
    },
  ),

  get(
    '/jobs/{id}/events',
    {
      summary: 'What happened to a job, oldest first',
      description:
        'The newest 1,000 changes of its state, without the job itself; or, with `Accept: text/event-stream`, every change with the job as it left it, from the first or after `Last-Event-ID`, as it happens. Changes of its state are told for as long as the job is kept; updates in between that a later change has overtaken are told for an hour, and nothing of its state is lost by that.',
      data: objectOf({ events: listOf(message('JobEvent')) }),
      frames: message('JobEvent'),
    },
    async (call) => {
      const { operations, caller, id } = call
      if (!wantsEvents(call)) {
        const events = await operations.jobs.events(caller, id)
        return { data: { events: events.map((event) => toJson('JobEvent', event)) } }
      }
      const after = lastEventId(call)
      const feed = await operations.jobs.followJobEvents(caller, id, { after })
      // Nothing comes after the event that made the job terminal, for a caller who has it already.
      return stream(feed, { name: `events of ${id}`, frame: framesOfEvent, rest: after === null ? 'more' : 'perhaps more' })
    },
  ),
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
        return {
          frames: [...thinnedFrame(message), ...message.records.map((record) => ({ id: record.cursor, data: toJson(type, record) }))],
          rest,
        }
      case 'gap':
        return { frames: [{ id: message.cursor, event: 'gap', data: toJson('StreamGap', message) }], rest }
      case 'end':
        return { frames: [], rest: 'nothing' }
    }
  }
}

/** What was left out for a caller who took too little, before what is left. It has no id: the next record's is the place to go on from. */
const thinnedFrame = ({ thinned }: { thinned: number }): Frame[] => (thinned > 0 ? [{ event: 'thinned', data: { records: thinned } }] : [])

function framesOfEvent(event: JobEvent__Output): FramedMessage {
  // A retry may follow the end of a job.
  const isEnd = event.type === 'DELETED' || isTerminal(event.to_status as JobStatus)
  return { frames: [{ id: event.cursor, data: toJson('JobEvent', event) }], rest: isEnd ? 'perhaps more' : 'more' }
}
