import { checkEvaluation } from './benchmarks/check.js'
import type { EvaluationOrder } from './benchmarks/run.js'
import { type JobData, openData } from './data/prepare.js'
import { readModelConfig } from './model/folder.js'
import type { TrainingPlan } from './plan.js'
import { type Problem, TrainerFailure } from './problems.js'
import { totalStepsOf } from './schedule.js'
import { validateJob } from './validate.js'

/** What `--validate` prints. */
export interface CheckResult {
  problems: Problem[]
  data: Omit<JobData['sources'][number], 'sha256'>[]
  /** Optimizer steps of the whole run; null where there are problems. */
  total_steps: number | null
}

/** Checks a parsed `job.json`: the configuration, the base model's shape and every line of the data. Starts nothing, writes nothing. */
export function checkJob(job: unknown): CheckResult {
  const order = (job as { evaluation?: EvaluationOrder } | null)?.evaluation
  if (order) return { problems: checkEvaluation(order), data: [], total_steps: null }
  const { plan, problems } = validateJob(job)
  if (plan.model.folder !== '') problems.push(...checkModel(plan.model.folder, plan.data.maxSeqLength))
  // A source that has a problem already is not read: its path or format is only a guess, and so is what a training type unknown wants of it.
  const isGuess = problems.some(({ path }) => path.startsWith('data_config.sources') || path === 'training_config.training_type')
  const data = isGuess ? null : openData(plan)
  problems.push(...(data?.problems ?? []))
  const totalSteps = data && problems.length === 0 ? countSteps(plan, data, problems) : null
  return { problems, data: data?.sources.map(({ sha256: _, ...counts }) => counts) ?? [], total_steps: totalSteps }
}

/** How many steps the run will have, or null and one problem more where nothing is left to train on. */
function countSteps(plan: TrainingPlan, data: JobData, problems: Problem[]): number | null {
  try {
    const { training } = data.prepare(readModelConfig(plan.model.folder).max_position_embeddings)
    return totalStepsOf(plan.hyperparameters, training.stepsPerEpoch)
  } catch (error) {
    if (!(error instanceof TrainerFailure)) throw error
    problems.push({ path: error.details.field ?? 'data_config', message: error.message })
    return null
  }
}

/** What is wrong with a base model's folder, or with rows of `maxSeqLength` for that model (0: whatever it allows). */
export function checkModel(folder: string, maxSeqLength: number): Problem[] {
  try {
    const longest = readModelConfig(folder).max_position_embeddings
    if (maxSeqLength <= longest) return []
    return [{ path: 'data_config.max_seq_length', message: `The model reads at most ${longest} tokens, not ${maxSeqLength}.` }]
  } catch (error) {
    return [{ path: 'training_config.base_model.model_id', message: `${(error as Error).message}.` }]
  }
}
