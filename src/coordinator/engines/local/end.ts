import { watch } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { readExit } from '../attempt-folder.js'
import type { AttemptEnd } from '../engine.js'
import type { AttemptProcesses } from './handle.js'
import { isRunning, isTrainerGroupAlive, killCarriers, killTrainerGroup } from './processes.js'

/** How an attempt ended, as far as its processes tell. */
export interface ProcessesEnd extends Omit<AttemptEnd, 'time' | 'verdict'> {
  /** Null where nobody was there to see it. */
  time: Date | null
}

/** How often to look all the same: notifications can be missed, and nobody tells of a launcher's death. Elsewhere than on Linux each look starts a process. */
const pollMs = process.platform === 'linux' ? 250 : 2000

/**
 * Waits until an attempt's processes are proven dead: `exit.json` is there and the trainer's group is not. Where the launcher is dead and
 * told nothing, what is left of the trainer is killed, since nobody hears it any more, and the attempt is lost. Answers null where the
 * signal aborts first.
 */
export async function untilEnd(
  directory: string,
  { launcher, trainer }: AttemptProcesses,
  signal: AbortSignal,
): Promise<ProcessesEnd | null> {
  const exitFile = watchFor(directory, 'exit.json')
  try {
    while (!signal.aborted) {
      const isLauncherAlive = isRunning(launcher)
      const isTrainerAlive = trainer !== null && isTrainerGroupAlive(trainer, directory)
      // Read after the look at the launcher: one that has ended has written it, if ever.
      const exit = await readExit(directory)
      if (exit && !isTrainerAlive) return { time: exit.time, exitCode: exit.code, signal: exit.signal ?? '', lost: false }
      // While the launcher lives, these are its own to kill.
      const carriers = isLauncherAlive || exit ? 0 : killCarriers(directory)
      if (!isLauncherAlive && !isTrainerAlive && carriers === 0) return { time: null, exitCode: null, signal: '', lost: true }
      if (!isLauncherAlive && trainer) killTrainerGroup(trainer, directory)
      await exitFile.changed(isLauncherAlive && !exit ? pollMs : 20, signal)
    }
    return null
  } finally {
    exitFile.close()
  }
}

function watchFor(directory: string, name: string) {
  let wake = () => {}
  let watcher: ReturnType<typeof watch> | undefined
  try {
    watcher = watch(directory, { persistent: false }, (_event, file) => {
      if (file === name) wake()
    })
    watcher.on('error', () => watcher?.close())
  } catch {
    // No watches left, or no such folder any more: looking from time to time is enough.
  }
  return {
    async changed(timeoutMs: number, signal: AbortSignal): Promise<void> {
      const timer = new AbortController()
      const stop = () => timer.abort()
      signal.addEventListener('abort', stop)
      wake = stop
      await delay(timeoutMs, undefined, { signal: timer.signal, ref: false }).catch(() => {})
      signal.removeEventListener('abort', stop)
    },
    close: () => watcher?.close(),
  }
}
