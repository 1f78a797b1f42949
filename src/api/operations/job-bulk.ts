import { z } from 'zod'
import { Failure, InvalidInput } from '../../contract/failure.js'
import { isTerminal, jobStatuses } from '../../contract/statuses.js'
import type { Job__Output } from '../../generated/proto/scaimind/v1/Job.js'
import type { Caller } from '../auth/viewer.js'
import { allow } from '../auth/who-may.js'
import { formatPlace, parsePlace } from '../cache/job-query.js'
import { checkFilter } from './job-filter.js'
import type { JobParts } from './job-parts.js'
import { labelsSchema, prioritySchema } from './job-spec.js'
import type { BulkAnswer, BulkOutcome, JobFilter, JobOperations, JobView } from './job-types.js'
import { newestFirst } from './paging.js'
import { parseInput } from './parse.js'
import { isUnreachable } from './unreachable.js'

const jobsMax = 500
const atOnce = 8

const changes = z
  .object({
    priority: prioritySchema.optional(),
    add_labels: labelsSchema.default({}),
    remove_labels: z.array(z.string().min(1).max(128)).max(64, 'At most 64 labels at once').default([]),
  })
  .superRefine(({ priority, add_labels, remove_labels }, { addIssue }) => {
    if (priority === undefined && Object.keys(add_labels).length === 0 && remove_labels.length === 0) {
      addIssue({ code: 'custom', path: ['priority'], message: 'Give a priority, labels to add or labels to remove' })
    }
    for (const [index, key] of remove_labels.entries()) {
      if (Object.hasOwn(add_labels, key)) {
        addIssue({ code: 'custom', path: ['remove_labels', index], message: `The label ${JSON.stringify(key)} is to be added, too` })
      }
    }
  })

interface Writes {
  context(caller: Caller): { tenantId: string; userId: string; requestId: string }
  /** Puts jobs that were written into the cache. */
  keep(jobs: Job__Output[], caller: Caller): Promise<JobView[]>
}

/** The same change of many jobs: as many calls as jobs, a few at a time, and an answer for each. */
export function jobBulk({ cache, coordinator }: JobParts, { context, keep }: Writes): Pick<JobOperations, 'cancelMany' | 'updateMany'> {
  async function matching({ viewer: { tenantId } }: Caller, filter: JobFilter, after: string | null | undefined) {
    const place = after ? parsePlace(after, newestFirst, 'after') : undefined
    const rows = await cache.list(tenantId, filter, newestFirst, jobsMax + 1, place)
    const meant = rows.slice(0, jobsMax)
    const last = meant.at(-1)
    return {
      jobs: meant.map(({ job }) => job),
      matched: rows.length > jobsMax || after ? await cache.count(tenantId, filter) : rows.length,
      hasMore: rows.length > jobsMax,
      endCursor: last ? formatPlace(newestFirst, last.place) : null,
    }
  }

  /** Calls for each job. Where the coordinator turns out to be away, the rest are not tried one by one. */
  async function forEach(caller: Caller, jobs: Job__Output[], act: (job: Job__Output) => Promise<Job__Output>): Promise<BulkOutcome[]> {
    const answers: (Job__Output | Failure)[] = new Array(jobs.length)
    let away: Failure | undefined
    let next = 0
    async function work(): Promise<void> {
      for (let at = next++; at < jobs.length; at = next++) {
        answers[at] = away ?? (await act(jobs[at] as Job__Output).catch(asFailure))
        if (isUnreachable(answers[at])) away = answers[at] as Failure
      }
    }
    await Promise.all(Array.from({ length: atOnce }, work))
    const written = answers.filter((answer): answer is Job__Output => !(answer instanceof Failure))
    const views = new Map((await keep(written, caller)).map((view) => [view.job.job_id, view]))
    return jobs.map(({ job_id: jobId }, index) => {
      const answer = answers[index]
      return answer instanceof Failure ? { jobId, view: null, failure: answer } : { jobId, view: views.get(jobId) ?? null, failure: null }
    })
  }

  return {
    async cancelMany(caller, { filter, reason, saveCheckpoint, after }) {
      allow(caller.viewer, 'controlJobs')
      requireCondition(filter)
      const statuses = (filter.statuses?.length ? filter.statuses : jobStatuses).filter((status) => !isTerminal(status))
      // No status at all would be no condition.
      if (statuses.length === 0) return { outcomes: [], matched: 0, hasMore: false, endCursor: null }
      const { jobs, ...rest } = await matching(caller, { ...filter, statuses }, after)
      const request = { reason: reason ?? '', save_checkpoint: saveCheckpoint ?? false }
      const outcomes = await forEach(caller, jobs, ({ job_id }) => coordinator.call('CancelJob', { job_id, ...request }, context(caller)))
      return { outcomes, ...rest } satisfies BulkAnswer
    },

    async updateMany(caller, { filter, priority, addLabels, removeLabels, after }) {
      allow(caller.viewer, 'controlJobs')
      requireCondition(filter)
      const wanted = parseInput(changes, { priority, add_labels: addLabels, remove_labels: removeLabels })
      const { jobs, ...rest } = await matching(caller, filter, after)
      // Labels are replaced as a whole, so they are changed from what they are now, not from a copy.
      const job_ids = jobs.map(({ job_id }) => job_id)
      const now = job_ids.length > 0 ? (await coordinator.call('BatchGetJobs', { job_ids }, context(caller))).jobs : []
      const current = new Map(now.map((job) => [job.job_id, job]))
      const outcomes = await forEach(caller, jobs, async ({ job_id }) => {
        const job = current.get(job_id)
        if (!job) throw new Failure('JOB_NOT_FOUND', `There is no job ${job_id}.`)
        const labels = Object.fromEntries(
          Object.entries({ ...job.labels, ...wanted.add_labels }).filter(([key]) => !wanted.remove_labels.includes(key)),
        )
        if (Object.keys(labels).length > 64) throw new InvalidInput([{ path: 'add_labels', message: 'A job has at most 64 labels.' }])
        const change = {
          ...(wanted.priority === undefined || wanted.priority === job.training_config?.priority ? {} : { priority: wanted.priority }),
          ...(isSame(labels, job.labels) ? {} : { labels: { labels } }),
        }
        // What is so already is not written again.
        return Object.keys(change).length === 0 ? job : coordinator.call('UpdateJob', { job_id, ...change }, context(caller))
      })
      return { outcomes, ...rest } satisfies BulkAnswer
    },
  }
}

/** All jobs of a tenant are never meant by saying nothing. */
function requireCondition(filter: JobFilter): void {
  const { archived: _, ...conditions } = filter
  const isGiven = (value: unknown) =>
    value != null && value !== '' && (typeof value !== 'object' || value instanceof Date || size(value) > 0)
  if (!Object.values(conditions).some(isGiven)) {
    throw new InvalidInput([
      { path: 'filter', message: 'Name at least one condition, such as status or labels: all jobs are not meant by none.' },
    ])
  }
  if (conditions.labels?.some(({ key, value }) => key === 'type' && value === 'evaluation')) {
    throw new InvalidInput([{ path: 'filter.labels', message: 'Evaluations are not meant here; cancelEvaluation ends one.' }])
  }
  checkFilter(filter)
}

const size = (value: object) => Object.keys(value).length
const isSame = (a: Record<string, string>, b: Record<string, string>) =>
  size(a) === size(b) && Object.entries(a).every(([key, value]) => b[key] === value)

function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error
  throw error
}
