import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../jobs/records/log.js'
import type { Lease } from './lease.js'

/** How often a standby looks whether it may take over. */
const lookEveryMs = 1000

/** What takes turns. */
export interface TurnsOptions {
  /** Null where another has the lease. */
  take(): Promise<Lease | null>
  /** Begins to be the active one; what it answers is closed when the lease is lost, or before it is given back. */
  begin(lease: Lease): Promise<{ close(): Promise<void> }>
  log: Log
}

interface Turn {
  lease: Lease
  work: { close(): Promise<void> }
}

/**
 * Is the active coordinator whenever it has the lease, the standby whenever not. Resolves after the first look, as one or the other; rejects where that
 * look, or beginning, fails. Later ones that fail are tried again.
 */
export async function takeTurns({ take, begin, log }: TurnsOptions): Promise<{ close(): Promise<void> }> {
  const closing = new AbortController()
  const { signal } = closing

  async function tryTurn(): Promise<Turn | null> {
    const lease = await take()
    if (!lease) return null
    try {
      return { lease, work: await begin(lease) }
    } catch (error) {
      await lease.release()
      throw error
    }
  }

  async function serve({ lease, work }: Turn): Promise<void> {
    const isOver = AbortSignal.any([lease.lost, signal])
    if (!isOver.aborted) await once(isOver, 'abort')
    await work.close()
    await lease.release()
  }

  async function run(first: Turn | null): Promise<void> {
    for (let turn = first; ; ) {
      if (turn) await serve(turn).catch((error: unknown) => log.error({ err: error }, 'the work of the active coordinator ended badly'))
      if (signal.aborted) return
      await delay(lookEveryMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      turn = await tryTurn().catch((error: unknown) => {
        log.warn({ err: error }, 'this coordinator could not become the active one; trying again')
        return null
      })
    }
  }

  const running = run(await tryTurn())
  return {
    async close() {
      closing.abort()
      await running
    },
  }
}
