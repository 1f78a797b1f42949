import type { Database } from '../records/database.js'
import { earliestStart, needsOf, runSecondsMax } from '../records/needs.js'
import { type JobRecord, specOf } from '../records/record.js'
import type { Spec } from '../records/spec.js'
import type { Waiter } from './estimate.js'

/** The place of a submission that is no job yet: behind those that came at the same moment. */
export const guestId = '~'

/** Waiting jobs as placement needs them. */
export async function describeWaiting(database: Database, jobs: JobRecord[]): Promise<Waiter[]> {
  const specs = new Map(jobs.map((job) => [job.jobId, specOf(job)]))
  const pending = await pendingOf(database, [...new Set([...specs.values()].flatMap((spec) => spec.scheduling_config.depends_on))])
  return jobs.flatMap((job) => {
    const spec = specs.get(job.jobId)
    if (!spec) return []
    const dependencies = spec.scheduling_config.depends_on.flatMap((id) => pending.get(id) ?? [])
    const { jobId, tenantId, priority } = job
    const queuedAt = job.queuedAt ?? job.createdAt
    const notBefore = earliestStart(spec, job.notBefore)
    return [{ jobId, tenantId, priority, queuedAt, notBefore, dependencies, needs: needsOf(spec), runSecondsMax: runSecondsMax(spec) }]
  })
}

/** A submission that is no job yet, as if it came now. */
export async function describeGuest(database: Database, { spec, tenantId }: { spec: Spec; tenantId: string }, now: Date): Promise<Waiter> {
  const pending = await pendingOf(database, spec.scheduling_config.depends_on)
  return {
    jobId: guestId,
    tenantId,
    priority: spec.training_config.priority,
    queuedAt: now,
    notBefore: earliestStart(spec, null),
    dependencies: [...pending.values()],
    needs: needsOf(spec),
    runSecondsMax: runSecondsMax(spec),
  }
}

/** Those of some jobs that are not COMPLETED. */
async function pendingOf(database: Database, jobIds: string[]): Promise<Map<string, { jobId: string; status: string }>> {
  if (jobIds.length === 0) return new Map()
  const rows = await database.job.findMany({ where: { jobId: { in: jobIds } }, select: { jobId: true, status: true } })
  return new Map(rows.filter(({ status }) => status !== 'COMPLETED').map((row) => [row.jobId, row]))
}
