import { setTimeout as delay } from 'node:timers/promises'
import { Failure } from '../../../contract/failure.js'
import type { Engine } from '../../engines/engine.js'
import { type Database, transact } from '../records/database.js'

/** What was decided about a node: why it drains, and when what still runs there is evicted; null: never. */
export interface Drain {
  reason: string
  evictAt: Date | null
}

const shownWithinMs = 10_000
const lookMs = 100

/**
 * Drains and enables nodes. What is decided is on record first. Where the engine keeps drains itself, it is told then, and from the moment that it has shown the
 * drain its word counts: a node that an administrator enables there is enabled, and what we had on record is forgotten.
 */
export function nodeControl({ engine, database, clock }: { engine: Engine; database: Database; clock: () => Date }) {
  const control = engine.nodeControl

  return {
    /** Resolves when the engine shows the node as draining. Throws BACKEND_TIMEOUT where it does not within 10 s; it is told again then until it does. */
    async drain(nodeId: string, { reason, evictAt }: Drain): Promise<void> {
      const row = { draining: true, confirmed: false, reason: reason.slice(0, 1000), evictAt, updatedAt: clock() }
      await transact(database, async (tx) => {
        // Every change of a job holds this row to its end: so no attempt begins on the node after the drain is on record.
        await tx.$queryRaw`SELECT value FROM event_counter WHERE id = 1 FOR UPDATE`
        await tx.node.upsert({ where: { nodeId }, create: { nodeId, ...row }, update: row })
      })
      if (!control) return
      await control.drain(nodeId, row.reason)
      await untilShown(nodeId, true)
      await confirm(nodeId, row.updatedAt)
    },

    /** Resolves when the engine shows the node as enabled; what it was blamed for is forgotten. Throws BACKEND_TIMEOUT where it does not within 10 s. */
    async enable(nodeId: string): Promise<void> {
      await forget(nodeId)
      if (!control) return
      await control.enable(nodeId)
      await untilShown(nodeId, false)
    },

    /** Brings our record and the engine's together: tells it what it has not shown yet, and forgets what an administrator ended there. */
    async settle(): Promise<void> {
      if (!control) return
      const rows = await database.node.findMany({ where: { draining: true } })
      if (rows.length === 0) return
      const nodes = await engine.nodes()
      for (const { nodeId, confirmed, reason, updatedAt } of rows) {
        const node = nodes.find((candidate) => candidate.nodeId === nodeId)
        if (!node) continue
        if (node.draining) {
          if (!confirmed) await confirm(nodeId, updatedAt)
        } else if (confirmed) await forget(nodeId, updatedAt)
        else await control.drain(nodeId, reason)
      }
    },
  }

  async function untilShown(nodeId: string, draining: boolean): Promise<void> {
    const deadline = performance.now() + shownWithinMs
    while ((await engine.nodes()).some((node) => node.nodeId === nodeId && node.draining !== draining)) {
      if (performance.now() > deadline) {
        throw new Failure(
          'BACKEND_TIMEOUT',
          `${engine.name} was told, but does not show node ${nodeId} ${draining ? 'as draining' : 'enabled'} yet.`,
        )
      }
      await delay(lookMs)
    }
  }

  /** Nothing where it was decided anew meanwhile. */
  async function confirm(nodeId: string, updatedAt: Date): Promise<void> {
    await transact(database, (tx) => tx.node.updateMany({ where: { nodeId, updatedAt, confirmed: false }, data: { confirmed: true } }))
  }

  async function forget(nodeId: string, updatedAt?: Date): Promise<void> {
    await transact(database, async (tx) => {
      const { count } = await tx.node.deleteMany({ where: { nodeId, ...(updatedAt ? { updatedAt } : {}) } })
      if (count > 0 || !updatedAt) await tx.nodeBlame.deleteMany({ where: { nodeId } })
    })
  }
}

/** Drains and enables nodes. */
export type NodeControl = ReturnType<typeof nodeControl>
