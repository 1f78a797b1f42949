import { Failure } from '../../../contract/failure.js'
import { type Engine, type EngineHandle, type EngineQueueEntry, EngineRefusal, type EngineScheduler } from '../../engines/engine.js'
import { attemptDirectory } from '../../journal/paths.js'
import type { AttemptKeeper } from '../attempts/attempts.js'
import { beginAttempt } from '../attempts/begin.js'
import { requestOf } from '../attempts/scheduling.js'
import type { JobChanges } from '../records/changes.js'
import type { Database } from '../records/database.js'
import type { Log } from '../records/log.js'
import { currentAttempt, holdsProcesses, type JobRecord, specOf } from '../records/record.js'
import type { Spec } from '../records/spec.js'
import type { JobStore } from '../records/store.js'
import { type Blocker, blocker, earlyBlockers } from './blockers.js'
import type { Evictions } from './evictions.js'
import { inOrder } from './fair-order.js'
import { readInventory, toMachines } from './inventory.js'
import { passes } from './passes.js'
import type { Machine, Waiting } from './place.js'
import type { JobQueue, Prospect } from './queue.js'
import { quotaBlockers, type TenantLimits, type TenantUsage } from './quota.js'
import { waitBlockers } from './scheduler-blockers.js'
import type { Usage } from './usage.js'
import { describeWaiting } from './waiting.js'

/** What handing jobs over needs. */
export interface SchedulerQueueOptions {
  store: JobStore
  database: Database
  changes: JobChanges
  engine: Engine
  scheduler: EngineScheduler
  attempts: AttemptKeeper
  evictions: Evictions
  limitsOf: (tenantId: string) => TenantLimits
  usage: Usage
  dataDir: string
  log: Log
  clock: () => Date
}

/** A start that is expected so soon counts as now: schedulers think in seconds. */
const nowMs = 2000

/**
 * Hands jobs to an engine whose own scheduler orders and places them, as soon as they may run: what they depend on is in that engine or done, and their tenant's
 * quota allows it. They stay QUEUED until the engine starts them; why they wait, and when they may start, is its word.
 */
export function schedulerQueue(options: SchedulerQueueOptions): JobQueue {
  const { store, database, changes, engine, scheduler, attempts, evictions, limitsOf, usage, dataDir, log, clock } = options
  const queuePasses = passes({ changes, log, pass })

  return {
    start: queuePasses.start,

    async view() {
      const [jobs, { entries, machines, away }] = await Promise.all([store.findAll({ status: 'QUEUED' }), askEngine()])
      const used = await usage.read(clock())
      const waiting = await describeWaiting(database, jobs)
      const place = new Map(entries.map((entry, index) => [entry.attempt ? keyOf(entry.attempt) : '', index]))
      const placeOf = (job: JobRecord) => place.get(keyOf({ jobId: job.jobId, number: job.attempt })) ?? Number.POSITIVE_INFINITY
      const byId = new Map(jobs.map((job) => [job.jobId, job]))
      const view = inOrder(waiting)
        .flatMap((waiter) => {
          const job = byId.get(waiter.jobId)
          return job ? [{ job, waiter, place: placeOf(job) }] : []
        })
        .sort((a, b) => (a.place === b.place ? 0 : a.place - b.place))
        .map(({ job, waiter, place: index }) => {
          const early = earlyBlockers(waiter, clock())
          const entry = entries[index]
          const blockers: Blocker[] =
            early.length > 0
              ? early
              : entry
                ? waitBlockers(entry, { needs: waiter.needs, machines, ahead: aheadOf(entries, index, byId) })
                : away && holdsProcesses(job)
                  ? [blocker('NODES', { of: away, need: waiter.needs.nodes })]
                  : overQuota(waiter, used)
          const decision: Prospect = {
            jobId: job.jobId,
            placement: null,
            blockers,
            victims: [],
            estimatedStart: entry?.estimatedStart ?? null,
          }
          return { job: waiter, decision }
        })
      return { view, indexes: new Map(view.map(({ job: { jobId } }, index) => [jobId, index])) }
    },

    async viewWith(guest) {
      const [entries, used] = await Promise.all([scheduler.queue(), usage.read(clock())])
      return { guest: await prospectOf(guest, used), ahead: entries.length }
    },

    // To know it the scheduler would have to be asked with each submission.
    waitSeconds: async () => null,
  }

  /** What the engine says of its queue and nodes; where it cannot be asked, why. The jobs can be looked at all the same. */
  async function askEngine(): Promise<{ entries: EngineQueueEntry[]; machines: Machine[]; away: string }> {
    try {
      const [entries, inventory] = await Promise.all([scheduler.queue(), readInventory(engine, database)])
      return { entries, machines: toMachines(inventory), away: '' }
    } catch (error) {
      if (error instanceof Failure && error.code === 'BACKEND_TIMEOUT') return { entries: [], machines: [], away: error.message }
      throw error
    }
  }

  async function pass(signal: AbortSignal): Promise<void> {
    await evictions.evictDue()
    const jobs = await store.findAll({ status: 'QUEUED', wanted: 'RUN' })
    if (jobs.length === 0) return
    const dependencies = await dependenciesOf(jobs)
    const used = await usage.read(clock())
    const given = new Map<string, number>()
    const byId = new Map(jobs.map((job) => [job.jobId, job]))
    for (const waiter of inOrder(await describeWaiting(database, jobs))) {
      const { jobId, tenantId, needs } = waiter
      const job = byId.get(jobId)
      const known = dependencies.get(jobId)
      // Until all that it depends on is in the engine, it can be told of none: it would start too early.
      if (!job || !known || signal.aborted) continue
      if (holdsProcesses(job)) {
        await tellAnew(job, known).catch((error: unknown) => {
          if (!(error instanceof EngineRefusal)) throw error
          log.warn({ err: error, job_id: jobId }, 'the engine was told anew of a job, and refused it')
        })
      } else if (overQuota(waiter, used, given.get(tenantId)).length === 0) {
        given.set(tenantId, (given.get(tenantId) ?? 0) + needs.gpuCount)
        const begun = await beginAttempt({ store, database }, jobId, [])
        if (begun) attempts.launch(begun)
      }
    }
  }

  async function tellAnew(job: JobRecord, dependencies: EngineHandle[]): Promise<void> {
    const attempt = currentAttempt(job)
    if (!attempt || attempt.handle === null || attempt.finishedAt) return
    const { jobId, tenantId, priority } = job
    const directory = attemptDirectory(dataDir, tenantId, jobId, attempt.number)
    const handle = JSON.parse(attempt.handle) as EngineHandle
    await scheduler.update({ jobId, number: attempt.number, directory }, handle, { priority, dependencies })
  }

  /** Of each job the attempts that must be done before it, as the engine knows them; none where the engine does not know one of them yet. */
  async function dependenciesOf(jobs: JobRecord[]): Promise<Map<string, EngineHandle[]>> {
    const named = new Map(jobs.map((job) => [job.jobId, specOf(job).scheduling_config.depends_on]))
    const ids = [...new Set([...named.values()].flat())]
    const found = ids.length === 0 ? [] : await store.findAll({ jobId: { in: ids }, status: { not: 'COMPLETED' } })
    const handles = new Map(
      found.map((job) => {
        const attempt = currentAttempt(job)
        const isThere = attempt !== null && attempt.finishedAt === null && attempt.handle !== null
        return [job.jobId, isThere ? (JSON.parse(attempt.handle ?? '') as EngineHandle) : null]
      }),
    )
    return new Map(
      [...named].flatMap(([jobId, dependsOn]) => {
        const unmet = dependsOn.flatMap((id) => (handles.has(id) ? [handles.get(id) ?? null] : []))
        return unmet.every((handle) => handle !== null) ? [[jobId, unmet]] : []
      }),
    )
  }

  async function prospectOf({ spec, tenantId }: { spec: Spec; tenantId: string }, used: Map<string, TenantUsage>): Promise<Prospect> {
    const request = requestOf(spec, tenantId)
    const forecast = await scheduler.forecast(request)
    const quota = overQuota(request, used)
    const startsNow = quota.length === 0 && forecast.start !== null && forecast.start.getTime() - clock().getTime() <= nowMs
    const slot = { gpuIndexes: [], cpus: 0, memoryBytes: request.needs.memoryBytesPerNode }
    const entry = {
      attempt: null,
      queue: request.queue,
      reason: forecast.reason,
      estimatedStart: forecast.start,
      waitsFor: forecast.waitsFor,
    }
    return {
      jobId: '',
      placement: startsNow ? forecast.nodeIds.map((nodeId) => ({ nodeId, ...slot })) : null,
      blockers: [
        ...quota,
        ...(startsNow
          ? []
          : waitBlockers(entry, { needs: request.needs, machines: toMachines(await readInventory(engine, database)), ahead: [] })),
      ],
      victims: [],
      estimatedStart: quota.length > 0 ? null : forecast.start,
    }
  }

  function overQuota({ tenantId, needs }: Pick<Waiting, 'tenantId' | 'needs'>, used: Map<string, TenantUsage>, given = 0): Blocker[] {
    return quotaBlockers({ needs }, { usage: used.get(tenantId), given, limits: limitsOf(tenantId), now: clock() })
  }
}

const keyOf = ({ jobId, number }: { jobId: string; number: number }): string => `${jobId}/${number}`

/** What is ahead of an entry in its own queue: ours by name, others as a number. */
function aheadOf(entries: EngineQueueEntry[], index: number, byId: Map<string, JobRecord>) {
  const { queue } = entries[index] ?? {}
  return entries.slice(0, index).flatMap((entry) => {
    if (entry.queue !== queue) return []
    const job = entry.attempt && byId.get(entry.attempt.jobId)
    return [job ? { jobId: job.jobId, tenantId: job.tenantId } : null]
  })
}
