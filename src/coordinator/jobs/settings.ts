import type { TrainerSettings } from '../data/trainer.js'

/** The operator's settings that the jobs' rules depend on. */
export interface JobSettings {
  /** Where the journals are. */
  dataDir: string
  /** Folders that tenants may name files under; `{tenant}` is replaced. */
  dataRoots: string[]
  allowCustomCode: boolean
  allowTrustRemoteCode: boolean
  /** Seconds between SIGTERM and SIGKILL of a trainer. */
  stopGraceSeconds: number
  trainer: TrainerSettings
}
