import { Failure, InvalidInput } from '../../../contract/failure.js'
import { newId } from '../../../contract/ids.js'
import { toTimestamp } from '../../../contract/proto.js'
import { terminalStatuses } from '../../../contract/statuses.js'
import type { RegisteredModel } from '../../../generated/prisma/coordinator/client.js'
import type { BaseModel__Output } from '../../../generated/proto/scaimind/v1/BaseModel.js'
import type { RegisteredModel__Output } from '../../../generated/proto/scaimind/v1/RegisteredModel.js'
import { type Database, type Transaction, transact } from '../records/database.js'
import type { Log } from '../records/log.js'
import { discardModel, type ModelName, modelFolder, placeModel, pointTo, sweepModels } from './folders.js'
import { inTurnByKey } from './in-turn.js'

/** A model that is to be registered. */
export interface NewModel extends ModelName {
  /** The folder that a trainer left it in, and which of its files are the model's. */
  source: string
  isMeant: (name: string) => boolean
  kind: string
  modelType: string
  loraRank: number
  baseModel: BaseModel__Output
  basePath: string
  jobId: string
  /** Null for the output of a job. */
  checkpoint: { checkpointId: string; step: bigint } | null
}

/** A model could not be copied to where registered ones lie; the cause says why. */
export class ModelNotCopied extends Error {}

/** What registered models are built on. */
export interface RegistryOptions {
  database: Database
  /** Registered models lie in `<dataDir>/models`. */
  dataDir: string
  log: Log
  clock: () => Date
}

/**
 * The registered models. The records say which there are and which is current; folders and links follow them, and are put right at the start of each life:
 *
 *     copied under a temporary name, renamed ─▶ on record, and current ─▶ the link led to it ─▶ what it replaces deleted
 *
 * A folder that no record names was left by a crash in between; the registration is done again, and finds it.
 */
export function modelRegistry({ database, dataDir, log, clock }: RegistryOptions) {
  // What happens to one name happens in order, so that no folder goes while it is being registered anew.
  const inTurn = inTurnByKey()
  const keyOf = ({ tenantId, name }: ModelName) => `${tenantId}/${name}`

  async function find(tenantId: string, id: string): Promise<RegisteredModel | null> {
    const row = await database.registeredModel.findUnique({ where: { registeredModelId: id.slice(0, 40) } })
    return row?.tenantId === tenantId && !row.deleting ? row : null
  }

  /** Leads the link of a name to what is current by now. Whoever moves it last does so by the newest record, also of two coordinators. */
  async function followRecord({ tenantId, name }: ModelName): Promise<void> {
    const current = () => database.registeredModel.findFirst({ where: { tenantId, name, current: true } })
    for (let row = await current(), moved = false; !moved; ) {
      await pointTo(dataDir, { tenantId, name }, row?.contentHash ?? null)
      const after = await current()
      moved = after?.contentHash === row?.contentHash
      row = after
    }
  }

  /** Only in its name's turn. */
  async function remove(row: RegisteredModel): Promise<void> {
    const { registeredModelId, tenantId, name } = row
    await transact(database, async (tx) => {
      await tx.registeredModel.updateMany({ where: { registeredModelId }, data: { deleting: true, current: false } })
      const others = { tenantId, name, deleting: false }
      if ((await tx.registeredModel.count({ where: { ...others, current: true } })) > 0) return
      const before = await tx.registeredModel.findFirst({ where: others, orderBy: lastFirst })
      if (before) await tx.registeredModel.update({ where: idOf(before), data: { current: true } })
    })
    await followRecord(row)
    await discardModel(dataDir, row, row.contentHash)
    await transact(database, (tx) => tx.registeredModel.deleteMany({ where: { registeredModelId, deleting: true } }))
  }

  async function write(tx: Transaction, model: NewModel, placed: Awaited<ReturnType<typeof placeModel>>): Promise<RegisteredModel> {
    const { tenantId, name, kind, modelType, loraRank, basePath, jobId, checkpoint } = model
    const { contentHash, files, bytes } = placed
    const checkpointId = checkpoint?.checkpointId ?? null
    const known = await tx.registeredModel.findFirst({ where: { tenantId, name, contentHash, jobId, checkpointId, deleting: false } })
    // Done before a crash; another may have become current since.
    if (known) return known
    const last = await tx.registeredModel.findFirst({ where: { tenantId, name }, orderBy: lastFirst })
    const columns = {
      kind: kind.slice(0, 32),
      modelType: modelType.slice(0, 64),
      loraRank,
      baseModel: JSON.stringify(model.baseModel),
      basePath,
      files: JSON.stringify(files),
      bytes: BigInt(bytes),
      jobId,
      checkpointId,
      step: checkpoint?.step ?? null,
      current: true,
      deleting: false,
      // However clocks go, what is registered later is the later.
      registeredAt: new Date(Math.max(clock().getTime(), last ? last.registeredAt.getTime() + 1 : 0)),
    }
    await tx.registeredModel.updateMany({ where: { tenantId, name, current: true }, data: { current: false } })
    return await tx.registeredModel.upsert({
      where: { tenantId_name_contentHash: { tenantId, name, contentHash } },
      create: { registeredModelId: newId('model', clock().getTime()), tenantId, name, contentHash, ...columns },
      update: columns,
    })
  }

  return {
    /**
     * Registers a model and makes it current, unless `isWanted`, which may lock what it looks at, says that it is not wanted any more: then answers null.
     * Safe to repeat after a crash at any point. What was published of the same job's checkpoints under the name goes, but for the one before, which a server
     * may still be reading. Throws ModelNotCopied.
     */
    register: (model: NewModel, isWanted: (tx: Transaction) => Promise<boolean>): Promise<RegisteredModel__Output | null> =>
      inTurn(keyOf(model), async () => {
        const { tenantId, name, jobId } = model
        const placed = await placeModel(dataDir, model, model).catch((cause: unknown) => {
          throw new ModelNotCopied(cause instanceof Error ? cause.message : String(cause), { cause })
        })
        const row = await transact(database, async (tx) => ((await isWanted(tx)) ? await write(tx, model, placed) : null))
        if (!row) {
          const { contentHash } = placed
          const known = await database.registeredModel.count({ where: { tenantId, name, contentHash } })
          if (known === 0) await discardModel(dataDir, model, contentHash)
          return null
        }
        await followRecord(model)
        const published = { tenantId, name, jobId, checkpointId: { not: null }, NOT: idOf(row) }
        const [, ...past] = await database.registeredModel.findMany({ where: published, orderBy: lastFirst })
        for (const older of past) {
          if ((await userOf(database, older)) === null) await remove(older)
        }
        return toModelMessage(row, dataDir)
      }),

    /** Throws MODEL_NOT_FOUND. */
    async get(tenantId: string, id: string): Promise<RegisteredModel__Output> {
      return toModelMessage((await find(tenantId, id)) ?? notFound(id), dataDir)
    },

    /** Whether a checkpoint of a job is registered. */
    hasCheckpoint: async ({ jobId, checkpointId }: { jobId: string; checkpointId: string }): Promise<boolean> =>
      (await database.registeredModel.count({ where: { jobId, checkpointId, deleting: false } })) > 0,

    /** The folder of the tenant's model that `models/<name>@<hash>` names, by at least 12 characters of its hash; null where there is none. */
    async folderOf(tenantId: string, reference: string): Promise<string | null> {
      const [, name = '', hash = ''] = modelReference.exec(reference) ?? []
      const row = await database.registeredModel.findFirst({
        where: { tenantId, name, contentHash: { startsWith: `sha256:${hash}` }, deleting: false },
      })
      return row && hash !== '' ? modelFolder(dataDir, row, row.contentHash) : null
    },

    /** Deletes a model with its files; answers it as it was. Throws MODEL_NOT_FOUND, or InvalidInput while a job that is not over trains from it. */
    async delete(tenantId: string, id: string): Promise<RegisteredModel__Output> {
      const named = (await find(tenantId, id)) ?? notFound(id)
      return await inTurn(keyOf(named), async () => {
        const row = (await find(tenantId, id)) ?? notFound(id)
        const user = await userOf(database, row)
        if (user !== null) {
          const message = `Job ${user} starts from it, and is not over.`
          throw new InvalidInput([{ path: 'registered_model_id', message }], 'INVALID_ARGUMENT')
        }
        await remove(row)
        return toModelMessage(row, dataDir)
      })
    },

    /** Throws away what an earlier life left half copied. Call it before anything is registered. */
    sweep: () => sweepModels(dataDir),

    /** Finishes what an earlier life began: what it was deleting goes, and every link leads to what is current. */
    async settle(): Promise<void> {
      const begun = await database.registeredModel.findMany({ where: { OR: [{ deleting: true }, { current: true }] } })
      for (const { registeredModelId, tenantId, name } of begun) {
        await inTurn(keyOf({ tenantId, name }), async () => {
          const row = await database.registeredModel.findUnique({ where: { registeredModelId } })
          if (!row?.deleting) return await followRecord({ tenantId, name })
          await remove(row)
          log.info({ registered_model_id: registeredModelId }, 'finished the deletion of a model that an earlier life began')
        })
      }
    },
  }
}

/** The registered models. */
export type ModelRegistry = ReturnType<typeof modelRegistry>

/** `models/<name>@<hash>`, with at least 12 characters of the hash. */
export const modelReference = /^models\/([A-Za-z0-9_][A-Za-z0-9._-]{0,127})@([0-9a-f]{12,64})$/

const lastFirst = [{ registeredAt: 'desc' as const }, { registeredModelId: 'desc' as const }]
const idOf = ({ registeredModelId }: Pick<RegisteredModel, 'registeredModelId'>) => ({ registeredModelId })

/** A job that starts from a model, evaluates it, and may yet run; null where there is none. */
async function userOf(database: Pick<Database, '$queryRaw'>, { tenantId, name, contentHash }: RegisteredModel): Promise<string | null> {
  const begin = `models/${name}@`
  const jobs = await database.$queryRaw<{ job_id: string; model_id: string }[]>`
    SELECT job_id, JSON_VALUE(spec, '$.training_config.base_model.model_id') AS model_id FROM job
    WHERE tenant_id = ${tenantId} AND status NOT IN (${terminalStatuses[0]}, ${terminalStatuses[1]}, ${terminalStatuses[2]})
      AND LEFT(JSON_VALUE(spec, '$.training_config.base_model.model_id'), ${begin.length}) = ${begin}`
  return jobs.find(({ model_id }) => contentHash.startsWith(`sha256:${model_id.slice(begin.length)}`))?.job_id ?? null
}

/** A registered model as `scaimind.v1` has it. */
export function toModelMessage(row: RegisteredModel, dataDir: string): RegisteredModel__Output {
  return {
    registered_model_id: row.registeredModelId,
    tenant_id: row.tenantId,
    name: row.name,
    content_hash: row.contentHash,
    kind: row.kind,
    path: modelFolder(dataDir, row, row.contentHash),
    files: JSON.parse(row.files) as string[],
    bytes: String(row.bytes),
    base_model: JSON.parse(row.baseModel) as BaseModel__Output,
    base_path: row.basePath,
    model_type: row.modelType,
    lora_rank: row.loraRank,
    job_id: row.jobId,
    checkpoint_id: row.checkpointId ?? '',
    ...(row.step === null ? {} : { step: String(row.step) }),
    current: row.current,
    registered_at: toTimestamp(row.registeredAt),
  }
}

function notFound(id: string): never {
  throw new Failure('MODEL_NOT_FOUND', `There is no registered model ${JSON.stringify(id.slice(0, 64))}.`)
}
