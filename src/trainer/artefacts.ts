import { adapterScale, fromPeftNames, mergeAdapters, peftConfig, toPeftNames } from './model/adapters.js'
import type { Model } from './model/folder.js'
import type { TrainingPlan } from './plan.js'
import { readSafetensors, type TensorMap, writeSafetensors } from './safetensors.js'

/** Files by name. */
export type Files = Map<string, Buffer>

/** The files of what was trained: PEFT's two for an adapter, a model folder's two otherwise. Checkpoints and outputs hold the same. */
export function trainedFiles(plan: TrainingPlan, model: Model, trained: TensorMap): Files {
  if (!plan.trainsAdapter) return modelFiles(model, trained)
  return new Map([
    ['adapter_model.safetensors', writeSafetensors(toPeftNames(trained), { format: 'pt' })],
    ['adapter_config.json', json(peftConfig(plan.hyperparameters, plan.model.id))],
  ])
}

/** The trained tensors, read back from such files. Throws an Error where they are not of the plan's kind. */
export function readTrained(plan: TrainingPlan, read: (file: string) => Buffer): TensorMap {
  return plan.trainsAdapter ? fromPeftNames(readSafetensors(read('adapter_model.safetensors'))) : readSafetensors(read('model.safetensors'))
}

/** The files of a model folder. */
export function modelFiles(model: Model, weights: TensorMap): Files {
  // In the order of the model's own file, so that equal weights are equal files.
  const ordered: TensorMap = new Map([...model.weights.keys()].map((name) => [name, weights.get(name) ?? missing(name)]))
  return new Map([
    ['model.safetensors', writeSafetensors(ordered, { format: 'pt' })],
    ['config.json', json(model.config)],
  ])
}

/** The weights that a trained model computes with: the adapters merged, or simply what was trained. */
export function effectiveWeights(plan: TrainingPlan, model: Model, trained: TensorMap): TensorMap {
  return plan.trainsAdapter ? mergeAdapters(model.weights, trained, adapterScale(plan.hyperparameters)) : trained
}

function json(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value, null, 2)}\n`)
}

function missing(name: string): never {
  throw new Error(`no tensor ${name} was trained`)
}
