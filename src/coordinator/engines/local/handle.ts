import type { LauncherRecord } from '../attempt-folder.js'
import type { EngineHandle } from '../engine.js'
import type { Identity } from './processes.js'

/** The processes of an attempt. */
export interface AttemptProcesses {
  launcher: Identity
  /** Null where the launcher died before there was one. */
  trainer: Identity | null
}

/** The stored form of an attempt's processes. */
export function toHandle({ pid, start_time, boot_id, token, trainer }: LauncherRecord): EngineHandle {
  return {
    token,
    boot_id,
    launcher_pid: pid,
    launcher_start_time: start_time,
    trainer_pid: trainer?.pid ?? null,
    trainer_start_time: trainer?.start_time ?? null,
  }
}

/** The processes that a handle names. */
export function processesOf(handle: EngineHandle): AttemptProcesses {
  const bootId = String(handle.boot_id)
  const { trainer_pid: trainerPid, trainer_start_time: trainerStartTime } = handle
  return {
    launcher: { pid: Number(handle.launcher_pid), startTime: String(handle.launcher_start_time), bootId },
    trainer: typeof trainerPid === 'number' ? { pid: trainerPid, startTime: String(trainerStartTime), bootId } : null,
  }
}
