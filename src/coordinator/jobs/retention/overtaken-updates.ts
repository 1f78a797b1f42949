import { setTimeout as delay } from 'node:timers/promises'
import { type Database, transact } from '../records/database.js'
import type { Log } from '../records/log.js'

/** What the retention of updates works on. */
export interface OvertakenUpdatesOptions {
  database: Database
  /** Younger updates stay. */
  keptMs: number
  log: Log
  clock: () => Date
}

interface Update {
  sequence: bigint | number
  time: Date
  /** The newest event of its job. */
  newest: bigint | number
}

/** Events a query. */
const pageLength = 1000
const intervalMs = 60_000

/**
 * Deletes updates (progress, labels and the like) that a later event of the same job has overtaken, once they are old. Every event carries the
 * whole job, so that nothing of its state goes with them. Changes of state and the newest event of each job stay: who follows from any cursor
 * ends with each job as it is.
 */
export function overtakenUpdates({ database, keptMs, log, clock }: OvertakenUpdatesOptions) {
  /** Looks through the old updates once, oldest first. Answers how many it deleted; ends early, without rejecting, when the signal aborts. */
  async function deleteOld(signal: AbortSignal): Promise<number> {
    const before = new Date(clock().getTime() - keptMs)
    let deleted = 0
    let after = -1n
    while (!signal.aborted) {
      const startedAt = performance.now()
      const page = await readPage(after)
      const old = page.filter(({ time }) => time < before)
      const overtaken = old.filter(({ sequence, newest }) => sequence < newest).map(({ sequence }) => BigInt(sequence))
      if (overtaken.length > 0) {
        // What was overtaken stays so: nothing needs to be locked between looking and deleting.
        const { count } = await transact(database, (tx) => tx.jobEvent.deleteMany({ where: { sequence: { in: overtaken } } }))
        deleted += count
      }
      // Numbers rise with time: where a whole page is young, so is the rest.
      if (page.length < pageLength || old.length === 0) break
      after = BigInt(page.at(-1)?.sequence ?? after)
      // However much there is to delete, half of the time is for others.
      await delay(performance.now() - startedAt, undefined, { signal }).catch(() => {})
    }
    return deleted
  }

  async function readPage(after: bigint): Promise<Update[]> {
    // The newest is looked for from the end of the job's events, not from their beginning, of which there may be a million.
    return await database.$queryRaw<Update[]>`
      SELECT sequence, time,
        (SELECT later.sequence FROM job_event later WHERE later.job_id = job_event.job_id ORDER BY later.sequence DESC LIMIT 1) AS newest
      FROM job_event FORCE INDEX (job_event_updates)
      WHERE type = 'UPDATED' AND sequence > ${after} ORDER BY sequence LIMIT ${pageLength}`
  }

  return {
    deleteOld,

    /** Does so now, and then every minute until it is closed. */
    start(): { close(): Promise<void> } {
      const closing = new AbortController()
      const { signal } = closing
      const running = (async () => {
        while (!signal.aborted) {
          await deleteOld(signal).catch((error: unknown) => log.warn({ err: error }, 'old updates of jobs could not be deleted'))
          await delay(intervalMs, undefined, { signal, ref: false }).catch(() => {})
        }
      })()
      return {
        async close() {
          closing.abort()
          await running
        },
      }
    },
  }
}
