import { setTimeout as delay } from 'node:timers/promises'
import type { JobChanges } from '../records/changes.js'
import type { Log } from '../records/log.js'

/** A look at the queue where no change called for one: times that come, nodes that come back. */
const tickMs = 1000
/** A pass that takes longer is followed by a rest as long as itself: changes that come meanwhile are seen together. */
const shortMs = 20

/** Looks at the queue, one pass after the other: after every change that may free or fill a place, and from time to time. */
export function passes({ changes, log, pass }: { changes: JobChanges; log: Log; pass: (signal: AbortSignal) => Promise<void> }) {
  const closing = new AbortController()
  let isDue = true
  let wake = () => {}

  return {
    start(): { close(): Promise<void> } {
      const stopListening = changes.listen('*', ({ weighty }) => {
        if (!weighty) return
        isDue = true
        wake()
      })
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
  }

  async function run(): Promise<void> {
    while (!closing.signal.aborted) {
      isDue = false
      const began = performance.now()
      await pass(closing.signal).catch((error: unknown) => log.warn({ err: error }, 'the queue could not be looked at'))
      const took = performance.now() - began
      if (took > shortMs) await delay(Math.min(took, tickMs), undefined, { signal: closing.signal }).catch(() => {})
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
}
