import { readFile, stat } from 'node:fs/promises'
import { isAbsolute, join, relative, resolve, sep } from 'node:path'
import type { Checkpoint } from '../../../generated/prisma/coordinator/client.js'
import { filesUnder, liesWithin } from '../../journal/folders.js'
import { attemptDirectory } from '../../journal/paths.js'
import { followTrainerEvents, type TrainerEvent } from '../../journal/trainer-events.js'
import { resolvePaths } from '../content/resolve.js'
import type { Transaction } from '../records/database.js'
import { type JobRecord, specOf } from '../records/record.js'
import type { JobSettings } from '../records/settings.js'
import type { NewModel } from './registry.js'

/** What is added to the name of a model that is registered beside its adapter. */
export const mergedSuffix = '-merged'

/** The models that an attempt which did its work left behind, as they are to be registered: the last of each kind that its trainer told. */
export async function outputModels(job: JobRecord, number: number, settings: JobSettings): Promise<NewModel[]> {
  const name = specOf(job).output_config.register_as
  if (name === '' || job.isEvaluation) return []
  const directory = attemptDirectory(settings.dataDir, job.tenantId, job.jobId, number)
  const found = new Map<boolean, { kind: string; source: string }>()
  const signal = new AbortController().signal
  for await (const { event } of followTrainerEvents({ directory, fromLine: 0, closed: () => true, signal })) {
    const source = event.type === 'artefact' ? await folderOf(event, directory) : null
    if (event.type === 'artefact' && source !== null) found.set(event.kind === 'adapter', { kind: event.kind, source })
  }
  const artefacts = [...found.values()]
  return await Promise.all(
    artefacts.map(async ({ kind, source }) => {
      const inner = artefacts.map((other) => relative(source, other.source)).filter((path) => path !== '' && !path.startsWith('..'))
      return {
        ...(await describe(job, { source, kind }, settings)),
        name: found.size > 1 && kind !== 'adapter' ? `${name}${mergedSuffix}` : name,
        // A merged model lies in the folder of its adapter.
        isMeant: (file: string) => !inner.some((path) => file.startsWith(path + sep)),
        checkpoint: null,
      }
    }),
  )
}

async function folderOf({ path }: Extract<TrainerEvent, { type: 'artefact' }>, directory: string): Promise<string | null> {
  const folder = resolve(directory, path)
  return folder.startsWith(join(directory, sep)) && (await liesWithin(folder, directory)) ? folder : null
}

/** What a server needs of a checkpoint: weights, configuration, tokenizer, and the code that a model brings; optimizers, schedules and random states stay behind. */
const servedFiles = [
  /^(adapter_)?model[^/]*\.(safetensors|bin)$/,
  /^pytorch_model[^/]*\.bin$/,
  /^[^/]+\.index\.json$/,
  /^[^/]*config\.json$/,
  /^(tokenizer|chat_template)[^/]*$/,
  /^additional_chat_templates\/[^/]+\.jinja$/,
  /^(special_tokens_map|added_tokens|normalizer|byte_maps)\.json$/,
  // Each kind of tokenizer has names of its own: spiece.model, sentencepiece.bpe.model, qwen.tiktoken, entity_vocab.json.
  /^[^/]+\.(model|tiktoken|py)$/,
  /^[^/]*vocab[^/]*\.(json|txt)$/,
  /^(merges\.txt|bpe\.codes)$/,
]
const isServed = (name: string) => servedFiles.some((kind) => kind.test(name))
const weights = /\.(safetensors|bin)$/

/** A complete checkpoint as a model; null where it lies elsewhere than its job, or holds no weights under names that servers know. */
export async function checkpointModel(job: JobRecord, checkpoint: Checkpoint, settings: JobSettings): Promise<NewModel | null> {
  const { path: source, checkpointId, step, attempt } = checkpoint
  if (!(await liesWithin(source, attemptDirectory(settings.dataDir, job.tenantId, job.jobId, attempt)))) return null
  const served = (await filesUnder(source)).filter(isServed)
  if (!served.some((name) => weights.test(name))) return null
  const kind = served.includes('adapter_config.json') ? 'adapter' : 'model'
  return {
    ...(await describe(job, { source, kind }, settings)),
    name: specOf(job).output_config.register_as,
    isMeant: isServed,
    checkpoint: { checkpointId, step },
  }
}

async function describe(job: JobRecord, { source, kind }: { source: string; kind: string }, settings: JobSettings) {
  const given = specOf(job)
  const { spec } = await resolvePaths(given, job.tenantId, settings)
  const basePath = spec.training_config.base_model.model_id
  const { r: rank } = await readJson(join(source, 'adapter_config.json'))
  return {
    tenantId: job.tenantId,
    jobId: job.jobId,
    source,
    kind,
    modelType: await typeOf(kind === 'adapter' ? basePath : source),
    loraRank: typeof rank === 'number' && Number.isSafeInteger(rank) && rank > 0 && rank < 2 ** 31 ? rank : 0,
    baseModel: given.training_config.base_model,
    basePath,
  }
}

async function typeOf(model: string): Promise<string> {
  if (model.startsWith('scaimind/')) return 'scaimind_byte'
  const { model_type: type } = isAbsolute(model) ? await readJson(join(model, 'config.json')) : {}
  return typeof type === 'string' ? type : ''
}

const jsonBytesMax = 1024 * 1024

/** An object of a file of a tenant's; empty where there is none. */
async function readJson(path: string): Promise<Record<string, unknown>> {
  try {
    if ((await stat(path)).size > jsonBytesMax) return {}
    const value: unknown = JSON.parse(await readFile(path, 'utf8'))
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

/** The same for a checkpoint: not once the job's output is registered, which is newer. */
export const checkpointStillWanted = (jobId: string, number: number) => async (tx: Transaction) =>
  (await stillWanted(jobId, number)(tx)) && (await tx.registeredModel.count({ where: { jobId, checkpointId: null } })) === 0

/** Whether an attempt's models may still be registered: it is the job's, is not ended, and nothing else is wanted of the job. Keeps it so until the transaction ends. */
export const stillWanted = (jobId: string, number: number) => async (tx: Transaction) => {
  await tx.$queryRaw`SELECT job_id FROM job WHERE job_id = ${jobId} FOR UPDATE`
  const where = { jobId, wanted: 'RUN', attempt: number, attempts: { some: { number, finishedAt: null } } }
  return (await tx.job.count({ where })) === 1
}
