import { InvalidInput, JobStateConflict } from '../../../contract/failure.js'
import { parseJobId } from '../../../contract/ids.js'
import { isTerminal, jobStatuses } from '../../../contract/statuses.js'
import type { RetryJobRequest__Output } from '../../../generated/proto/scaimind/v1/RetryJobRequest.js'
import type { UpdateJobRequest__Output } from '../../../generated/proto/scaimind/v1/UpdateJobRequest.js'
import { evaluationOf } from '../content/evaluation-file.js'
import type { TakeIn } from '../placement/intake.js'
import { requireCheckpoint } from '../records/checkpoints.js'
import type { Database } from '../records/database.js'
import type { Idempotency } from '../records/idempotency.js'
import { isRepeat, requireAction } from '../records/lifecycle.js'
import { owned, requireJob } from '../records/read.js'
import { holdsProcesses, type JobRecord, specOf, statusOf, toJobMessage, wantedOf } from '../records/record.js'
import type { Change, JobStore } from '../records/store.js'
import { labelProblems, priorityProblems } from './validate-fields.js'

/** Who asks. */
export interface Asker {
  tenantId: string
  /** Empty where unknown. */
  userId: string
}

/** What callers may ask of a job that exists. Each throws JOB_NOT_FOUND or JOB_STATE_CONFLICT, and answers the job as it is then. */
export function jobControl({
  store,
  database,
  idempotency,
  takeIn,
  clock,
}: {
  store: JobStore
  database: Database
  idempotency: Idempotency
  takeIn: TakeIn
  clock: () => Date
}) {
  const standing = (job: JobRecord) => ({ status: statusOf(job), wanted: wantedOf(job) })

  async function ask({ tenantId }: Asker, jobId: string, decide: (job: JobRecord) => Change | null): Promise<JobRecord> {
    const id = parseJobId(jobId)
    return owned(await store.change(id, (job) => decide(owned(job, tenantId, id))), tenantId, id)
  }

  return {
    /** Ends the job: at once where nothing of it runs, else when its processes are dead. */
    cancel: (asker: Asker, { jobId, reason, saveCheckpoint }: { jobId: string; reason: string; saveCheckpoint: boolean }) =>
      ask(asker, jobId, (job) => {
        if (isRepeat('CANCEL', standing(job), job.nextCause)) return null
        requireAction('CANCEL', standing(job))
        const message = `Cancelled${asker.userId ? ` by ${asker.userId}` : ''}${reason ? `: ${inOneLine(reason)}` : '.'}`
        const set = { wanted: 'CANCEL', saveCheckpoint }
        if (holdsProcesses(job)) return { steps: [{ message, set }] }
        return {
          steps: [{ happened: 'cancelled', message, set }],
          // Who gave way to it did so for nobody: a retry waits its turn.
          effects: (tx) => tx.attempt.updateMany({ where: { evictedFor: jobId }, data: { evictedFor: null } }),
        }
      }),

    /** Stops the job at a checkpoint and gives its place back; it is PAUSED when its processes are dead. */
    pause: (asker: Asker, { jobId, saveCheckpoint }: { jobId: string; saveCheckpoint: boolean }) =>
      ask(asker, jobId, (job) => {
        if (isRepeat('PAUSE', standing(job), job.nextCause)) return null
        requireAction('PAUSE', standing(job))
        const message = saveCheckpoint ? 'Being paused; saves a checkpoint first.' : 'Being paused without a checkpoint.'
        return { steps: [{ message, set: { wanted: 'PAUSE', saveCheckpoint } }] }
      }),

    /** Puts a paused job back into the queue, from the named checkpoint or the newest. Throws CHECKPOINT_NOT_FOUND too. */
    async resume(asker: Asker, { jobId, checkpointId }: { jobId: string; checkpointId: string }): Promise<JobRecord> {
      await checkCheckpoint(asker, jobId, checkpointId)
      return await ask(asker, jobId, (job) => {
        if (isRepeat('RESUME', standing(job), job.nextCause)) return null
        requireAction('RESUME', standing(job))
        const set = { wanted: 'RUN', nextCause: 'RESUME', fromCheckpoint: checkpointId || null, notBefore: null, saveCheckpoint: true }
        return { steps: [{ happened: 'resumed', message: 'Resumed; waits for a place.', set }] }
      })
    },

    /** Starts over what failed, was cancelled or preempted: a new attempt, from the named checkpoint, else the newest, else the start. Throws QuotaExceeded too, as a submission does. */
    async retry(asker: Asker, { idempotency_key: key, ...request }: RetryJobRequest__Output): Promise<unknown> {
      const { job_id: jobId, from_checkpoint: checkpointId } = request
      return await idempotency.once({ tenantId: asker.tenantId, method: 'RetryJob', key, request }, async (remember) => {
        const found = await checkCheckpoint(asker, jobId, checkpointId)
        requireAction('RETRY', standing(found))
        const again = (current: JobRecord): Change => {
          requireAction('RETRY', standing(current))
          const fresh = { failures: 0, failure: null, output: null, finalEvaluation: null, notBefore: null, archivedAt: null }
          const run = evaluationOf(current)
          // A benchmark of the attempt before is no result of the one to come.
          const unmeasured = run ? { evaluation: JSON.stringify({ ...run, results: [] }), progress: null } : {}
          const set = {
            ...fresh,
            ...unmeasured,
            wanted: 'RUN',
            nextCause: 'RETRY',
            fromCheckpoint: checkpointId || null,
            saveCheckpoint: true,
          }
          return {
            steps: [{ happened: 'retried', message: 'To be tried again; waits for a place.', set }],
            ...(remember ? { remember: (tx, changed) => remember(tx, changed.jobId, toJobMessage(changed, clock())) } : {}),
          }
        }
        const gpuCount = specOf(found).resource_config.gpu_count
        const job = await takeIn({ tenantId: asker.tenantId, gpuCount, jobId: found.jobId }, () => ask(asker, jobId, again))
        return toJobMessage(job, clock())
      })
    },

    /** Changes labels of any job, and the priority of one that is not terminal. */
    async update(asker: Asker, { job_id: jobId, priority, labels }: UpdateJobRequest__Output): Promise<JobRecord> {
      const problems = [
        ...(priority === undefined ? [] : priorityProblems(priority, 'priority')),
        ...(labels ? labelProblems(labels.labels, 'labels') : []),
      ]
      if (problems.length > 0) throw new InvalidInput(problems, 'INVALID_ARGUMENT')
      return await ask(asker, jobId, (job) => {
        if (priority !== undefined && isTerminal(statusOf(job))) {
          throw new JobStateConflict(
            'change its priority',
            job.status,
            jobStatuses.filter((status) => !isTerminal(status)),
          )
        }
        // The label that makes an evaluation known as one is not the caller's to take away.
        const own = job.isEvaluation ? { type: 'evaluation' } : {}
        const set = {
          ...(priority === undefined ? {} : { priority }),
          ...(labels ? { labels: JSON.stringify({ ...labels.labels, ...own }) } : {}),
        }
        const isNew = Object.entries(set).some(([column, value]) => job[column as keyof JobRecord] !== value)
        return isNew ? { steps: [{ set }] } : null
      })
    },
  }

  /** An id that the caller named must be a complete checkpoint of this job, and the job the caller's. Answers the job. */
  async function checkCheckpoint({ tenantId }: Asker, jobId: string, checkpointId: string): Promise<JobRecord> {
    const job = await requireJob(store, tenantId, jobId)
    if (checkpointId !== '') await requireCheckpoint(database, { tenantId, checkpointId, jobId: job.jobId })
    return job
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
const inOneLine = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
