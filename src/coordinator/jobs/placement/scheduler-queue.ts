import { Failure } from '../../../contract/failure.js'
import { type Engine, type EngineHandle, type EngineQueueEntry, EngineRefusal, type EngineScheduler } from '../../engines/engine.js'
import { attemptDirectory } from '../../journal/paths.js'
import type { AttemptKeeper } from '../attempts/attempts.js'
import { beginAttempt } from '../attempts/begin.js'
import { requestOf } from '../attempts/scheduling.js'
import { atMost } from '../records/at-most.js'
import type { JobChanges } from '../records/changes.js'
import type { Database } from '../records/database.js'
import type { Log } from '../records/log.js'
import type { JobSettings } from '../records/settings.js'
import type { Spec } from '../records/spec.js'
import type { JobStore } from '../records/store.js'
import { type Blocker, blocker, earlyBlockers } from './blockers.js'
import type { Evictions } from './evictions.js'
import { inOrder } from './fair-order.js'
import { readInventory, toMachines } from './inventory.js'
import { passes } from './passes.js'
import type { Machine, NamedJob, Waiting } from './place.js'
import type { JobQueue, Prospect, QueueView } from './queue.js'
import { quotaBlockers, type TenantLimits, type TenantUsage } from './quota.js'
import { waitBlockers } from './scheduler-blockers.js'
import { sharedView } from './shared-view.js'
import type { Usage } from './usage.js'
import { waitingJobs } from './waiting.js'

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
  settings: Pick<JobSettings, 'dataDir' | 'gpuSampleSeconds'>
  log: Log
  clock: () => Date
}

/** From so many jobs on a look is shared: what the engine says of its queue is as old. */
const sharedFromJobs = 100
/** Jobs that are handed over at once. */
const handOversMax = 8
/** A start that is expected so soon counts as now: schedulers think in seconds. */
const nowMs = 2000

/**
 * Hands jobs to an engine whose own scheduler orders and places them, as soon as they may run: what they depend on is in that engine or done, and their tenant's
 * quota allows it. They stay QUEUED until the engine starts them; why they wait, and when they may start, is its word.
 */
export function schedulerQueue(options: SchedulerQueueOptions): JobQueue {
  const { store, database, changes, engine, scheduler, attempts, evictions, limitsOf, usage, settings, log, clock } = options
  const jobs = waitingJobs({ database, changes, clock })
  const queuePasses = passes({ changes, log, pass })
  const inTurn = atMost(handOversMax)
  /** What the engine was told of each job in this life: its priority, and what it waits for. */
  const told = new Map<string, string>()

  return {
    start() {
      // An earlier life, or another process, may have changed them since.
      jobs.forget()
      return queuePasses.start()
    },

    view: sharedView(look, () => jobs.count() >= sharedFromJobs),

    async viewWith(guest) {
      const [entries, used] = await Promise.all([scheduler.queue(), usage.read(clock())])
      return { guest: await prospectOf(guest, used), ahead: entries.length }
    },

    // To know it the scheduler would have to be asked with each submission.
    waitSeconds: async () => null,
  }

  async function look(): Promise<QueueView['view']> {
    const now = clock()
    const waiting = await jobs.list()
    if (waiting.length === 0) return []
    const [{ entries, machines, away }, handed, used] = await Promise.all([askEngine(), handedOver(), usage.read(now)])
    const byId = new Map(waiting.map((job) => [job.jobId, job]))
    const places = new Map(entries.map(({ attempt }, index) => [attempt ? keyOf(attempt) : '', index]))
    const placeOf = (jobId: string) => places.get(keyOf({ jobId, number: handed.get(jobId)?.number ?? 0 })) ?? Number.POSITIVE_INFINITY
    return inOrder(waiting)
      .map((job) => ({ job, place: placeOf(job.jobId) }))
      .sort((a, b) => (a.place === b.place ? 0 : a.place - b.place))
      .map(({ job, place }) => {
        const entry = entries[place]
        const early = earlyBlockers(job, now)
        const later = () => {
          if (entry) return waitBlockers(entry, { needs: job.needs, machines, ahead: aheadOf(entries, place, byId) })
          if (!handed.has(job.jobId)) return overQuota(job, used)
          return away ? [blocker('NODES', { of: away, need: job.needs.nodes })] : []
        }
        const blockers = early.length > 0 ? early : later()
        const decision: Prospect = {
          jobId: job.jobId,
          placement: null,
          blockers,
          victims: [],
          estimatedStart: entry?.estimatedStart ?? null,
        }
        return { job, decision }
      })
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
    const waiting = await jobs.list()
    if (waiting.length === 0) return told.clear()
    const now = clock()
    const [handed, used, depended] = await Promise.all([handedOver(), usage.read(now), attemptsOf(waiting)])
    const given = new Map<string, number>()
    const begun: Promise<void>[] = []
    for (const job of inOrder(waiting)) {
      const { jobId, tenantId, needs } = job
      const dependencies = job.dependencies.map((dependency) => depended.get(dependency.jobId)).filter((handle) => handle !== undefined)
      // Until all that it depends on is in the engine, it can be told of none: it would start too early.
      if (signal.aborted || dependencies.length < job.dependencies.length) continue
      const attempt = handed.get(jobId)
      if (attempt) {
        await tellAnew(job, attempt, dependencies)
      } else if (overQuota(job, used, given.get(tenantId)).length === 0) {
        given.set(tenantId, (given.get(tenantId) ?? 0) + needs.gpuCount)
        begun.push(inTurn(() => handOver(job, dependencies, signal)))
      }
    }
    await Promise.all(begun)
  }

  async function handOver({ jobId, priority }: Waiting, dependencies: EngineHandle[], signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const job = await beginAttempt({ store, database, settings }, jobId, [])
    if (!job) return
    attempts.launch(job)
    told.set(jobId, JSON.stringify([priority, dependencies]))
  }

  async function tellAnew(job: Waiting, { number, handle }: HandedOver, dependencies: EngineHandle[]): Promise<void> {
    const { jobId, tenantId, priority } = job
    const news = JSON.stringify([priority, dependencies])
    if (handle === null || told.get(jobId) === news) return
    const directory = attemptDirectory(settings.dataDir, tenantId, jobId, number)
    await scheduler.update({ jobId, number, directory }, handle, { priority, dependencies }).catch((error: unknown) => {
      if (!(error instanceof EngineRefusal)) throw error
      log.warn({ err: error, job_id: jobId }, 'the engine was told anew of a job, and refused it')
    })
    told.set(jobId, news)
  }

  /** The attempts that wait in the engine's queue, by job. */
  async function handedOver(): Promise<Map<string, HandedOver>> {
    const rows = await database.attempt.findMany({
      where: { finishedAt: null, job: { status: 'QUEUED' } },
      select: { jobId: true, number: true, handle: true },
    })
    return new Map(rows.map(({ jobId, number, handle }) => [jobId, { number, handle: parseHandle(handle) }]))
  }

  /** The attempts of jobs that others depend on, as far as the engine has them. */
  async function attemptsOf(waiting: readonly Waiting[]): Promise<Map<string, EngineHandle>> {
    const ids = [...new Set(waiting.flatMap(({ dependencies }) => dependencies.map(({ jobId }) => jobId)))]
    if (ids.length === 0) return new Map()
    const rows = await database.attempt.findMany({ where: { jobId: { in: ids }, finishedAt: null }, select: { jobId: true, handle: true } })
    return new Map(
      rows.flatMap(({ jobId, handle: text }) => {
        const handle = parseHandle(text)
        return handle ? [[jobId, handle]] : []
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

/** An attempt that waits in the engine's queue. */
interface HandedOver {
  number: number
  /** Null until the engine has answered. */
  handle: EngineHandle | null
}

const parseHandle = (handle: string | null): EngineHandle | null => (handle === null ? null : (JSON.parse(handle) as EngineHandle))

const keyOf = ({ jobId, number }: { jobId: string; number: number }): string => `${jobId}/${number}`

/** What is ahead of an entry in its own queue: ours by name, others as a number. */
function aheadOf(entries: EngineQueueEntry[], index: number, byId: Map<string, Waiting>): (NamedJob | null)[] {
  const { queue } = entries[index] ?? {}
  return entries.slice(0, index).flatMap((entry) => {
    if (entry.queue !== queue) return []
    const job = entry.attempt && byId.get(entry.attempt.jobId)
    return [job ? { jobId: job.jobId, tenantId: job.tenantId } : null]
  })
}
