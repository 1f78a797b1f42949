import { z } from 'zod'
import { Failure } from '../../contract/failure.js'
import { parseJobId } from '../../contract/ids.js'
import type { Caller } from '../auth/viewer.js'
import { allow } from '../auth/who-may.js'
import type { Method, RequestOf } from '../coordinator-client/methods.js'
import { jobBulk } from './job-bulk.js'
import { jobComparison } from './job-compare.js'
import { jobHistory } from './job-history.js'
import { jobLineage } from './job-lineage.js'
import type { JobParts } from './job-parts.js'
import { jobReads } from './job-reads.js'
import { jobRetention } from './job-retention.js'
import { idempotencyKeySchema, labelsSchema, parseJobSpec, prioritySchema } from './job-spec.js'
import { jobStreams } from './job-streams.js'
import type { JobOperations, JobView } from './job-types.js'
import { parseInput } from './parse.js'

type JobWrite = 'CancelJob' | 'PauseJob' | 'ResumeJob' | 'RetryJob' | 'UpdateJob' | 'ArchiveJob'

const submission = z.object({
  idempotency_key: idempotencyKeySchema.optional(),
  dry_run: z.boolean().optional(),
  reuse: z.boolean().optional(),
})
const changes = z.object({ priority: prioritySchema.optional(), labels: labelsSchema.optional() })

/** The use cases of jobs. Each write asks the coordinator, and puts the job it answers into the cache before it answers itself. */
export function jobOperations(parts: JobParts): JobOperations {
  const { cache, coordinator, log } = parts
  const contextOf = ({ viewer, requestId }: Caller) => ({ tenantId: viewer.tenantId, userId: viewer.userId, requestId })

  /** So that callers read their own writes from every instance. */
  async function keepAll(jobs: JobView['job'][], { requestId }: Caller): Promise<JobView[]> {
    // Without the database the write has still happened, and job events will bring it: to answer an error would ask for it twice.
    await cache
      .write(jobs)
      .catch((error: unknown) => log.warn({ err: error, request_id: requestId }, 'a written job is not in the cache yet'))
    const syncedAt = new Date()
    return jobs.map((job) => ({ job, syncedAt, stale: false }))
  }
  const keep = async (job: JobView['job'], caller: Caller) => (await keepAll([job], caller))[0] as JobView

  async function write<M extends JobWrite>(
    caller: Caller,
    method: M,
    request: RequestOf<M & Method> & { job_id?: string },
  ): Promise<JobView> {
    allow(caller.viewer, 'controlJobs')
    parseJobId(request.job_id ?? '')
    return keep(await coordinator.call(method as JobWrite, request, contextOf(caller)), caller)
  }

  const reads = jobReads(parts)
  const history = jobHistory(parts)

  return {
    ...reads,
    ...history,
    ...jobStreams(parts),
    ...jobBulk(parts, { context: contextOf, keep: keepAll }),
    ...jobRetention(parts),
    ...jobComparison(parts, reads),
    ...jobLineage(parts, { getMany: reads.getMany, checkpointsOf: history.checkpointsOf }),

    async submit(caller, { spec, idempotencyKey, dryRun, reuse }) {
      allow(caller.viewer, dryRun ? 'planJob' : 'submitJob')
      const options = parseInput(submission, { idempotency_key: idempotencyKey, dry_run: dryRun, reuse })
      const request = { ...options, spec: parseJobSpec(spec) }
      const { job, plan, message, reused, estimated_wait_seconds } = await coordinator.call('SubmitJob', request, {
        ...contextOf(caller),
        ...(dryRun ? {} : await parts.exchangeTokens(caller.viewer)),
      })
      return { view: job && (await keep(job, caller)), plan, message, reused, estimatedWaitSeconds: estimated_wait_seconds ?? null }
    },

    async plan(caller, spec) {
      allow(caller.viewer, 'planJob')
      const { plan } = await coordinator.call('SubmitJob', { spec: parseJobSpec(spec), dry_run: true }, contextOf(caller))
      if (!plan) throw new Failure('NOT_IMPLEMENTED', 'This coordinator does not plan jobs.')
      return plan
    },

    cancel: (caller, jobId, { reason, saveCheckpoint } = {}) =>
      write(caller, 'CancelJob', { job_id: jobId, reason: reason ?? '', save_checkpoint: saveCheckpoint ?? false }),

    pause: (caller, jobId, { saveCheckpoint } = {}) =>
      write(caller, 'PauseJob', { job_id: jobId, save_checkpoint: saveCheckpoint ?? true }),

    resume: (caller, jobId, { checkpointId } = {}) => write(caller, 'ResumeJob', { job_id: jobId, checkpoint_id: checkpointId ?? '' }),

    retry(caller, jobId, { fromCheckpoint, idempotencyKey } = {}) {
      allow(caller.viewer, 'controlJobs')
      const { idempotency_key = '' } = parseInput(submission, { idempotency_key: idempotencyKey })
      return write(caller, 'RetryJob', { job_id: jobId, from_checkpoint: fromCheckpoint ?? '', idempotency_key })
    },

    archive: (caller, jobId, { archived }) => write(caller, 'ArchiveJob', { job_id: jobId, archived }),

    update(caller, jobId, change) {
      allow(caller.viewer, 'controlJobs')
      const { priority, labels } = parseInput(changes, change)
      return write(caller, 'UpdateJob', {
        job_id: jobId,
        ...(priority === undefined ? {} : { priority }),
        ...(labels === undefined ? {} : { labels: { labels } }),
      })
    },
  }
}
