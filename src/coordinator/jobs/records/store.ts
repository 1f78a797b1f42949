import { isTerminal, type JobStatus } from '../../../contract/statuses.js'
import type { Job, Prisma } from '../../../generated/prisma/coordinator/client.js'
import type { JobChanges } from './changes.js'
import { type Database, type Transaction, transact } from './database.js'
import { statusAfter, type Transition } from './lifecycle.js'
import { type JobRecord, statusOf, toJobMessage } from './record.js'

/** One change of a job: it raises the revision by one and becomes one event. */
export interface Step {
  /** What happened, in the lifecycle's words; without it the status stays. */
  happened?: Transition
  /** One sentence on the new state, for the job and the event. Without it the job's stays. */
  message?: string
  /** Columns that change with it. */
  set?: Partial<Omit<Job, 'jobId' | 'tenantId' | 'status' | 'revision' | 'message' | 'updatedAt'>>
}

/** What is to be changed, in one transaction. */
export interface Change {
  steps: Step[]
  /** Changes of other tables that belong to it: attempts, checkpoints, idempotency. */
  effects?: (tx: Transaction) => Promise<unknown>
  /** What is written about the changed job, last of all. */
  remember?: (tx: Transaction, job: JobRecord) => Promise<unknown>
}

/** The jobs of record. */
export interface JobStore {
  /** Takes in a new job: the row as it is PENDING, then the steps. */
  create(job: Prisma.JobCreateInput, change: Change): Promise<JobRecord>
  /**
   * Changes a job. `decide` sees it locked and answers what changes, or null for nothing; it may be asked again where the database broke the
   * transaction off. Answers the job as it is then; null where there is none.
   */
  change(jobId: string, decide: (job: JobRecord, now: Date) => Change | null): Promise<JobRecord | null>
  /**
   * Deletes a job's record with its attempts, checkpoints and earlier events, and tells it by a DELETED event. `keep` sees it locked and may say
   * why it is to stay. Answers that reason, '' where it is deleted, or null where there was none.
   */
  remove(jobId: string, keep: (job: JobRecord, tx: Transaction) => Promise<string>): Promise<string | null>
  /** One job. */
  find(jobId: string): Promise<JobRecord | null>
  /** Those that exist of some, in no particular order. */
  findAll(where: Prisma.JobWhereInput): Promise<JobRecord[]>
}

const withAttempts = { attempts: { orderBy: { number: 'asc' } } } as const satisfies Prisma.JobInclude

/** Every change of a job goes through here: row, revision and numbered event in one transaction, and only then word of it to listeners. */
export function jobStore({ database, changes, clock }: { database: Database; changes: JobChanges; clock: () => Date }): JobStore {
  return {
    async create(data, change) {
      const created = await transact(database, async (tx) => {
        const job = await tx.job.create({ data, include: withAttempts })
        const accepted = eventOf(job, { type: 'SUBMITTED', from: 'JOB_STATUS_UNSPECIFIED', message: job.message, now: clock() })
        return await apply(tx, job, change, clock(), [accepted])
      })
      publish(created)
      return created.job
    },

    async change(jobId, decide) {
      const changed = await transact(database, async (tx) => {
        // The job's row first, the counter's row last: one order for all, so nobody waits in a circle.
        const locked = await tx.$queryRaw<unknown[]>`SELECT job_id FROM job WHERE job_id = ${jobId} FOR UPDATE`
        if (locked.length === 0) return null
        const job = await tx.job.findUniqueOrThrow({ where: { jobId }, include: withAttempts })
        const now = clock()
        const change = decide(job, now)
        return change ? await apply(tx, job, change, now, []) : { job, sequence: null, weighty: false }
      })
      if (changed) publish(changed)
      return changed?.job ?? null
    },

    async remove(jobId, keep) {
      const removed = await transact(database, async (tx) => {
        const locked = await tx.$queryRaw<unknown[]>`SELECT job_id FROM job WHERE job_id = ${jobId} FOR UPDATE`
        if (locked.length === 0) return null
        const job = await tx.job.findUniqueOrThrow({ where: { jobId }, include: withAttempts })
        const reason = await keep(job, tx)
        if (reason !== '') return { job, reason, sequence: 0n }
        await tx.jobEvent.deleteMany({ where: { jobId } })
        await tx.idempotencyRecord.deleteMany({ where: { jobId } })
        // What its attempts ran still counts against its tenant.
        await tx.$executeRaw`
          INSERT INTO past_usage (job_id, number, tenant_id, gpus, share, started_at, finished_at)
          SELECT job_id, number, ${job.tenantId}, gpus, share, started_at, finished_at FROM attempt
          WHERE job_id = ${jobId} AND started_at IS NOT NULL AND finished_at IS NOT NULL`
        await tx.job.delete({ where: { jobId } })
        const deleted = eventOf(job, { type: 'DELETED', from: statusOf(job), message: 'Deleted.', now: clock() })
        const sequence = await takeNumbers(tx, 1)
        await tx.jobEvent.create({ data: { ...deleted, job: null, sequence } })
        return { job, reason: '', sequence }
      })
      if (!removed) return null
      const { job, reason, sequence } = removed
      if (reason === '') publish({ job: { ...job, revision: job.revision + 1n }, sequence, weighty: false })
      return reason
    },

    find: (jobId) => database.job.findUnique({ where: { jobId }, include: withAttempts }),
    findAll: (where) => database.job.findMany({ where, include: withAttempts }),
  }

  function publish({ job, sequence, weighty }: Applied): void {
    if (sequence !== null) changes.publish({ job, sequence, weighty })
  }
}

interface Applied {
  job: JobRecord
  sequence: bigint | null
  weighty: boolean
}

type NewEvent = Omit<Prisma.JobEventCreateManyInput, 'sequence'>

async function apply(
  tx: Transaction,
  job: JobRecord,
  { steps, effects, remember }: Change,
  now: Date,
  events: NewEvent[],
): Promise<Applied> {
  await effects?.(tx)
  let current = job
  if (effects) current = { ...job, attempts: await tx.attempt.findMany({ where: { jobId: job.jobId }, orderBy: { number: 'asc' } }) }
  for (const step of steps) {
    const from = statusOf(current)
    current = afterStep(current, step, now)
    const type = step.happened ? 'STATUS_CHANGED' : 'UPDATED'
    events.push(eventOf(current, { type, from, message: step.message ?? '', now }))
  }
  if (events.length === 0) return { job: current, sequence: null, weighty: false }
  const { jobId, attempts: _, ...columns } = current
  await tx.job.update({ where: { jobId }, data: columns })
  const last = await takeNumbers(tx, events.length)
  const first = last - BigInt(events.length) + 1n
  await tx.jobEvent.createMany({ data: events.map((event, index) => ({ ...event, sequence: first + BigInt(index) })) })
  await remember?.(tx, current)
  const weighty = current.status !== job.status || current.wanted !== job.wanted || current.priority !== job.priority || events.length > 1
  return { job: current, sequence: last, weighty }
}

function afterStep(job: JobRecord, { happened, message, set }: Step, now: Date): JobRecord {
  const next: JobRecord = { ...job, ...set, revision: job.revision + 1n, updatedAt: now }
  if (message !== undefined) next.message = message.slice(0, 1000)
  if (!happened) return next
  next.status = statusAfter(happened, statusOf(job))
  next.finishedAt = isTerminal(statusOf(next)) ? now : null
  const keepsItsAge = happened === 'placeLost' || happened === 'requeued' || happened === 'triedAgain'
  if (next.status === 'QUEUED' && !(keepsItsAge && next.queuedAt)) next.queuedAt = now
  return next
}

function eventOf(
  job: JobRecord,
  { type, from, message, now }: { type: string; from: JobStatus | 'JOB_STATUS_UNSPECIFIED'; message: string; now: Date },
): NewEvent {
  return {
    tenantId: job.tenantId,
    jobId: job.jobId,
    type,
    fromStatus: from === 'JOB_STATUS_UNSPECIFIED' ? '' : from,
    toStatus: job.status,
    message: message.slice(0, 1000),
    attempt: job.attempt,
    time: now,
    job: JSON.stringify(toJobMessage(job, now)),
  }
}

/** Numbers for so many events; answers the last. The counter's row stays locked until the transaction ends, so number order is commit order. */
async function takeNumbers(tx: Transaction, count: number): Promise<bigint> {
  await tx.$executeRaw`UPDATE event_counter SET value = value + ${count} WHERE id = 1`
  const counter = await tx.eventCounter.findUniqueOrThrow({ where: { id: 1 } })
  return counter.value
}
