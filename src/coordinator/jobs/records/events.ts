import { formatCursor, parseCursor } from '../../../contract/cursor.js'
import { Failure, InvalidInput } from '../../../contract/failure.js'
import { toTimestamp } from '../../../contract/proto.js'
import { isTerminal, type JobStatus } from '../../../contract/statuses.js'
import type { JobEvent } from '../../../generated/prisma/coordinator/client.js'
import type { Job__Output } from '../../../generated/proto/scaimind/v1/Job.js'
import type { JobEvent__Output } from '../../../generated/proto/scaimind/v1/JobEvent.js'
import type { ListJobEventsRequest__Output } from '../../../generated/proto/scaimind/v1/ListJobEventsRequest.js'
import type { JobChanges } from './changes.js'
import type { Database } from './database.js'
import { requireJob } from './read.js'
import { statusOf } from './record.js'
import type { JobStore } from './store.js'

/** Which events. */
export interface FollowEventsOptions {
  /** A tenant, or `*` for all. */
  tenantId: string
  after: string
  /** Only this job's; empty: all. */
  jobId: string
  fromStart: boolean
  /** Ends with the event of this cursor; empty: not for it. */
  until: string
  signal: AbortSignal
}

/** Events of a list. */
const listMax = 1000
/** Events a query. */
const pageLength = 200
/** A look at the table where no word came: word is lost only where another process writes. */
const lookIntervalMs = 5000

/**
 * State changes in commit order, from a cursor, as they are made. One job's end when the job is terminal and all is told; the others end
 * with the signal. Throws CURSOR_INVALID, CURSOR_EXPIRED or JOB_NOT_FOUND before the first.
 */
export function jobEvents({ database, store, changes }: { database: Database; store: JobStore; changes: JobChanges }) {
  return {
    /** Where the events stand now, as a cursor of this tenant's stream (or of `*`). */
    async cursorNow(tenantId: string): Promise<string> {
      return formatCursor({ kind: 'events', topic: tenantId, attempt: 0, sequence: Number(await newest()) })
    },

    /** The newest changes of a job's state, oldest first, without the job itself. Throws JOB_NOT_FOUND, or an InvalidInput for the limit. */
    async list(tenantId: string, { job_id, limit }: ListJobEventsRequest__Output): Promise<JobEvent__Output[]> {
      if (limit > listMax) {
        throw new InvalidInput(
          [{ path: 'limit', message: `At most ${listMax} events can be asked for, not ${limit}.` }],
          'INVALID_ARGUMENT',
        )
      }
      const { jobId } = await requireJob(store, tenantId, job_id)
      const events = await database.jobEvent.findMany({
        where: { jobId, type: { in: ['SUBMITTED', 'STATUS_CHANGED', 'DELETED'] } },
        orderBy: { sequence: 'desc' },
        take: limit || listMax,
        omit: { job: true },
      })
      return events.reverse().map((event) => toEventMessage({ ...event, job: null }, tenantId))
    },

    async *follow({ tenantId, after, jobId, fromStart, until, signal }: FollowEventsOptions): AsyncGenerator<JobEvent__Output> {
      const job = jobId === '' ? null : await requireJob(store, tenantId, jobId)
      let sequence = await start(tenantId, after, fromStart || job !== null)
      const end = until === '' ? null : BigInt(parseCursor(until, 'events', tenantId).sequence)
      const topic = job ? { jobId: job.jobId } : tenantId === '*' ? '*' : { tenantId }
      const word = listenFor(changes, topic, signal)
      try {
        while (!signal.aborted) {
          word.forget()
          // Asked before the events are looked for: what is not among them then never comes.
          const over = (job !== null && (await isOver(job.jobId))) || (end !== null && (await newest()) >= end)
          const events = await database.jobEvent.findMany({
            where: {
              sequence: { gt: sequence, ...(end === null ? {} : { lte: end }) },
              ...(job ? { jobId: job.jobId } : {}),
              ...(tenantId === '*' ? {} : { tenantId }),
            },
            orderBy: { sequence: 'asc' },
            take: pageLength,
          })
          for (const event of events) {
            if (signal.aborted) return
            sequence = event.sequence
            yield toEventMessage(event, tenantId)
          }
          if (events.length > 0) continue
          if (over) return
          await word.heard()
        }
      } finally {
        word.stop()
      }
    },
  }

  /** Nothing more is told of a job that is terminal, or deleted. */
  async function isOver(jobId: string): Promise<boolean> {
    const job = await store.find(jobId)
    return job === null || isTerminal(statusOf(job))
  }

  async function newest(): Promise<bigint> {
    return (await database.eventCounter.findUniqueOrThrow({ where: { id: 1 } })).value
  }

  async function start(topic: string, after: string, fromStart: boolean): Promise<bigint> {
    if (after === '') return fromStart ? -1n : await newest()
    const { sequence } = parseCursor(after, 'events', topic)
    // Such a cursor is from a database that is no more; its holder must begin with a listing again.
    if (BigInt(sequence) > (await newest())) {
      throw new Failure(
        'CURSOR_EXPIRED',
        'after: this cursor lies beyond the newest event; begin again with ListJobs and its snapshot_cursor.',
      )
    }
    return BigInt(sequence)
  }
}

/** Word of changes as something to wait for: none that comes after `forget` is missed by the `heard` that follows. */
function listenFor(changes: JobChanges, topic: Parameters<JobChanges['listen']>[0], signal: AbortSignal) {
  let came = false
  let wake: (() => void) | undefined
  const hear = () => {
    came = true
    wake?.()
  }
  const stop = changes.listen(topic, hear)
  signal.addEventListener('abort', hear, { once: true })
  return {
    forget(): void {
      came = false
    },
    async heard(): Promise<void> {
      if (came || signal.aborted) return
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, lookIntervalMs)
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      wake = undefined
    },
    stop(): void {
      stop()
      signal.removeEventListener('abort', hear)
    },
  }
}

function toEventMessage(event: JobEvent, topic: string): JobEvent__Output {
  return {
    cursor: formatCursor({ kind: 'events', topic, attempt: 0, sequence: Number(event.sequence) }),
    sequence: String(event.sequence),
    tenant_id: event.tenantId,
    job_id: event.jobId,
    type: event.type as JobEvent__Output['type'],
    from_status: (event.fromStatus || 'JOB_STATUS_UNSPECIFIED') as JobStatus,
    to_status: event.toStatus as JobStatus,
    time: toTimestamp(event.time),
    message: event.message,
    attempt: event.attempt,
    job: event.job === null ? null : (JSON.parse(event.job) as Job__Output),
  }
}
