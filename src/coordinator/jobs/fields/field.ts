import type { FrameworkType, TrainingType } from '../../../contract/statuses.js'
import type { TrainerKind } from '../../data/trainer.js'
import type { Kind } from './kinds.js'

/** Where a field is asked about: who trains, what and by which framework. */
export interface Situation {
  trainer: TrainerKind
  type: TrainingType
  framework: FrameworkType
}

/** A trainer acts on a field: what that does, and where. */
export interface Acts {
  acts: string
  /** The training types that it acts for. Default: all. */
  types?: readonly TrainingType[]
  /** The frameworks that it acts with. Default: all. */
  frameworks?: readonly FrameworkType[]
  /** What its value must be, where nothing else checks that. */
  kind?: Kind
}

/** A trainer refuses a field: why, and what would do instead. */
export interface Refused {
  refused: string
}

/** A field of the submission, and what each trainer does with it. */
export interface Field {
  /** As in REST and gRPC: `training_config.hyperparameters.lora_r`; `[]` stands for an index, `*` for names of the user's own. */
  path: string
  cells: Record<TrainerKind, Acts | Refused>
  /** A value that is accepted wherever the field acts. */
  example: (situation: Situation) => unknown
  /** Fields that must be given too, or (undefined) must not, by path. */
  with?: (situation: Situation) => Readonly<Record<string, unknown>>
}

/** What becomes of a field in a situation. */
export function answerOf({ path, cells }: Field, { trainer, type, framework }: Situation): Acts | Refused {
  const cell = cells[trainer]
  if ('refused' in cell) return cell
  const name = path.slice(path.lastIndexOf('.') + 1)
  if (cell.frameworks && !cell.frameworks.includes(framework)) {
    return { refused: `${name} does not act with ${framework}; it does with ${cell.frameworks.join(', ')}.` }
  }
  if (cell.types && !cell.types.includes(type))
    return { refused: `${name} does not act for ${type}; it does for ${cell.types.join(', ')}.` }
  return cell
}

const handedOver: Acts = { acts: 'In `job.json`.' }

/** Cells of a field that a trainer acts on; programs of others are only told. */
export const forTrainers = (cells: Pick<Field['cells'], 'embedded' | 'hf'>): Field['cells'] => ({
  ...cells,
  custom: handedOver,
  program: handedOver,
})

/** Cells of a field that the coordinator acts on, whoever trains. */
export const forAll = (cell: Acts | Refused): Field['cells'] => ({ embedded: cell, hf: cell, custom: cell, program: cell })
