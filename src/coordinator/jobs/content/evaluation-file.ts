import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type FieldProblem, InvalidInput } from '../../../contract/failure.js'
import type { EvaluationRun__Output } from '../../../generated/proto/scaimind/v1/EvaluationRun.js'
import { resolveAllowedPath } from '../../data/allowed-paths.js'
import { chooseTrainer, embeddedTrainer, findTrainer, type TrainerSettings } from '../../data/trainer.js'
import type { JobRecord } from '../records/record.js'
import type { Spec } from '../records/spec.js'
import { isLocalModel, type ResolveSettings, resolvePaths } from './resolve.js'

/** The part of `job.json` that makes a job an evaluation. Every path is absolute. */
export interface EvaluationFile {
  /** The model's or adapter's folder, or `scaimind/…`. */
  model: string
  /** What the adapter in that folder is one of; empty where it is a model. A trainer takes this one, not the one that the adapter's file names. */
  base: string
  benchmarks: { name: string; dataset: string; path: string; num_samples: number; parameters: Record<string, string> }[]
}

/** What an evaluation evaluates; null for a job that trains. */
export const evaluationOf = ({ evaluation }: Pick<JobRecord, 'evaluation'>): EvaluationRun__Output | null =>
  evaluation === null ? null : (JSON.parse(evaluation) as EvaluationRun__Output)

/**
 * Resolves an evaluation's model and data sets: checked at submission, and again when an attempt starts. Its spec has a source a benchmark. The output of a
 * job is our own file and stands; a model by path must be under the data roots, and so must the base model that an adapter names.
 */
export async function resolveEvaluation(
  spec: Spec,
  run: EvaluationRun__Output,
  tenantId: string,
  settings: ResolveSettings,
  nodeIds: readonly string[] = [],
): Promise<{ file: EvaluationFile; problems: FieldProblem[] }> {
  const own = spec.training_config.base_model.model_id
  const asked = run.model_uri === '' ? withModel(spec, '') : spec
  const resolved = await resolvePaths(asked, tenantId, settings, nodeIds)
  const problems = resolved.problems.map(({ path, message }) => ({ path: fieldOf(path), message }))
  const isBad = (path: string) => problems.some((problem) => problem.path === path)
  const model = run.model_uri === '' ? own : resolved.spec.training_config.base_model.model_id
  const benchmarks = run.benchmarks.map(({ name, dataset, num_samples, parameters }, index) => ({
    name,
    dataset,
    // A path that was refused must not be opened, not even to be looked at.
    path: isBad(`benchmarks[${index}].dataset`) ? '' : (resolved.spec.data_config.sources[index]?.path ?? ''),
    num_samples,
    parameters,
  }))
  if (isBad('model_uri')) return { file: { model: '', base: '', benchmarks }, problems }
  try {
    return { file: { model, base: await baseOf(model, tenantId, settings), benchmarks }, problems }
  } catch (error) {
    if (!(error instanceof InvalidInput)) throw error
    const field = run.model_uri === '' ? 'job_id' : 'model_uri'
    const refused = error.fields.map(({ message }) => ({ path: field, message: `The base model of the adapter: ${message}` }))
    return { file: { model: '', base: '', benchmarks }, problems: [...problems, ...refused] }
  }
}

/** The trainer that evaluates: the one that the model, or an adapter's base model, is for. */
export async function evaluationTrainer({ model, base }: Pick<EvaluationFile, 'model' | 'base'>, settings: TrainerSettings) {
  const choice = { modelId: base || model, frameworkType: '', customScriptPath: '' }
  const { kind } = await chooseTrainer(choice, {})
  if (kind !== 'hf') return { trainer: embeddedTrainer(settings), problems: [] as [] }
  const found = await findTrainer(choice, { ...settings, programs: new Map() })
  return found.trainer ? found : { trainer: null, problems: found.problems.map(({ message }) => ({ path: 'model_uri', message })) }
}

const adapterConfigBytesMax = 1024 * 1024

/** The base model of an adapter's folder. What cannot be read is left to the trainer, which says why. Throws InvalidInput where the tenant may not name it. */
async function baseOf(model: string, tenantId: string, { dataRoots }: ResolveSettings): Promise<string> {
  if (!isLocalModel(model)) return ''
  const path = join(model, 'adapter_config.json')
  let base: unknown
  try {
    if ((await stat(path)).size > adapterConfigBytesMax) return ''
    base = (JSON.parse(await readFile(path, 'utf8')) as { base_model_name_or_path?: unknown } | null)?.base_model_name_or_path
  } catch {
    return ''
  }
  if (typeof base !== 'string') return ''
  return isLocalModel(base) ? await resolveAllowedPath({ path: base, tenantId, dataRoots, field: 'model_uri' }) : base
}

const withModel = (spec: Spec, modelId: string): Spec => ({
  ...spec,
  training_config: { ...spec.training_config, base_model: { ...spec.training_config.base_model, model_id: modelId } },
})

/** The field of an evaluation that a path of its spec stands for. */
export function fieldOf(path: string): string {
  const source = /^data_config\.sources\[(\d+)\]/.exec(path)?.[1]
  if (source !== undefined) return `benchmarks[${source}].dataset`
  return path === 'training_config.base_model.model_id' ? 'model_uri' : path.replace(/^resource_config\./, '')
}
