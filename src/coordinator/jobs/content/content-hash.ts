import type { DataHash__Output } from '../../../generated/proto/scaimind/v1/DataHash.js'
import type { TrainerCode__Output } from '../../../generated/proto/scaimind/v1/TrainerCode.js'
import { hashOf } from '../records/idempotency.js'
import type { Spec } from '../records/spec.js'

/** What a job is made of. */
export interface Ingredients {
  /** With every default filled in. */
  spec: Spec
  /** A source each, in their order. */
  dataHashes: DataHash__Output[]
  code: TrainerCode__Output
  /** What stands at a model's path; empty for a model by name. */
  modelFingerprint: string
}

/**
 * The name of the work: equal for submissions that would train the same, whatever they are called, however they are scheduled, and wherever
 * their files lie. Empty while a source's content is not known. Pure.
 */
export function contentHashOf({ spec, dataHashes, code, modelFingerprint }: Ingredients): string {
  if (dataHashes.some(({ content_hash }) => content_hash === '')) return ''
  const { priority: _, max_retries: __, base_model: model, framework, hyperparameters, ...training } = spec.training_config
  const { custom_script_path: ___, ...withoutScript } = framework
  const { sources, ...data } = spec.data_config
  const content = {
    data: sources.map(({ path: ____, type: _____, ...source }, index) => ({ ...source, content: dataHashes[index]?.content_hash ?? '' })),
    data_config: data,
    base_model: modelFingerprint === '' ? model : { ...model, model_id: modelFingerprint },
    training: { ...training, framework: withoutScript, hyperparameters: inOneSpelling(hyperparameters) },
    code,
  }
  return `sha256:${hashOf(content)}`
}

/** `1e-3` and `0.001` are one value. */
function inOneSpelling(values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      const number = value.trim() === '' ? Number.NaN : Number(value)
      return [name, Number.isFinite(number) ? String(number) : value]
    }),
  )
}
