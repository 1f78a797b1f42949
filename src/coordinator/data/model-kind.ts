import { readFile } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'

/** Which trainer a model is for. `unclear`: a folder that does not say, or no form that a model's name has. */
export type ModelKind = 'embedded' | 'hf' | 'unclear'

/** Tells whose a model is: `scaimind/…` and what our jobs saved of such are the embedded trainer's; HuggingFace ids and folders with another `config.json` are models for the HuggingFace trainer. `modelId` has been resolved. */
export async function modelKindOf(modelId: string): Promise<ModelKind> {
  if (!isAbsolute(modelId)) {
    if (/^scaimind\/[A-Za-z0-9._-]+$/.test(modelId)) return 'embedded'
    return huggingFaceId.test(modelId) ? 'hf' : 'unclear'
  }
  try {
    const { model_type: type } = JSON.parse(await readFile(join(modelId, 'config.json'), 'utf8')) as { model_type?: unknown }
    if (type === 'scaimind_byte') return 'embedded'
    return typeof type === 'string' ? 'hf' : 'unclear'
  } catch {
    return 'unclear'
  }
}

/** A repository's name, as the hub takes it: `org/name`, or one of the old names without an owner. */
const huggingFaceId = /^[A-Za-z0-9][\w.-]{0,95}(?:\/[A-Za-z0-9_][\w.-]{0,95})?$/
