import { linkSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { bootId, startTimeOf } from './processes.js'
import { rankFile } from './rank-file.js'

/** What `launcher.json`, and of other ranks `launcher.<rank>.json`, says: who runs the attempt. A pid is believed only with its start time, within the same boot. */
export interface LauncherRecord {
  pid: number
  start_time: string
  boot_id: string
  token: string
  time: string
  /** Null until the trainer is there. The trainer leads its process group. */
  trainer: { pid: number; start_time: string } | null
}

/** A folder that this launcher alone runs, for its rank. */
export interface Claim {
  /** Tells which process is the trainer. */
  recordTrainer(pid: number): void
}

/** Takes the attempt's folder for a rank; null where another launcher has it already. Of any number that try at once exactly one gets it. */
export function claimFolder(directory: string, rank: number, token: string): Claim | null {
  const path = join(directory, rankFile('launcher', rank))
  const part = `${path}.${hostname()}.${process.pid}`
  const record: LauncherRecord = {
    pid: process.pid,
    start_time: startTimeOf(process.pid) ?? '',
    boot_id: bootId(),
    token,
    time: new Date().toISOString(),
    trainer: null,
  }
  writeFileSync(part, JSON.stringify(record))
  try {
    // A link, unlike a rename, fails where the name is taken.
    linkSync(part, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return null
  } finally {
    rmSync(part)
  }
  return {
    recordTrainer(pid) {
      writeFileSync(part, JSON.stringify({ ...record, trainer: { pid, start_time: startTimeOf(pid) ?? '' } }))
      renameSync(part, path)
    },
  }
}
