import type { TrainerSettings } from '../../data/trainer.js'

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
  /** Milliseconds without a sign after which a trainer that trains is told as unreachable; 0: never. */
  silentTrainerMs: number
  /** Failures in a row that a node is blamed for, until it is drained for them; 0: it never is. */
  cordonAfter: number
  /** Seconds between two samples of a job's GPUs; 0: none are taken. */
  gpuSampleSeconds: number
  /** The hub that models and data sets by name come from; '' where none is asked. */
  hubEndpoint: string
  trainer: TrainerSettings
  /** Where a job of the tenant that runs on these nodes (none yet: before it is placed) finds an uploaded data set; null where the tenant has none with this id. */
  datasetFile(tenantId: string, datasetId: string, nodeIds: readonly string[]): Promise<string | null>
  /** The folder of the registered model that `models/<name>@<hash>` names; null where the tenant has none of that name and hash. */
  modelFolder(tenantId: string, reference: string): Promise<string | null>
}
