import type { FieldProblem } from '../../contract/failure.js'

/** What decides which trainer runs a job. Paths have been resolved by `resolveAllowedPath`. */
export interface TrainerChoice {
  /** `scaimind/…`, or the real path of a local model. */
  modelId: string
  /** Empty or UNSPECIFIED: HF_TRAINER. */
  frameworkType: string
  /** For CUSTOM: the real path of the script. */
  customScriptPath: string
}

/** The settings that a trainer's command depends on. */
export interface TrainerSettings {
  /** The interpreter of scripts that end in .py: SCAIMIND_PYTHON. */
  python: string
  /** The Node program. Default: the one that runs this process. */
  nodeBinary?: string
  /** The built embedded trainer. Default: `dist/trainer/main.js` of this package. */
  embeddedPath?: string
}

/** What runs a job: the embedded trainer, or the tenant's own script. */
export interface Trainer {
  kind: 'embedded' | 'custom'
  /** Program and arguments. */
  command: string[]
}

/** The trainer of a job, or what is wrong with the fields that name it. */
export async function findTrainer(
  _choice: TrainerChoice,
  _settings: TrainerSettings,
): Promise<{ trainer: Trainer; problems: [] } | { trainer: null; problems: FieldProblem[] }> {
  throw new Error('not built yet')
}

/** A source of data, as counted by the trainer. */
export interface CheckedSource {
  source: number
  records: number
  bytes: number
  tokens: number
}

/** What a trainer says about a job that it has not started. */
export interface TrainerCheck {
  problems: FieldProblem[]
  data: CheckedSource[]
  /** Null where the trainer did not say. */
  totalSteps: number | null
}

/** Asks the embedded trainer whether it would run a `job.json`: configuration, model and every line of the data. Starts no training. Throws where the trainer does not answer within `timeoutMs` (default 10,000). */
export async function validateWithTrainer(
  _job: unknown,
  _settings: TrainerSettings & { timeoutMs?: number; signal?: AbortSignal },
): Promise<TrainerCheck> {
  throw new Error('not built yet')
}
