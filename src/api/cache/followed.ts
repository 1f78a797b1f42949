import { compareCursors, parseCursor } from '../../contract/cursor.js'
import { Failure } from '../../contract/failure.js'
import type { Job__Output } from '../../generated/proto/scaimind/v1/Job.js'
import type { JobEvent__Output } from '../../generated/proto/scaimind/v1/JobEvent.js'
import { type Database, type Transaction, transaction } from './database.js'
import { writeJobs } from './job-writes.js'

/** What the follower of job events writes. All instances share one cursor: what lies before it is in the cache, whoever put it there. */
export interface FollowedJobs {
  /** Where to go on from; empty: the cache has to be loaded anew. */
  cursor(): Promise<string>
  /** Applies events and moves the cursor to the last of them, both or neither. A job that cannot be kept is left out and told to `onLost`: it must not hold up all others. */
  apply(events: readonly JobEvent__Output[]): Promise<void>
  /** Writes a page of a listing; a job that cannot be kept is left out, too. */
  load(jobs: readonly Job__Output[]): Promise<void>
  /** Ends a listing: drops jobs that it did not show and that nobody wrote since `startedAt`, and sets the cursor. */
  loaded(seen: ReadonlySet<string>, startedAt: Date, cursor: string): Promise<void>
}

const rowId = 1

/** The queries of the follower. */
export function followedJobs(database: Database, onLost: (jobId: string, error: unknown) => void): FollowedJobs {
  const applyAll = (events: readonly JobEvent__Output[]) =>
    transaction(database, async (tx) => {
      const last = new Map(events.map((event) => [event.job_id, event]))
      const written = events.flatMap(({ job, job_id }) => (job && last.get(job_id)?.type !== 'DELETED' ? [job] : []))
      const deleted = [...last.values()].filter(({ type }) => type === 'DELETED').map(({ job_id }) => job_id)
      await moveCursor(tx, events.at(-1)?.cursor ?? '')
      await writeJobs(tx, written, new Date())
      if (deleted.length > 0) await tx.job.deleteMany({ where: { jobId: { in: deleted } } })
    })
  const writeAll = (jobs: readonly Job__Output[]) => transaction(database, (tx) => writeJobs(tx, jobs, new Date()))

  /** Does the work for all, or where that fails for a reason of the data, for each, leaving out those for which it fails alone. */
  async function orEach<Item>(
    items: readonly Item[],
    work: (items: readonly Item[]) => Promise<void>,
    leaveOut: (item: Item, error: unknown) => Promise<void>,
  ) {
    try {
      await work(items)
    } catch (error) {
      // A database that is away has nothing to do with what is written.
      if (error instanceof Failure) throw error
      for (const item of items) {
        await work([item]).catch(async (alone: unknown) => {
          if (alone instanceof Failure) throw alone
          await leaveOut(item, alone)
        })
      }
    }
  }

  return {
    cursor: async () => (await database.followState.findUnique({ where: { id: rowId } }))?.cursor ?? '',

    apply: (events) =>
      orEach(events, applyAll, async ({ job_id, cursor }, error) => {
        await transaction(database, (tx) => moveCursor(tx, cursor))
        onLost(job_id, error)
      }),

    load: (jobs) => orEach(jobs, writeAll, async ({ job_id }, error) => onLost(job_id, error)),

    async loaded(seen, startedAt, cursor) {
      const before = await database.job.findMany({ where: { syncedAt: { lt: startedAt } }, select: { jobId: true } })
      const gone = before.map(({ jobId }) => jobId).filter((jobId) => !seen.has(jobId))
      for (let start = 0; start < gone.length; start += 500) {
        await database.job.deleteMany({ where: { jobId: { in: gone.slice(start, start + 500) }, syncedAt: { lt: startedAt } } })
      }
      const heardAt = new Date()
      await database.followState.upsert({ where: { id: rowId }, create: { id: rowId, cursor, heardAt }, update: { cursor, heardAt } })
    },
  }
}

async function moveCursor(tx: Transaction, cursor: string): Promise<void> {
  const heardAt = new Date()
  await tx.$executeRaw`INSERT IGNORE INTO follow_state (id, \`cursor\`, heard_at) VALUES (${rowId}, '', ${heardAt})`
  const [row] = await tx.$queryRaw<{ cursor: string }[]>`SELECT \`cursor\` FROM follow_state WHERE id = ${rowId} FOR UPDATE`
  const at = row?.cursor ? parseCursor(row.cursor, 'events', '*') : undefined
  if (at && compareCursors(parseCursor(cursor, 'events', '*'), at) <= 0) return
  await tx.followState.update({ where: { id: rowId }, data: { cursor, heardAt } })
}
