import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from './log.js'

const longestPauseMs = 5000

/**
 * Does work that must come about, again and again while it fails, as when the database is away for a while. The work must be safe to
 * repeat. Rejects only once the signal aborts.
 */
export async function persist<Result>(
  { signal, log, what }: { signal: AbortSignal; log: Log; what: string },
  work: () => Promise<Result>,
): Promise<Result> {
  for (let pauseMs = 100; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    try {
      return await work()
    } catch (error) {
      signal.throwIfAborted()
      log.warn({ err: error }, `${what} failed; trying again in ${pauseMs} ms`)
      await delay(pauseMs, undefined, { signal })
    }
  }
}
