import type { EngineHandle, SchedulingRequest } from '../../engines/engine.js'
import type { Database } from '../records/database.js'
import { earliestStart, needsOf, runSecondsMax } from '../records/needs.js'
import { type JobRecord, specOf } from '../records/record.js'
import type { Spec } from '../records/spec.js'

/** What an engine with a scheduler of its own is told of a job that may run: what it needs, how much it matters, and which attempts must be done first. */
export async function schedulingOf(database: Database, job: JobRecord): Promise<SchedulingRequest> {
  const spec = specOf(job)
  const { tenantId, priority, notBefore } = job
  const labels = JSON.parse(job.labels) as Record<string, string>
  const dependencies = await handlesOf(database, spec.scheduling_config.depends_on)
  return { ...requestOf(spec, tenantId), priority, notBefore: earliestStart(spec, notBefore), dependencies, labels }
}

/** The same of a submission that is no job yet. */
export function requestOf(spec: Spec, tenantId: string): SchedulingRequest {
  const { queue, preemptible, requeue_on_preemption: requeue } = spec.scheduling_config
  const { priority } = spec.training_config
  return {
    tenantId,
    needs: needsOf(spec),
    queue,
    priority,
    notBefore: earliestStart(spec, null),
    dependencies: [],
    runSecondsMax: runSecondsMax(spec),
    preemptible,
    requeue,
    name: spec.name,
    labels: spec.labels,
  }
}

/** The engine's handles of the newest attempts of some jobs, but for those that are COMPLETED. One that has ended otherwise keeps what depends on it waiting. */
async function handlesOf(database: Database, jobIds: string[]): Promise<EngineHandle[]> {
  if (jobIds.length === 0) return []
  const attempts = await database.attempt.findMany({
    where: { jobId: { in: jobIds }, job: { status: { not: 'COMPLETED' } }, handle: { not: null } },
    orderBy: { number: 'asc' },
    select: { jobId: true, handle: true },
  })
  return [...new Map(attempts.map(({ jobId, handle }) => [jobId, handle ?? ''])).values()].map(
    (handle) => JSON.parse(handle) as EngineHandle,
  )
}
