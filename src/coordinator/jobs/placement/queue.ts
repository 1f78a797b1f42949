import type { Engine } from '../../engines/engine.js'
import type { AttemptKeeper } from '../attempts/attempts.js'
import { beginAttempt } from '../attempts/begin.js'
import type { JobChanges } from '../records/changes.js'
import type { Database } from '../records/database.js'
import type { Log } from '../records/log.js'
import { type JobRecord, placementOf } from '../records/record.js'
import type { Spec } from '../records/spec.js'
import type { JobStore } from '../records/store.js'
import { expected } from './blockers.js'
import { estimateStarts, type Running, type Waiter } from './estimate.js'
import type { NodeEvictions } from './evictions.js'
import { expectedEnd } from './expected-end.js'
import { readInventory, toMachines } from './inventory.js'
import { type Decision, type Machine, placeJobs } from './place.js'
import type { TenantLimits } from './quota.js'
import { describeGuest, describeWaiting, guestId } from './waiting.js'

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
      const { jobs, decisions, waiting, machines } = await decide(guest && (await describeGuest(database, guest, clock())))
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
      if (!placement || closing.signal.aborted) continue
      const job = await beginAttempt({ store, database }, jobId, placement)
      if (job) attempts.launch(job)
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
    const described = await describeWaiting(database, jobs)
    const waiting = guest ? [...described, guest] : described
    const machines = toMachines(inventory)
    return { jobs, waiting, machines, decisions: placeJobs(waiting, machines, clock(), limits.gpusMax) }
  }

  /** What runs, and when it will be over by what is known. */
  async function runningJobs(): Promise<Running[]> {
    const attempts = await database.attempt.findMany({ where: { finishedAt: null }, include: { job: true } })
    return attempts.map((attempt) => ({ jobId: attempt.jobId, placement: placementOf(attempt), endsAt: expectedEnd(attempt) }))
  }
}

/** The queue. */
export type JobQueue = ReturnType<typeof jobQueue>
