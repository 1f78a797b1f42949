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
export type ResolveSettings = Pick<JobSettings, 'dataRoots' | 'datasetFile' | 'modelFolder'>

/**
 * Follows every path that a submission names, and finds the data sets and the registered model that it names: checked at submission, and again when an attempt starts, on the
 * nodes that it has then.
 */
export async function resolvePaths(
  spec: Spec,
  tenantId: string,
  { dataRoots, datasetFile, modelFolder }: ResolveSettings,
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
  const followModel = async (modelId: string, field: string) => {
    if (isLocalModel(modelId)) return await follow(modelId, field)
    if (!registeredModel.test(modelId)) return modelId
    const folder = await modelFolder(tenantId, modelId)
    if (folder === null) problems.push({ path: field, message: `There is no registered model ${JSON.stringify(modelId.slice(0, 200))}.` })
    return folder ?? modelId
  }
  const modelId = await followModel(model.model_id, 'training_config.base_model.model_id')
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
  const { hyperparameters, config, tokenizer } = await followSettings(spec, follow)
  const { preprocess } = spec.data_config
  const outputUri = await follow(spec.output_config.output_uri, 'output_config.output_uri', resolveAllowedFolder)
  return {
    spec: {
      ...spec,
      training_config: {
        ...spec.training_config,
        base_model: { ...model, model_id: modelId, tokenizer_id: tokenizer.ofModel },
        framework: { ...framework, config, custom_script_path: script },
        hyperparameters,
      },
      data_config: { ...spec.data_config, sources, preprocess: preprocess && { ...preprocess, tokenizer: tokenizer.ofData } },
      output_config: { ...spec.output_config, output_uri: outputUri },
    },
    problems,
  }
}

/** `models/<name>@…`: no collection's names hold an @. */
const registeredModel = /^models\/[^/]+@/

type Follow = (path: string, field: string) => Promise<string>

/** The settings that name files of a job: always, or where they are not the name of something on a hub. */
const pathSettings = {
  hyperparameters: { reward_function: 'always', reward_model: 'where local' },
  config: { megatron_path: 'always', vocab_file: 'always', merge_file: 'always', tokenizer_model: 'where local' },
} as const

/** Follows the paths among the settings of a job's trainer. What settings of a CUSTOM script mean, only the script knows. */
async function followSettings({ training_config: training, data_config: data }: Spec, follow: Follow) {
  const { framework, hyperparameters, base_model: model } = training
  const inMap = async (map: Record<string, string>, names: Record<string, string>, field: string) => {
    const followed = { ...map }
    for (const [name, how] of Object.entries(names)) {
      const given = map[name]
      if (given === undefined || (how === 'where local' && !isLocalModel(given))) continue
      followed[name] = await follow(given, `${field}.${name}`)
    }
    return followed
  }
  const named = (given: string, field: string) => (isLocalModel(given) ? follow(given, field) : given)
  const tokenizer = {
    ofModel: await named(model.tokenizer_id, 'training_config.base_model.tokenizer_id'),
    ofData: await named(data.preprocess?.tokenizer ?? '', 'data_config.preprocess.tokenizer'),
  }
  if (framework.type === 'CUSTOM') return { hyperparameters, config: framework.config, tokenizer }
  return {
    hyperparameters: await inMap(hyperparameters, pathSettings.hyperparameters, 'training_config.hyperparameters'),
    config: await inMap(framework.config, pathSettings.config, 'training_config.framework.config'),
    tokenizer,
  }
}

/** Whether a model is named by a path, not by a name in a collection. */
export const isLocalModel = (modelId: string): boolean => /^(\.{0,2}\/|~)/.test(modelId)

/** Whether a source is a file or folder of this machine (an uploaded data set becomes one), not the id of one on a hub. */
export const isFileSource = ({ type }: { type: string }): boolean => type !== 'huggingface'
