import type { FieldProblem } from '../../contract/failure.js'
import type { EvaluationRun__Output } from '../../generated/proto/scaimind/v1/EvaluationRun.js'
import type { JobRecord } from './record.js'
import { type ResolveSettings, resolvePaths } from './resolve.js'
import type { Spec } from './spec.js'

/** The part of `job.json` that makes a job an evaluation. Every path is absolute. */
export interface EvaluationFile {
  /** The model's or adapter's folder, or `scaimind/…`. */
  model: string
  benchmarks: { name: string; dataset: string; path: string; num_samples: number; parameters: Record<string, string> }[]
}

/** What an evaluation evaluates; null for a job that trains. */
export const evaluationOf = ({ evaluation }: Pick<JobRecord, 'evaluation'>): EvaluationRun__Output | null =>
  evaluation === null ? null : (JSON.parse(evaluation) as EvaluationRun__Output)

/**
 * Resolves an evaluation's model and data sets: checked at submission, and again when an attempt starts. Its spec has a source a benchmark. The output of a
 * job is our own file and stands; a model by path must be under the data roots.
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
  return { file: { model: isBad('model_uri') ? '' : model, benchmarks }, problems }
}

const withModel = (spec: Spec, modelId: string): Spec => ({
  ...spec,
  training_config: { ...spec.training_config, base_model: { ...spec.training_config.base_model, model_id: modelId } },
})

/** The field of an evaluation that a path of its spec stands for. */
function fieldOf(path: string): string {
  const source = /^data_config\.sources\[(\d+)\]/.exec(path)?.[1]
  if (source !== undefined) return `benchmarks[${source}].dataset`
  return path === 'training_config.base_model.model_id' ? 'model_uri' : path
}
