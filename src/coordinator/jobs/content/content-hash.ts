import type { DataHash__Output } from '../../../generated/proto/scaimind/v1/DataHash.js'
import type { TrainerCode__Output } from '../../../generated/proto/scaimind/v1/TrainerCode.js'
import { hashOf } from '../records/idempotency.js'
import type { Spec } from '../records/spec.js'

/** What a job is made of. */
export interface Ingredients {
  /** With every default filled in, the format of each source too. */
  spec: Spec
  /** A source each, in their order. */
  dataHashes: DataHash__Output[]
  code: TrainerCode__Output
  /** What the base model is: `files:…` at a path, `commit:…` on a hub, `name:…` where the name is all that there is; empty while it is not known. */
  modelContent: string
}

/**
 * The name of the work: equal for submissions that would train the same, whatever they are called, however they are scheduled, and wherever
 * their files lie. Empty while the content of a source or of the model is not known. Pure.
 */
export function contentHashOf({ spec, dataHashes, code, modelContent }: Ingredients): string {
  if (modelContent === '' || dataHashes.some(({ content_hash }) => content_hash === '')) return ''
  const { priority: _, max_retries: __, base_model: model, framework, hyperparameters, environment, ...training } = spec.training_config
  const { HF_TOKEN: ____, ...variables } = environment
  const { custom_script_path: ___, config, distributed, ...withoutScript } = framework
  const { sources, preprocess, ...data } = spec.data_config
  const { gpu_count: gpus, num_nodes: nodes } = spec.resource_config
  // What a program of others makes of a text is its own matter: to it `1.10` may be another version than `1.1`.
  const settings = code.trainer === 'embedded' || code.trainer === 'hf' ? inOneSpelling : asGiven
  const content = {
    data: sources.map(({ path: _____, type: ______, columns, sampling, ...source }, index) => ({
      ...source,
      columns: [...new Set(columns)].sort(),
      sampling: settings(sampling),
      content: dataHashes[index]?.content_hash ?? '',
    })),
    data_config: { ...data, preprocess: isEmpty(preprocess) ? null : preprocess },
    base_model: {
      ...model,
      model_id: modelContent,
      // A commit says which.
      revision: modelContent.startsWith('name:') ? model.revision : '',
      source: '',
      tokenizer_id: model.tokenizer_id === model.model_id ? '' : model.tokenizer_id,
      model_kwargs: settings(model.model_kwargs),
    },
    training: {
      ...training,
      environment: variables,
      framework: { ...withoutScript, config: settings(config), distributed: toDistributed(distributed, settings) },
      hyperparameters: settings(hyperparameters),
    },
    // A batch is of each device: their number makes another training of it, wherever they are.
    devices: gpus || nodes,
    code,
  }
  return `sha256:${hashOf(content)}`
}

/** How processes work together, null where it is left to the framework. */
function toDistributed(distributed: Spec['training_config']['framework']['distributed'], settings: typeof inOneSpelling) {
  if (!distributed) return null
  const backend = distributed.backend === 'nccl' ? '' : distributed.backend
  const said = { ...distributed, backend, config: settings(distributed.config) }
  return isEmpty(said) ? null : said
}

/** Whether nothing is said in a message: all of it is as when it is left out. */
function isEmpty(message: object | null): boolean {
  return Object.values(message ?? {}).every(
    (value) => value === '' || value === 0 || value == null || (typeof value === 'object' && Object.keys(value).length === 0),
  )
}

/** `1e-3` and `0.001` are one value, `True` and `true` too. */
function inOneSpelling(values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      const text = value.trim()
      const number = text === '' ? Number.NaN : Number(text)
      if (Number.isFinite(number)) return [name, String(number)]
      return [name, /^(true|false)$/i.test(text) ? text.toLowerCase() : text]
    }),
  )
}

const asGiven: typeof inOneSpelling = (values) => values
