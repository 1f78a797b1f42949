import { type FieldProblem, InvalidInput } from '../../../contract/failure.js'
import { resolveAllowedFolder, resolveAllowedPath } from '../../data/allowed-paths.js'
import type { JobSettings } from '../records/settings.js'
import type { Spec } from '../records/spec.js'

/** A submission whose paths are real, or what is wrong with those that are not. */
export interface ResolvedSpec {
  /** Every path absolute, links followed; a path with a problem stays as it was given. */
  spec: Spec
  problems: FieldProblem[]
}

/** What following paths needs to know. */
export type ResolveSettings = Pick<JobSettings, 'dataRoots' | 'datasetFile'>

/**
 * Follows every path that a submission names, and finds the data sets that it names by id: checked at submission, and again when an attempt starts, on the
 * nodes that it has then.
 */
export async function resolvePaths(
  spec: Spec,
  tenantId: string,
  { dataRoots, datasetFile }: ResolveSettings,
  nodeIds: readonly string[] = [],
): Promise<ResolvedSpec> {
  const problems: FieldProblem[] = []
  const allowed = { tenantId, dataRoots }
  const follow = async (path: string, field: string, resolve = resolveAllowedPath) => {
    if (path === '') return path
    try {
      return await resolve({ ...allowed, path, field })
    } catch (error) {
      if (!(error instanceof InvalidInput)) throw error
      problems.push(...error.fields)
      return path
    }
  }
  const { base_model: model, framework } = spec.training_config
  const modelId = isLocalModel(model.model_id) ? await follow(model.model_id, 'training_config.base_model.model_id') : model.model_id
  const script = await follow(framework.custom_script_path, 'training_config.framework.custom_script_path')
  const sources = []
  for (const [index, source] of spec.data_config.sources.entries()) {
    const field = `data_config.sources[${index}].path`
    if (!isFileSource(source)) {
      sources.push(source)
      continue
    }
    if (source.type !== 'dataset') {
      sources.push({ ...source, path: await follow(source.path, field) })
      continue
    }
    const file = await datasetFile(tenantId, source.path, nodeIds)
    if (file === null) problems.push({ path: field, message: `There is no data set ${JSON.stringify(source.path.slice(0, 64))}.` })
    // To a trainer it is a file like any other.
    sources.push(file === null ? source : { ...source, type: '', path: file })
  }
  const outputUri = await follow(spec.output_config.output_uri, 'output_config.output_uri', resolveAllowedFolder)
  return {
    spec: {
      ...spec,
      training_config: {
        ...spec.training_config,
        base_model: { ...model, model_id: modelId },
        framework: { ...framework, custom_script_path: script },
      },
      data_config: { ...spec.data_config, sources },
      output_config: { ...spec.output_config, output_uri: outputUri },
    },
    problems,
  }
}

/** Whether a model is named by a path, not by a name in a collection. */
export const isLocalModel = (modelId: string): boolean => /^(\.{0,2}\/|~)/.test(modelId)

/** Whether a source is a file or folder of this machine (an uploaded data set becomes one), not the id of one on a hub. */
export const isFileSource = ({ type }: { type: string }): boolean => type !== 'huggingface'
