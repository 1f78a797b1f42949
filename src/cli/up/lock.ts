import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { identify, isRunning, type ProcessIdentity } from '../../database/process-identity.js'
import { CommandFailed, isSystemError } from '../failure.js'

/** Takes a data folder for this process; answers how to give it back. Throws CommandFailed while another `scaimind up` runs on it. */
export function lockDataDir(dataDir: string): () => void {
  return takeLock(
    join(dataDir, 'up.lock'),
    (pid) => `ScaiMind runs on ${dataDir} already (pid ${pid}): stop it, or choose another folder with --data.`,
  )
}

/** Takes a lock file for this process; answers how to give it back. Throws CommandFailed with `refusal` while another process that runs has it. Of several that come at once, one gets it. */
export function takeLock(path: string, refusal: (pid: number) => string): () => void {
  const own = JSON.stringify(identify(process.pid))
  for (;;) {
    try {
      writeFileSync(path, own, { flag: 'wx', mode: 0o600 })
      return () => rmSync(path, { force: true })
    } catch (error) {
      if (!isSystemError(error, 'EEXIST')) throw error
    }
    const holder = readHolder(path)
    if (holder !== undefined && isRunning(holder)) throw new CommandFailed(refusal(holder.pid))
    // Who takes it just now has made the file, and not yet written who it is.
    if (holder === undefined && isYoung(path)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
    else removeStale(path)
  }
}

/** Removes a lock whose holder was killed. It may be another's by now: that is put back. */
function removeStale(path: string): void {
  const moved = `${path}.${process.pid}`
  try {
    renameSync(path, moved)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return
    throw error
  }
  const holder = readHolder(moved)
  if (holder !== undefined && isRunning(holder)) renameSync(moved, path)
  else rmSync(moved, { force: true })
}

const youngMs = 2000

const isYoung = (path: string): boolean => Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) < youngMs

function readHolder(path: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProcessIdentity
  } catch {
    return undefined
  }
}
