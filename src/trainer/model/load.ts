import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readSafetensors } from '../safetensors.js'
import { fromPeftNames, mergeAdapters } from './adapters.js'
import type { Decodable } from './decode.js'
import { modelFolder, readModel } from './folder.js'

/**
 * A model folder's model, or an adapter folder's adapter merged into its base model: the one that `adapter_config.json` names, or the
 * one in `base`. Throws an Error that says what is missing.
 */
export function loadForGeneration(folder: string, base?: string): Decodable {
  const configPath = join(folder, 'adapter_config.json')
  if (!existsSync(configPath)) return readModel(folder)
  const config = JSON.parse(readFileSync(configPath, 'utf8')) as { base_model_name_or_path: string; r: number; lora_alpha: number }
  const baseFolder = base ?? modelFolder(config.base_model_name_or_path)
  if (!baseFolder) throw new Error(`the adapter's base model ${config.base_model_name_or_path} is not here; give its folder with --base`)
  const model = readModel(baseFolder)
  const adapters = fromPeftNames(readSafetensors(readFileSync(join(folder, 'adapter_model.safetensors'))))
  return { config: model.config, weights: mergeAdapters(model.weights, adapters, config.lora_alpha / config.r) }
}
