import { randomBytes } from 'node:crypto'
import type { Engine, Placement } from '../../engines/engine.js'
import type { AttemptKeeper } from '../attempts/attempts.js'
import type { JobChanges } from '../records/changes.js'
import { completeCheckpoints } from '../records/checkpoints.js'
import type { Database } from '../records/database.js'
import { canHappen } from '../records/lifecycle.js'
import type { Log } from '../records/log.js'
import { type JobRecord, placementOf, specOf, statusOf, storePlacement } from '../records/record.js'
import type { Spec } from '../records/spec.js'
import type { JobStore } from '../records/store.js'
import { expected } from './blockers.js'
import { estimateStarts, type Running, type Waiter } from './estimate.js'
import type { NodeEvictions } from './evictions.js'
import { readInventory, toMachines } from './inventory.js'
import { earliestStart, needsOf, runSecondsMax } from './needs.js'
import { type Decision, type Machine, placeJobs } from './place.js'
import type { TenantLimits } from './quota.js'

/** What the queue needs. */
export interface QueueOptions {
  store: JobStore
  database: Database
  changes: JobChanges
  engine: Engine
  attempts: AttemptKeeper
  evictions: NodeEvictions
  limits: TenantLimits
  log: Log
  clock: () => Date
}

/** What becomes of a waiting job, and when it would start; null where that is not known. */
export interface Prospect extends Decision {
  estimatedStart: Date | null
}

/** What waits, in the order it would start, with what becomes of it now. */
export type QueueView = { job: JobRecord; decision: Prospect }[]

/** A look at the queue: what waits, on which machines, and what becomes of it. */
interface Outlook {
  jobs: JobRecord[]
  /** The same as the queue orders it, with a guest. */
  waiting: Waiter[]
  machines: Machine[]
  decisions: Decision[]
}

/** Jobs in a queue that each submission looks through. */
const lookedThroughMax = 100
/** The place of a submission that is no job yet: behind those that came at the same moment. */
const guestId = '~'

/** A look at the queue where no change called for one: times that come, nodes that come back. */
const tickMs = 1000

/** Gives waiting jobs their places: looks at every change that may free or fill one, and from time to time. */
export function jobQueue({ store, database, changes, engine, attempts, evictions, limits, log, clock }: QueueOptions) {
  const closing = new AbortController()
  let isDue = true
  let wake = () => {}
  const stopListening = changes.listen('*', ({ weighty }) => {
    if (weighty) look()
  })

  return {
    /** Begins to give places. */
    start(): { close(): Promise<void> } {
      const running = run()
      return {
        async close() {
          stopListening()
          closing.abort()
          wake()
          await running
        },
      }
    },
    /** Looks at the queue without giving places. `guest` is a submission that is not in it, seen as if it came now. */
    view: async (guest?: { spec: Spec; tenantId: string }): Promise<{ view: QueueView; guest: Prospect | null; ahead: number }> => {
      const { jobs, decisions, waiting, machines } = await decide(guest && (await waiterOf(guest)))
      const starts = decisions.length === 0 ? new Map<string, Date>() : await startsOf({ decisions, waiting, machines })
      const prospects = decisions.map(({ blockers, ...decision }) => ({
        ...decision,
        blockers: blockers.map((blocker) => expected(blocker, decision.jobId, starts)),
        estimatedStart: starts.get(decision.jobId) ?? null,
      }))
      const view = prospects.flatMap((decision) => {
        const job = jobs.find(({ jobId }) => jobId === decision.jobId)
        return job ? [{ job, decision }] : []
      })
      const place = prospects.findIndex(({ jobId }) => jobId === guestId)
      return { view, guest: prospects[place] ?? null, ahead: Math.max(0, place) }
    },
    /** Seconds until a submission would start; null where that is not known, or the queue is too long to be looked at for it. */
    async waitSeconds(guest: { spec: Spec; tenantId: string }): Promise<number | null> {
      if ((await database.job.count({ where: { status: 'QUEUED' } })) > lookedThroughMax) return null
      const { guest: prospect } = await this.view(guest)
      if (prospect?.placement) return 0
      return prospect?.estimatedStart ? Math.max(0, Math.round((prospect.estimatedStart.getTime() - clock().getTime()) / 1000)) : null
    },
  }

  function look(): void {
    isDue = true
    wake()
  }

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      isDue = false
      await pass().catch((error: unknown) => log.warn({ err: error }, 'the queue could not be looked at'))
      if (!isDue && !closing.signal.aborted) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, tickMs)
          wake = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      }
    }
  }

  async function pass(): Promise<void> {
    await evictions.evictDue()
    const { decisions } = await decide()
    for (const { jobId, placement } of decisions) {
      if (placement && !closing.signal.aborted) await place(jobId, placement)
    }
  }

  /** When what waits would start; of a job whose tenant holds what it may, nothing is known. */
  async function startsOf({ decisions, waiting, machines }: Omit<Outlook, 'jobs'>): Promise<Map<string, Date>> {
    const overQuota = new Set(decisions.flatMap(({ jobId, blockers }) => (blockers.some(({ kind }) => kind === 'QUOTA') ? [jobId] : [])))
    const queue = waiting.filter(({ jobId }) => !overQuota.has(jobId))
    return estimateStarts(queue, await runningJobs(), machines, clock())
  }

  async function decide(guest?: Waiter): Promise<Outlook> {
    const jobs = await store.findAll({ status: 'QUEUED' })
    if (jobs.length === 0 && !guest) return { jobs, decisions: [], waiting: [], machines: [] }
    const inventory = await readInventory(engine, database)
    const described = await describe(jobs)
    const waiting = guest ? [...described, guest] : described
    const machines = toMachines(inventory)
    return { jobs, waiting, machines, decisions: placeJobs(waiting, machines, clock(), limits.gpusMax) }
  }

  async function waiterOf({ spec, tenantId }: { spec: Spec; tenantId: string }): Promise<Waiter> {
    const pending = await pendingOf(spec.scheduling_config.depends_on)
    return {
      jobId: guestId,
      tenantId,
      priority: spec.training_config.priority,
      queuedAt: clock(),
      notBefore: earliestStart(spec, null),
      dependencies: [...pending.values()],
      needs: needsOf(spec),
      runSecondsMax: runSecondsMax(spec),
    }
  }

  /** Those of some jobs that are not COMPLETED. */
  async function pendingOf(jobIds: string[]): Promise<Map<string, { jobId: string; status: string }>> {
    if (jobIds.length === 0) return new Map()
    const rows = await database.job.findMany({ where: { jobId: { in: jobIds } }, select: { jobId: true, status: true } })
    return new Map(rows.filter(({ status }) => status !== 'COMPLETED').map((row) => [row.jobId, row]))
  }

  /** What runs, and when it will be over by its trainer's estimate or by its limit, whichever comes first. */
  async function runningJobs(): Promise<Running[]> {
    const attempts = await database.attempt.findMany({ where: { finishedAt: null }, include: { job: true } })
    return attempts.map(({ job, ...attempt }) => {
      const { eta_seconds: eta } = (job.progress === null ? {} : JSON.parse(job.progress)) as { eta_seconds?: number }
      const limit = runSecondsMax(specOf(job))
      const startedAt = attempt.startedAt ?? attempt.submittedAt
      const ends = [
        ...(eta === undefined ? [] : [job.updatedAt.getTime() + eta * 1000]),
        ...(limit === null ? [] : [startedAt.getTime() + limit * 1000]),
      ]
      return { jobId: job.jobId, placement: placementOf(attempt), endsAt: ends.length > 0 ? new Date(Math.min(...ends)) : null }
    })
  }

  async function describe(jobs: JobRecord[]): Promise<Waiter[]> {
    const specs = new Map(jobs.map((job) => [job.jobId, specOf(job)]))
    const pending = await pendingOf([...new Set([...specs.values()].flatMap((spec) => spec.scheduling_config.depends_on))])
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

  /** Intent before effect: the attempt is on record with its token before the engine hears of it. */
  async function place(jobId: string, placement: Placement[]): Promise<void> {
    const token = randomBytes(16).toString('hex')
    const newest = (await completeCheckpoints(database, jobId))[0]?.checkpointId
    let placed = false
    const job = await store.change(jobId, (current, now) => {
      placed = canHappen('placed', statusOf(current)) && current.wanted === 'RUN'
      if (!placed) return null
      const number = current.attempt + 1
      const fromCheckpoint = current.fromCheckpoint ?? newest ?? (specOf(current).training_config.resume_from_checkpoint || null)
      const attempt = {
        jobId,
        number,
        cause: current.nextCause,
        token,
        placement: storePlacement(placement),
        fromCheckpoint,
        submittedAt: now,
      }
      return {
        steps: [
          {
            happened: 'placed',
            message: `Placed on ${placement.map(({ nodeId }) => nodeId).join(', ')}.`,
            set: { attempt: number, notBefore: null, fromCheckpoint: null, progress: fromCheckpoint ? current.progress : null },
          },
        ],
        effects: (tx) => tx.attempt.create({ data: attempt }),
      }
    })
    if (job && placed) attempts.launch(job)
  }
}

/** The queue. */
export type JobQueue = ReturnType<typeof jobQueue>
