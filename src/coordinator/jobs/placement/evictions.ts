import { isActive } from '../../../contract/statuses.js'
import type { Database } from '../records/database.js'
import { currentAttempt, nodesOf, statusOf } from '../records/record.js'
import type { JobStore } from '../records/store.js'
import type { NodeControl } from './node-control.js'

/**
 * Moves jobs away from nodes that are drained with `evict`, or whose deadline has passed. What is intended is written at the attempt first; whoever looks
 * after the attempt then asks its trainer to save and stop, in this life of the coordinator or a later one.
 */
export function nodeEvictions({
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
    /** Asks every attempt on nodes that are due. Repeating it asks nobody twice. */
    async evictDue(): Promise<void> {
      await control.settle()
      const due = await database.node.findMany({ where: { draining: true, evictAt: { lte: clock() } } })
      if (due.length === 0) return
      const reasons = new Map(due.map(({ nodeId, reason }) => [nodeId, reason]))
      const running = await database.attempt.findMany({ where: { finishedAt: null, evicted: null } })
      for (const attempt of running) {
        const nodeId = nodesOf(attempt).find((id) => reasons.has(id))
        if (nodeId !== undefined) await evict(attempt.jobId, attempt.number, nodeId, reasons.get(nodeId) ?? '')
      }
    },
  }

  async function evict(jobId: string, number: number, nodeId: string, why: string): Promise<void> {
    const evicted = `Node ${nodeId} is drained${why ? `: ${why}` : ''}.`.slice(0, 1000)
    await store.change(jobId, (job) => {
      const attempt = currentAttempt(job)
      // Who is cancelled or paused gives its place back anyway.
      if (job.attempt !== number || !attempt || attempt.finishedAt || attempt.evicted !== null) return null
      if (job.wanted !== 'RUN' || !isActive(statusOf(job))) return null
      return {
        steps: [{ message: `${evicted} Saves and gives its place back.`, set: { saveCheckpoint: true } }],
        effects: (tx) => tx.attempt.update({ where: { jobId_number: { jobId, number } }, data: { evicted } }),
      }
    })
  }
}

/** Evictions. */
export type NodeEvictions = ReturnType<typeof nodeEvictions>
