import { isActive } from '../../../contract/statuses.js'
import type { Database } from '../records/database.js'
import { currentAttempt, nodesOf, statusOf } from '../records/record.js'
import { heldReservations } from '../records/reservations.js'
import type { JobStore } from '../records/store.js'
import type { NodeControl } from './node-control.js'

interface Eviction {
  reason: string
  /** The attempt that is meant; else the current one. */
  number?: number
  /** The job that it gives way to. */
  evictedFor?: string
}

/**
 * Has jobs give their places back: those on nodes that are drained with `evict`, or whose deadline has passed, and those that give way to a job of higher priority. What
 * is intended is written at the attempt first; whoever looks after the attempt then asks its trainer to save and stop, in this life of the coordinator or a later one.
 */
export function jobEvictions({
  database,
  store,
  control,
  clock,
}: {
  database: Database
  store: JobStore
  control: NodeControl
  clock: () => Date
}) {
  return {
    /** Asks every attempt that runs, or has GPUs, on nodes that are due. Repeating it asks nobody twice. */
    async evictDue(): Promise<void> {
      await control.settle()
      const due = await database.node.findMany({ where: { draining: true, evictAt: { lte: clock() } } })
      if (due.length === 0) return
      const reasons = new Map(due.map(({ nodeId, reason }) => [nodeId, reason]))
      const running = await database.attempt.findMany({ where: { finishedAt: null, evicted: null } })
      const reserved = await heldReservations(database, { nodeId: { in: [...reasons.keys()] } })
      for (const attempt of running) {
        const held = reserved.find(({ jobId, attempt: number }) => jobId === attempt.jobId && number === attempt.number)
        const nodeId = nodesOf(attempt).find((id) => reasons.has(id)) ?? held?.nodeId
        if (nodeId === undefined) continue
        const why = reasons.get(nodeId)
        await evict(attempt.jobId, { reason: `Node ${nodeId} is drained${why ? `: ${why}` : ''}.`, number: attempt.number })
      }
    },

    /** Asks jobs to give way to another. Who that is, stays with us: it may be another tenant's. Repeating it asks nobody twice. */
    async giveWay(jobId: string, victims: readonly string[]): Promise<void> {
      for (const victim of victims) await evict(victim, { reason: 'Gives way to a job of higher priority.', evictedFor: jobId })
    },

    /** Waiting jobs for which others were asked to give way. */
    async promised(): Promise<Set<string>> {
      const asked = await database.attempt.findMany({
        where: { evictedFor: { not: null } },
        select: { evictedFor: true },
        distinct: ['evictedFor'],
      })
      return new Set(asked.flatMap(({ evictedFor }) => evictedFor ?? []))
    },
  }

  async function evict(jobId: string, { reason, number: only, evictedFor }: Eviction): Promise<void> {
    const evicted = reason.slice(0, 1000)
    await store.change(jobId, (job) => {
      const attempt = currentAttempt(job)
      // Who is cancelled or paused gives its place back anyway.
      if (!attempt || attempt.finishedAt || attempt.evicted !== null || (only !== undefined && attempt.number !== only)) return null
      if (job.wanted !== 'RUN' || !isActive(statusOf(job))) return null
      const { number } = attempt
      return {
        steps: [{ message: `${evicted} Saves and gives its place back.`, set: { saveCheckpoint: true } }],
        effects: (tx) =>
          tx.attempt.update({ where: { jobId_number: { jobId, number } }, data: { evicted, evictedFor: evictedFor ?? null } }),
      }
    })
  }
}

/** Evictions. */
export type Evictions = ReturnType<typeof jobEvictions>
