import type { Database } from '../records/database.js'
import { placementOf } from '../records/record.js'
import { expectedEnd } from './expected-end.js'
import type { Running } from './place.js'

/** How long it counts that a job was asked to give its place back. */
const latelyMs = 3600 * 1000

/** Attempts whose processes are not proven dead, and when they will be over by their trainers' estimates or by their limits, whichever comes first. */
export async function readRunning(database: Database, now: Date): Promise<Running[]> {
  const attempts = await database.attempt.findMany({
    where: { finishedAt: null },
    select: {
      jobId: true,
      placement: true,
      gpus: true,
      share: true,
      startedAt: true,
      submittedAt: true,
      evicted: true,
      job: { select: { tenantId: true, priority: true, preemptible: true, wanted: true, progress: true, updatedAt: true, spec: true } },
    },
  })
  const asked = attempts.filter(({ job }) => job.preemptible).map(({ jobId }) => jobId)
  const [saved, evictions] = asked.length === 0 ? [new Map(), new Map()] : await Promise.all([savedAt(asked), evictionsOf(asked)])
  return attempts.map(({ jobId, gpus, share, startedAt, submittedAt, evicted, job, placement }) => {
    return {
      jobId,
      tenantId: job.tenantId,
      priority: job.priority,
      preemptible: job.preemptible,
      placement: placementOf({ placement }),
      share,
      gpuCount: gpus,
      startedAt,
      endsAt: expectedEnd({ startedAt, submittedAt, job }),
      savedAt: saved.get(jobId) ?? null,
      leaving: evicted !== null || job.wanted !== 'RUN',
      evictionsLately: evictions.get(jobId) ?? 0,
    }
  })

  async function savedAt(jobIds: string[]): Promise<Map<string, Date | null>> {
    const rows = await database.checkpoint.groupBy({
      by: ['jobId'],
      where: { jobId: { in: jobIds }, deletedAt: null },
      _max: { createdAt: true },
    })
    return new Map(rows.map(({ jobId, _max }) => [jobId, _max.createdAt]))
  }

  async function evictionsOf(jobIds: string[]): Promise<Map<string, number>> {
    const rows = await database.attempt.groupBy({
      by: ['jobId'],
      where: { jobId: { in: jobIds }, evicted: { not: null }, finishedAt: { gte: new Date(now.getTime() - latelyMs) } },
      _count: true,
    })
    return new Map(rows.map(({ jobId, _count }) => [jobId, _count]))
  }
}
