import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'

/** Wakes one who waits. What rings while nobody waits is heard by the next who does. */
export interface Bell {
  ring(): void
  /** Resolves when it rings or rang, or after the time. */
  heard(timeoutMs: number): Promise<void>
  /** Resolves when someone has listened since. */
  listenedTo(): Promise<void>
}

/** A bell that has not rung. */
export function newBell(): Bell {
  let rung = false
  let wake = () => {}
  let listened: (() => void)[] = []
  return {
    listenedTo: () => new Promise((resolve) => listened.push(resolve)),
    ring() {
      rung = true
      wake()
    },
    async heard(timeoutMs) {
      if (!rung) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, timeoutMs)
          wake = () => {
            clearTimeout(timer)
            resolve()
          }
        })
        wake = () => {}
      }
      rung = false
      const told = listened
      listened = []
      for (const resolve of told) resolve()
    },
  }
}

/** Rings when the file changes or appears. Its folder may be missing at first; call `arm` before each wait. Notifications can be missed, so a wait needs a time too. */
export function ringOnChange(path: string, bell: Bell): { arm(): void; close(): void } {
  const name = basename(path)
  let watcher: FSWatcher | undefined
  return {
    arm() {
      if (watcher) return
      try {
        watcher = watch(dirname(path), { persistent: false }, (_event, file) => {
          if (file === null || file === name) bell.ring()
        })
        watcher.on('error', () => {
          watcher?.close()
          watcher = undefined
        })
        // What changed before the watch began is not told by it.
        bell.ring()
      } catch {
        // No such folder yet, or no watches left.
      }
    },
    close: () => watcher?.close(),
  }
}

/** Rings at every change until the signal aborts, and then once more. */
export function ringOnEach(changed: (signal: AbortSignal) => Promise<void>, bell: Bell, signal: AbortSignal): void {
  signal.addEventListener('abort', () => bell.ring(), { once: true })
  const listen = async () => {
    while (!signal.aborted) {
      await changed(signal)
      bell.ring()
      // A change may be told until someone looks at it: to ask again before would go round and round.
      await bell.listenedTo()
    }
  }
  // Whoever cannot tell of changes any more is asked for the state from time to time.
  listen().catch(() => {})
}
