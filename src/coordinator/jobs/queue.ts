import { randomBytes } from 'node:crypto'
import type { Engine, Placement } from '../engines/engine.js'
import type { AttemptKeeper } from './attempts.js'
import type { JobChanges } from './changes.js'
import { completeCheckpoints } from './checkpoints.js'
import type { Database } from './database.js'
import { readInventory, toMachines } from './inventory.js'
import { canHappen } from './lifecycle.js'
import type { Log } from './log.js'
import { earliestStart, needsOf } from './needs.js'
import { type Decision, placeJobs, type Waiting } from './place.js'
import { type JobRecord, specOf, statusOf, storePlacement } from './record.js'
import type { JobStore } from './store.js'

/** What the queue needs. */
export interface QueueOptions {
  store: JobStore
  database: Database
  changes: JobChanges
  engine: Engine
  attempts: AttemptKeeper
  log: Log
  clock: () => Date
}

/** What waits, in the order it would start, with what becomes of it now. */
export type QueueView = { job: JobRecord; decision: Decision }[]

/** A look at the queue where no change called for one: times that come, nodes that come back. */
const tickMs = 1000

/** Gives waiting jobs their places: looks at every change that may free or fill one, and from time to time. */
export function jobQueue({ store, database, changes, engine, attempts, log, clock }: QueueOptions) {
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
    /** Looks at the queue without giving places. `guest` is a job that is not in it, seen as if it were. */
    view: async (guest?: Waiting): Promise<{ view: QueueView; guest: Decision | null; ahead: number }> => {
      const { jobs, decisions } = await decide(guest)
      const view = decisions.flatMap((decision) => {
        const job = jobs.find(({ jobId }) => jobId === decision.jobId)
        return job ? [{ job, decision }] : []
      })
      const place = decisions.findIndex(({ jobId }) => jobId === guest?.jobId)
      return { view, guest: decisions[place] ?? null, ahead: Math.max(0, place) }
    },
    /** Positions of the waiting jobs, from 1. */
    async positions(): Promise<Map<string, number>> {
      const rows = await database.job.findMany({
        where: { status: 'QUEUED' },
        orderBy: [{ priority: 'desc' }, { queuedAt: 'asc' }, { jobId: 'asc' }],
        select: { jobId: true },
      })
      return new Map(rows.map(({ jobId }, index) => [jobId, index + 1]))
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
    const { decisions } = await decide()
    for (const { jobId, placement } of decisions) {
      if (placement && !closing.signal.aborted) await place(jobId, placement)
    }
  }

  async function decide(guest?: Waiting): Promise<{ jobs: JobRecord[]; decisions: Decision[] }> {
    const jobs = await store.findAll({ status: 'QUEUED' })
    if (jobs.length === 0 && !guest) return { jobs, decisions: [] }
    const inventory = await readInventory(engine, database)
    const waiting = await describe(jobs)
    return { jobs, decisions: placeJobs(guest ? [...waiting, guest] : waiting, toMachines(inventory), clock()) }
  }

  async function describe(jobs: JobRecord[]): Promise<Waiting[]> {
    const specs = new Map(jobs.map((job) => [job.jobId, specOf(job)]))
    const named = [...new Set([...specs.values()].flatMap((spec) => spec.scheduling_config.depends_on))]
    const rows =
      named.length === 0 ? [] : await database.job.findMany({ where: { jobId: { in: named } }, select: { jobId: true, status: true } })
    const pending = new Map(rows.filter(({ status }) => status !== 'COMPLETED').map((row) => [row.jobId, row]))
    return jobs.flatMap((job) => {
      const spec = specs.get(job.jobId)
      if (!spec) return []
      const dependencies = spec.scheduling_config.depends_on.flatMap((id) => pending.get(id) ?? [])
      const { jobId, priority } = job
      const queuedAt = job.queuedAt ?? job.createdAt
      return [{ jobId, priority, queuedAt, notBefore: earliestStart(spec, job.notBefore), dependencies, needs: needsOf(spec) }]
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
