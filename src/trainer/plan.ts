import type { FieldMapping } from './data/record.js'
import type { DataFormat } from './data/records.js'
import type { Hyperparameters, TrainingType } from './hyperparameters.js'

/** A submission as the trainer understands it: checked, with every default filled in. */
export interface TrainingPlan {
  jobId: string
  attempt: number
  name: string
  trainingType: TrainingType
  /** Whether adapters are trained on a frozen model; otherwise all weights are. */
  trainsAdapter: boolean
  model: { id: string; folder: string }
  hyperparameters: Hyperparameters
  data: DataPlan
  output: OutputPlan
  /** A complete checkpoint's folder to go on from, absolute. */
  resumeFrom: string | null
}

export interface DataPlan {
  sources: { path: string; format: DataFormat }[]
  fieldMapping: FieldMapping
  addBos: boolean
  addEos: boolean
  /** Tokens a row; 0: what the model allows. */
  maxSeqLength: number
  /** Rows a forward pass. */
  batchSize: number
  /** Forward passes an optimizer step. */
  accumulation: number
  /** Fraction of the records, 0 for none. */
  validationSplit: number
  seed: number
}

export interface OutputPlan {
  saveStrategy: 'STEPS' | 'EPOCH' | 'NONE'
  saveSteps: number
  /** Checkpoints of the attempt that are kept. */
  saveTotalLimit: number
  mergeAdapter: boolean
}

/** What `job.json` leaves unset: HuggingFace's defaults where they make sense on a CPU. */
export const DEFAULTS = {
  batchSize: 8,
  accumulation: 1,
  validationSplit: 0,
  seed: 42,
  saveStrategy: 'STEPS',
  saveSteps: 100,
  saveTotalLimit: 3,
} as const
