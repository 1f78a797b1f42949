import { readFileSync, rmSync, writeFileSync } from 'node:fs'
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

/** Takes a lock file for this process; answers how to give it back. Throws CommandFailed with `refusal` while another process that runs has it. */
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
    // Left behind by a process that was killed.
    rmSync(path, { force: true })
  }
}

function readHolder(path: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ProcessIdentity
  } catch {
    return undefined
  }
}
