import { toTimestamp } from '../../../contract/proto.js'
import type { Attempt, Job } from '../../../generated/prisma/coordinator/client.js'
import type { DrainedJob__Output } from '../../../generated/proto/scaimind/v1/DrainedJob.js'
import type { DrainForecast__Output } from '../../../generated/proto/scaimind/v1/DrainForecast.js'
import { attemptDirectory } from '../../journal/paths.js'
import { followTrainerEvents } from '../../journal/trainer-events.js'
import { completeCheckpoints } from '../records/checkpoints.js'
import type { Database } from '../records/database.js'
import { nodesOf, placementOf } from '../records/record.js'
import { heldReservations } from '../records/reservations.js'
import type { JobSettings } from '../records/settings.js'
import { expectedEnd } from './expected-end.js'

/** What the forecast is made from. */
export interface DrainForecastOptions {
  database: Database
  settings: Pick<JobSettings, 'dataDir' | 'stopGraceSeconds'>
  now: Date
}

type Running = Attempt & { job: Job }

/** What draining a node would mean, by what is on record of the attempts that run or have GPUs there; of other tenants' jobs without their ids. With `*` all of it. */
export async function forecastDrain(
  tenantId: string,
  nodeId: string,
  { database, settings, now }: DrainForecastOptions,
): Promise<Omit<DrainForecast__Output, 'node'>> {
  const unfinished = await database.attempt.findMany({ where: { finishedAt: null }, include: { job: true } })
  const reserved = await heldReservations(database, { nodeId })
  const reservedFor = ({ jobId, number }: Attempt) => reserved.find((held) => held.jobId === jobId && held.attempt === number)
  const running = unfinished.filter((attempt) => nodesOf(attempt).includes(nodeId) || reservedFor(attempt))
  const jobs = await Promise.all(
    running.map((attempt) => drainedJob(attempt, tenantId, reservedFor(attempt)?.gpuIndexes.length ?? 0, { database, settings, now })),
  )
  const ends = running.map(expectedEnd)
  const isKnown = (end: Date | null): end is Date => end !== null
  const last = new Date(Math.max(now.getTime(), ...ends.filter(isKnown).map((end) => end.getTime())))
  const graceMs = running.length === 0 ? 0 : settings.stopGraceSeconds * 1000
  return {
    jobs,
    gpu_minutes_lost_with_checkpoints: jobs.reduce((sum, job) => sum + job.gpu_minutes_lost_with_checkpoints, 0),
    gpu_minutes_lost_without_checkpoints: jobs.reduce((sum, job) => sum + job.gpu_minutes_lost_without_checkpoints, 0),
    free_at: ends.every(isKnown) ? toTimestamp(last) : null,
    free_at_if_evicted: toTimestamp(new Date(now.getTime() + graceMs)),
  }
}

async function drainedJob(
  attempt: Running,
  tenantId: string,
  gpusReserved: number,
  { database, settings, now }: DrainForecastOptions,
): Promise<DrainedJob__Output> {
  const { job, jobId, number, startedAt } = attempt
  const gpus = placementOf(attempt).reduce((sum, { gpuIndexes }) => sum + gpuIndexes.length, gpusReserved)
  const checkpoints = await completeCheckpoints(database, jobId)
  const safe = Math.max(startedAt?.getTime() ?? now.getTime(), ...checkpoints.map(({ createdAt }) => createdAt.getTime()))
  const without = (gpus * Math.max(0, now.getTime() - safe)) / 60_000
  const saves = await canSave(attemptDirectory(settings.dataDir, job.tenantId, jobId, number))
  const end = expectedEnd(attempt)
  return {
    job_id: tenantId === '*' || job.tenantId === tenantId ? jobId : '',
    attempt: number,
    gpu_count: gpus,
    gpu_minutes_lost_with_checkpoints: saves ? 0 : without,
    gpu_minutes_lost_without_checkpoints: without,
    expected_end: end && toTimestamp(end),
  }
}

// A program of the tenant's own may never say so, and write much.
const readyWithinLines = 1000

/** Whether the trainer said that it saves when it is asked to stop; it says so as it starts. */
async function canSave(directory: string): Promise<boolean> {
  const signal = new AbortController().signal
  for await (const { event, line } of followTrainerEvents({ directory, fromLine: 0, closed: () => true, signal })) {
    if (event.type === 'ready') return event.signals.includes('TERM')
    if (line > readyWithinLines) return false
  }
  return false
}
