import type { Engine } from '../../engines/engine.js'
import type { AttemptKeeper } from '../attempts/attempts.js'
import { beginAttempt } from '../attempts/begin.js'
import type { JobChanges } from '../records/changes.js'
import type { Database } from '../records/database.js'
import type { Log } from '../records/log.js'
import type { JobSettings } from '../records/settings.js'
import type { Spec } from '../records/spec.js'
import type { JobStore } from '../records/store.js'
import { expected } from './blockers.js'
import { estimateStarts } from './estimate.js'
import type { Evictions } from './evictions.js'
import { readInventory, toMachines } from './inventory.js'
import { passes } from './passes.js'
import { type Decision, placeJobs, type Situation, type Waiting } from './place.js'
import type { PreemptionRules } from './preempt.js'
import type { TenantLimits } from './quota.js'
import { readRunning } from './running.js'
import { sharedView } from './shared-view.js'
import type { Usage } from './usage.js'
import { describeGuest, guestId, waitingJobs } from './waiting.js'

/** What the queue needs. */
export interface QueueOptions {
  store: JobStore
  database: Database
  changes: JobChanges
  engine: Engine
  attempts: AttemptKeeper
  evictions: Evictions
  limitsOf: (tenantId: string) => TenantLimits
  usage: Usage
  preemption: PreemptionRules
  settings: Pick<JobSettings, 'gpuSampleSeconds'>
  log: Log
  clock: () => Date
}

/** What becomes of a waiting job, and when it would start; null where that is not known. */
export interface Prospect extends Decision {
  estimatedStart: Date | null
}

/** A look at the queue, without giving places. */
export interface QueueView {
  /** What waits, in the order it would start, with what becomes of it now. */
  view: { job: Waiting; decision: Prospect }[]
  /** The index of each job in it. */
  indexes: ReadonlyMap<string, number>
}

/** The same with a submission that is no job yet, seen as if it came now. */
export interface GuestView {
  guest: Prospect | null
  /** Jobs ahead of it. */
  ahead: number
}

/** The queue, whoever orders it. */
export interface JobQueue {
  /** Begins to give places. */
  start(): { close(): Promise<void> }
  /** Looks at the queue: as it is now, or where it is long, as it was within the last second. */
  view(): Promise<QueueView>
  /** What would become of a submission. */
  viewWith(guest: { spec: Spec; tenantId: string }): Promise<GuestView>
  /** Seconds until a submission would start; null where that is not known, or the queue is too long to be looked at for it. */
  waitSeconds(guest: { spec: Spec; tenantId: string }): Promise<number | null>
}

/** Jobs in a queue that each submission looks through. */
const lookedThroughMax = 100
/** From so many jobs on a look is shared. */
const sharedFromJobs = 1000
/** Jobs that one pass starts; what changes meanwhile is seen by the next. */
const startsMax = 100

/** Gives waiting jobs their places: looks at every change that may free or fill one, and from time to time. */
export function jobQueue(options: QueueOptions): JobQueue {
  const { store, database, changes, engine, attempts, evictions, limitsOf, usage, preemption, settings, log, clock } = options
  const jobs = waitingJobs({ database, changes, clock })
  const queuePasses = passes({ changes, log, pass })

  return {
    start() {
      // An earlier life, or another process, may have changed them since.
      jobs.forget()
      return queuePasses.start()
    },

    view: sharedView(look, () => jobs.count() >= sharedFromJobs),

    async viewWith(guest) {
      const view = await look(await describeGuest(database, guest, clock()))
      const place = view.findIndex(({ job: { jobId } }) => jobId === guestId)
      return { guest: view[place]?.decision ?? null, ahead: Math.max(0, place) }
    },

    async waitSeconds(guest) {
      if (jobs.count() > lookedThroughMax) return null
      const { guest: prospect } = await this.viewWith(guest)
      if (prospect?.placement) return 0
      return prospect?.estimatedStart ? Math.max(0, Math.round((prospect.estimatedStart.getTime() - clock().getTime()) / 1000)) : null
    },
  }

  async function pass(signal: AbortSignal): Promise<void> {
    await evictions.evictDue()
    const situation = await observe()
    if (!situation) return
    const decisions = placeJobs(situation)
    for (const { jobId, victims } of decisions) if (victims.length > 0) await evictions.giveWay(jobId, victims)
    for (const { jobId, placement } of decisions.filter((decision) => decision.placement).slice(0, startsMax)) {
      if (!placement || signal.aborted) continue
      const job = await beginAttempt({ store, database, settings }, jobId, placement)
      if (job) attempts.launch(job)
      // What we hold of it is not what the record says.
      else jobs.forget()
    }
  }

  async function look(guest?: Waiting): Promise<QueueView['view']> {
    const situation = await observe(guest)
    if (!situation) return []
    const { queue, running, machines, now } = situation
    const byId = new Map(queue.map((job) => [job.jobId, job]))
    const decisions = placeJobs(situation)
    // What starts now holds its place before all others; of a job whose tenant has what it may have, nothing is known.
    const inOrderOfStart = [
      ...decisions.filter(({ placement }) => placement),
      ...decisions.filter(({ placement, blockers }) => !placement && !blockers.some(({ kind }) => kind === 'QUOTA')),
    ]
    const starts = estimateStarts(
      inOrderOfStart.flatMap(({ jobId }) => byId.get(jobId) ?? []),
      running,
      machines,
      now,
    )
    return decisions.flatMap(({ blockers, ...decision }) => {
      const job = byId.get(decision.jobId)
      if (!job) return []
      const estimatedStart = starts.get(decision.jobId) ?? null
      return [
        {
          job,
          decision: { ...decision, estimatedStart, blockers: blockers.map((blocker) => expected(blocker, decision.jobId, starts)) },
        },
      ]
    })
  }

  /** All that a pass looks at; null where nothing waits. */
  async function observe(guest?: Waiting): Promise<Situation | null> {
    const waiting = await jobs.list()
    const queue = guest ? [...waiting, guest] : waiting
    if (queue.length === 0) return null
    const now = clock()
    const [inventory, running, promised] = await Promise.all([
      readInventory(engine, database),
      readRunning(database, now),
      evictions.promised(),
    ])
    const machines = toMachines(inventory)
    return { queue, machines, running, now, limitsOf, usage: await usage.of(running, now), preemption, promised }
  }
}
