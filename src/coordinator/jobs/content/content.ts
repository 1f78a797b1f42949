import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { dirname, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { DataHash__Output } from '../../../generated/proto/scaimind/v1/DataHash.js'
import type { TrainerCode__Output } from '../../../generated/proto/scaimind/v1/TrainerCode.js'
import { hfTrainerFolder } from '../../../hf-environment.js'
import type { FileHashes } from '../../data/hash.js'
import type { Hub } from '../../data/hub.js'
import { hashFile } from '../../data/line-hash.js'
import { chooseTrainer, type TrainerKind } from '../../data/trainer.js'
import { bytesUnder, hashFolder } from '../../journal/folders.js'
import type { JobSettings } from '../records/settings.js'
import type { Spec } from '../records/spec.js'
import { contentHashOf } from './content-hash.js'
import { fingerprint, withNamedContent } from './named-content.js'
import { isFileSource, isLocalModel } from './resolve.js'

/** What a job is made of, by content, as far as it is known. */
export interface Content {
  dataHashes: DataHash__Output[]
  code: TrainerCode__Output
  /** Empty where a source was not hashed. */
  contentHash: string
}

/** A submission as it was given, and with its paths followed. */
export interface Submission {
  given: Spec
  resolved: Spec
}

/** What jobs are made of. */
export interface JobContent {
  /** Known in a moment: sources are read only where they are small or were hashed before. */
  soon(submission: Submission): Promise<Content>
  /** All of it, however long that takes. Throws where a file cannot be read. */
  whole(submission: Submission): Promise<Content>
}

type BaseModel = Spec['training_config']['base_model']

/** Of all sources together. */
const smallBytes = 256 * 2 ** 20
const packageFolder = fileURLToPath(new URL('../../../../', import.meta.url))

/** Names jobs by their content. */
export function jobContent({
  hashes,
  hub,
  settings,
}: {
  hashes: FileHashes
  hub: Pick<Hub, 'commitOf'>
  settings: Pick<JobSettings, 'trainer'>
}): JobContent {
  let embedded: Promise<TrainerCode__Output> | undefined
  let hf: Promise<TrainerCode__Output> | undefined

  return {
    async soon(submission) {
      const sizes = await Promise.all(submission.resolved.data_config.sources.filter(isFileSource).map(({ path }) => sizeOf(path)))
      const isSmall = sizes.reduce((sum, size) => sum + size, 0) <= smallBytes
      const hash: FileHashes['known'] = isSmall ? read : hashes.known
      // What cannot be read now is told when the job runs.
      return await describe(submission, (path, format) => hash(path, format).catch(() => null))
    },
    whole: (submission) => describe(submission, read),
  }

  async function read(path: string, format?: string) {
    const isFolder = (await stat(path)).isDirectory()
    return isFolder ? { contentHash: await hashFolder(path), records: 0, bytes: 0 } : await hashes.of(path, format)
  }

  async function describe({ given, resolved }: Submission, hash: FileHashes['known']): Promise<Content> {
    const { base_model: model, environment } = resolved.training_config
    const dataHashes: DataHash__Output[] = []
    for (const [index, source] of resolved.data_config.sources.entries()) {
      const { path, format } = source
      const found = isFileSource(source) ? await hash(path, format) : await onHub(path, environment)
      const named = given.data_config.sources[index]
      dataHashes.push({
        path: named?.path ?? path,
        content_hash: found?.contentHash ?? '',
        records: String(found?.records ?? 0),
        dataset_id: named?.type === 'dataset' ? named.path : '',
      })
    }
    const { kind, code } = await codeOf(resolved)
    const modelContent = await modelContentOf(kind, model, environment)
    // What is named without a revision is taken from the main branch.
    const contentOf = (id: string) => modelContentOf(kind, { model_id: id, revision: '' }, environment)
    const named = await withNamedContent({ given, resolved }, { contentOf, inCode: kind === 'hf' ? broughtCode : [] })
    if (!named) return { dataHashes, code, contentHash: '' }
    const spec = { ...named, data_config: { ...named.data_config, sources: withFormats({ given, resolved }) } }
    return { dataHashes, code, contentHash: contentHashOf({ spec, dataHashes, code, modelContent }) }
  }

  /** A data set on a hub, as of now: what only the trainer fetches is known by its commit. */
  async function onHub(path: string, environment: Record<string, string>) {
    const [id = '', config = ''] = path.split(':')
    const commit = await hub.commitOf({ kind: 'datasets', id, revision: '' }, environment)
    return commit === null ? null : { contentHash: `commit:${commit}${config === '' ? '' : `:${config}`}`, records: 0 }
  }

  /** What a script or a program makes of a model's name is its own matter, and the embedded trainer's models come with it. */
  async function modelContentOf(
    kind: TrainerKind,
    { model_id: id, revision }: Pick<BaseModel, 'model_id' | 'revision'>,
    environment: Record<string, string>,
  ) {
    if (isLocalModel(id)) return fingerprint(id)
    if (kind !== 'hf') return `name:${id}`
    const commit = await hub.commitOf({ kind: 'models', id, revision }, environment)
    return commit === null ? '' : `commit:${id}@${commit}`
  }

  async function codeOf({ training_config: { base_model: model, framework, hyperparameters } }: Spec) {
    const { kind, program } = await chooseTrainer({ modelId: model.model_id, frameworkType: framework.type }, settings.trainer)
    const readCode = async (): Promise<TrainerCode__Output> => {
      switch (kind) {
        case 'custom':
          return scriptCode('custom', framework.custom_script_path)
        case 'program':
          return scriptCode('program', program)
        // Ours are read once: a coordinator is started anew with another build.
        case 'hf':
          hf ??= readHfCode(settings.trainer.hf?.folder ?? hfTrainerFolder)
          return withBrought(await hf, [
            ...(hyperparameters.reward_function === undefined
              ? []
              : [(await hashFile(hyperparameters.reward_function, 'bytes')).contentHash]),
            ...(framework.type === 'MEGATRON'
              ? [await megatronCode(framework.config.megatron_path ?? settings.trainer.hf?.megatronPath)]
              : []),
          ])
        case 'embedded':
          embedded ??= readEmbeddedCode(dirname(settings.trainer.embeddedPath ?? join(packageFolder, 'dist/trainer/main.js')))
          return embedded
      }
    }
    return { kind, code: await readCode() }
  }
}

/** The sources as they were given, each with the format that it is read in: where none is given, that of its file's name. */
const withFormats = ({ given, resolved }: Submission): Spec['data_config']['sources'] =>
  given.data_config.sources.map((source, index) => ({
    ...source,
    format: (source.format || extname(resolved.data_config.sources[index]?.path ?? '').slice(1)).toLowerCase(),
  }))

async function readEmbeddedCode(folder: string): Promise<TrainerCode__Output> {
  const { version } = JSON.parse(await readFile(join(packageFolder, 'package.json'), 'utf8')) as { version: string }
  return { trainer: 'embedded', version, content_hash: await hashFolder(folder, (name) => name.endsWith('.js')) }
}

/** The trainer for real models: its own code, its tests aside, and the versions of all packages that it was made for. */
async function readHfCode(folder: string): Promise<TrainerCode__Output> {
  const about = await readFile(join(folder, 'scaimind_trainer/__init__.py'), 'utf8')
  const version = /^__version__ = "(.+)"$/m.exec(about)?.[1] ?? ''
  const isCode = (name: string) => name === 'requirements.lock' || (name.endsWith('.py') && !name.startsWith('tests/'))
  return { trainer: 'hf', version, content_hash: await hashFolder(folder, isCode) }
}

/** The settings that name code which a job brings along for the trainer of real models. */
const broughtCode = ['reward_function', 'megatron_path']

/** The same with the digests of what its job brings along. */
function withBrought(code: TrainerCode__Output, digests: string[]): TrainerCode__Output {
  if (digests.length === 0) return code
  const whole = [code.content_hash, ...digests].join('\n')
  return { ...code, content_hash: `sha256:${createHash('sha256').update(whole).digest('hex')}` }
}

/** The Python code of a checkout of Megatron-LM; empty where there is none. */
const megatronCode = async (checkout: string | null | undefined): Promise<string> =>
  checkout ? await hashFolder(checkout, (name) => name.endsWith('.py')) : ''

async function scriptCode(trainer: 'custom' | 'program', script: string): Promise<TrainerCode__Output> {
  return { trainer, version: '', content_hash: (await hashFile(script, 'bytes')).contentHash }
}

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    (found) => (found.isDirectory() ? bytesUnder(path) : found.size),
    () => 0,
  )
