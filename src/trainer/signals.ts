import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The exit code of a trainer that was asked to stop and did. */
export const STOPPED = 85

/** Thrown to leave a run that was asked to stop, once what was to be saved is saved. */
export class Stopped extends Error {}

/** What was asked from outside. */
export interface Requests {
  /** Whether SIGTERM came; then the run saves, unless `stop.json` says no, and ends. */
  stop: boolean
  /** Whether to save before stopping. */
  saveOnStop: boolean
  /** Whether SIGUSR1 came since `takeCheckpoint` was last asked. */
  takeCheckpoint(): boolean
}

/**
 * Listens to SIGUSR1 (save and go on) and SIGTERM (save and exit with 85). A second SIGTERM calls `leave` at once: it is noticed only
 * between steps, so nothing is being written. Standard output that nobody reads any more counts as SIGTERM.
 */
export function listenForRequests(directory: string, leave: () => void): Requests {
  let checkpointWanted = false
  const requests: Requests = {
    stop: false,
    saveOnStop: true,
    takeCheckpoint: () => {
      const wanted = checkpointWanted
      checkpointWanted = false
      return wanted
    },
  }
  process.on('SIGUSR1', () => {
    checkpointWanted = true
  })
  process.on('SIGTERM', () => {
    if (requests.stop) leave()
    requests.stop = true
    requests.saveOnStop = saveWanted(directory)
  })
  // Whoever read the log is gone, and with it whoever would notice the end: save and stop rather than run unseen.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', () => {
      requests.stop = true
    })
  }
  return requests
}

/** Lets signals be noticed: the numeric work blocks the thread. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function saveWanted(directory: string): boolean {
  try {
    const stop = JSON.parse(readFileSync(join(directory, 'stop.json'), 'utf8')) as { save_checkpoint?: unknown }
    return stop.save_checkpoint !== false
  } catch {
    // No such file, or one that cannot be read: saving is the safe answer.
    return true
  }
}
