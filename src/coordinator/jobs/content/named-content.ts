import { createHash } from 'node:crypto'
import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Spec } from '../records/spec.js'

/**
 * A submission in which what its settings name beside model and data (a tokenizer, a reward model, a vocabulary) is put by its content: such a file may change, and lie
 * elsewhere. `contentOf` answers '' where the content is not known; then null is answered. What belongs to the trainer's code is left out.
 */
export async function withNamedContent(
  { given, resolved }: { given: Spec; resolved: Spec },
  { contentOf, inCode }: { contentOf: (name: string) => Promise<string>; inCode: readonly string[] },
): Promise<Spec | null> {
  let isKnown = true
  const content = async (named: string) => {
    const found = named === '' ? '' : await contentOf(named)
    if (named !== '' && found === '') isKnown = false
    return found
  }
  const inMap = async (map: Record<string, string>, from: Record<string, string>, names: readonly string[]) => {
    const changed = Object.fromEntries(Object.entries(map).filter(([name]) => !inCode.includes(name)))
    for (const name of names) if (changed[name] !== undefined) changed[name] = await content(from[name] ?? '')
    return changed
  }
  const { training_config: training, data_config: data } = given
  const { training_config: followed, data_config: followedData } = resolved
  const { base_model: model, framework, hyperparameters } = training
  const isOwn = followed.base_model.tokenizer_id === followed.base_model.model_id
  // What the settings of a script mean, only the script knows.
  const isScript = framework.type === 'CUSTOM'
  const spec: Spec = {
    ...given,
    training_config: {
      ...training,
      base_model: { ...model, tokenizer_id: isOwn ? '' : await content(followed.base_model.tokenizer_id) },
      hyperparameters: isScript ? hyperparameters : await inMap(hyperparameters, followed.hyperparameters, ofRewards),
      framework: {
        ...framework,
        config: isScript ? framework.config : await inMap(framework.config, followed.framework.config, ofMegatron),
      },
    },
    data_config: {
      ...data,
      preprocess: data.preprocess && { ...data.preprocess, tokenizer: await content(followedData.preprocess?.tokenizer ?? '') },
    },
  }
  return isKnown ? spec : null
}

const ofRewards = ['reward_model', 'reward_function']
const ofMegatron = ['megatron_path', 'vocab_file', 'merge_file', 'tokenizer_model']

/** What stands at a path, told from names, sizes and times: weights are too large to be read for it. A link that leads nowhere is so, too. */
export async function fingerprint(path: string): Promise<string> {
  const entries: Dirent[] = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => [])
  const names = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name).slice(path.length))
  const files = await Promise.all(
    (names.length === 0 ? [''] : names.sort()).map(async (name) => {
      const found = await stat(join(path, name)).catch(() => null)
      return `${name} ${found?.size ?? 'gone'} ${found?.mtimeMs ?? ''}`
    }),
  )
  return `files:${createHash('sha256').update(files.join('\n')).digest('hex')}`
}
