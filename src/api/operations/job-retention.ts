import { z } from 'zod'
import { toTimestamp } from '../../contract/proto.js'
import { retentionScopes, terminalStatuses } from '../../contract/statuses.js'
import type { RetentionResult__Output } from '../../generated/proto/scaimind/v1/RetentionResult.js'
import type { Caller } from '../auth/viewer.js'
import { allow } from '../auth/who-may.js'
import type { JobParts } from './job-parts.js'
import type { JobOperations } from './job-types.js'
import { parseInput } from './parse.js'

const dayMs = 86_400_000
const oneOfTwo = 'Give a time or a number of days, one of the two'

const policySchema = z.object({
  policy: z
    .object({
      scope: z.enum(retentionScopes),
      finished_before: z.date().optional(),
      older_than_days: z.number().int().min(0, 'This is a whole number of days from 0').max(36_500).optional(),
      statuses: z.array(z.enum(terminalStatuses, `Only ${terminalStatuses.join(', ')} are terminal`)).default([]),
      archived_only: z.boolean().default(true),
    })
    .refine((policy) => (policy.finished_before === undefined) !== (policy.older_than_days === undefined), {
      path: ['finished_before'],
      message: oneOfTwo,
    }),
})

/** Deleting what is not needed any more, after saying what that is. */
export function jobRetention({ cache, coordinator, log }: JobParts): Pick<JobOperations, 'planRetention' | 'applyRetention'> {
  const contextOf = ({ viewer, requestId }: Caller) => ({ tenantId: viewer.tenantId, userId: viewer.userId, requestId })

  return {
    async planRetention(caller, { scope, finishedBefore, olderThanDays, statuses, archivedOnly }) {
      allow(caller.viewer, 'retainJobs')
      const { policy } = parseInput(policySchema, {
        policy: { scope, finished_before: finishedBefore, older_than_days: olderThanDays, statuses, archived_only: archivedOnly },
      })
      const before = policy.finished_before ?? new Date(Date.now() - (policy.older_than_days ?? 0) * dayMs)
      const request = {
        scope: policy.scope,
        finished_before: toTimestamp(before),
        statuses: policy.statuses,
        archived_only: policy.archived_only,
      }
      return coordinator.call('PlanRetention', request, contextOf(caller))
    },

    async applyRetention(caller, planId) {
      allow(caller.viewer, 'retainJobs')
      const result = await coordinator.call('ApplyRetention', { plan_id: planId }, contextOf(caller))
      // The deletion has happened, and job events will bring it: to answer an error would ask for it twice.
      await forget(caller, result).catch((error: unknown) =>
        log.warn({ err: error, request_id: caller.requestId }, 'deleted jobs are still in the cache'),
      )
      return result
    },
  }

  /** So that callers do not read what they deleted. Which jobs are gone is asked, for a result does not say it: it may have deleted checkpoints only. */
  async function forget(caller: Caller, { items }: RetentionResult__Output): Promise<void> {
    const job_ids = items.flatMap(({ job_id, kept }) => (kept === '' ? [job_id] : []))
    if (job_ids.length === 0) return
    const { jobs } = await coordinator.call('BatchGetJobs', { job_ids }, contextOf(caller))
    const there = new Set(jobs.map(({ job_id }) => job_id))
    await cache.drop(
      caller.viewer.tenantId,
      job_ids.filter((id) => !there.has(id)),
    )
  }
}
