import { type LoadedData, loadData } from './data/load.js'
import { readModelConfig } from './model/folder.js'
import type { Problem } from './problems.js'
import { validateJob } from './validate.js'

/** What `--validate` prints. */
export interface CheckResult {
  problems: Problem[]
  data: Omit<LoadedData['sources'][number], 'sha256'>[]
}

/** Checks a parsed `job.json`: the configuration, the base model's shape and every line of the data. Starts nothing, writes nothing. */
export function checkJob(job: unknown): CheckResult {
  const { plan, problems } = validateJob(job)
  if (plan.model.folder !== '') problems.push(...checkModel(plan.model.folder, plan.data.maxSeqLength))
  // A source that has a problem already is not read: its path or format is only a guess.
  const sourcesAreNamed = !problems.some((problem) => problem.path.startsWith('data_config.sources'))
  const loaded = sourcesAreNamed ? loadData(plan.data) : { problems: [], sources: [] }
  problems.push(...loaded.problems)
  return { problems, data: loaded.sources.map(({ sha256: _, ...counts }) => counts) }
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
