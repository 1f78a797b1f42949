import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, mkdir, open, readdir, readlink, rename, rm, stat, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { bytesUnder, filesUnder, hashFolder } from '../../journal/folders.js'

/** A name among a tenant's registered models. */
export interface ModelName {
  tenantId: string
  name: string
}

/** A model as it lies in its folder. */
export interface PlacedModel {
  /** `sha256:…` over the names and contents of its files. */
  contentHash: string
  files: string[]
  bytes: number
}

/** Characters of a hash that its folder is named by. */
const hashLength = 12

const modelsFolder = (dataDir: string, tenantId: string) => join(dataDir, 'models', tenantId)

/** The folder of a model: `<dataDir>/models/<tenant>/<name>@<hash>`. */
export function modelFolder(dataDir: string, { tenantId, name }: ModelName, contentHash: string): string {
  return join(modelsFolder(dataDir, tenantId), `${name}@${contentHash.replace('sha256:', '').slice(0, hashLength)}`)
}

/** The link that leads to the current model of a name. */
export function currentLink(dataDir: string, { tenantId, name }: ModelName): string {
  return join(modelsFolder(dataDir, tenantId), `${name}@current`)
}

/**
 * Copies the files of a folder that are meant to where a model of this content lies; where it lies there already, nothing more is done. The folder has its
 * name only once it is whole and on disk. Not by hard links: whoever can write the file that a trainer left must not change a registered model by it.
 */
export async function placeModel(
  dataDir: string,
  model: ModelName,
  { source, isMeant }: { source: string; isMeant: (name: string) => boolean },
): Promise<PlacedModel> {
  const part = temporary(dataDir, model)
  try {
    const files = (await filesUnder(source)).filter(isMeant)
    await mkdir(part, { recursive: true })
    for (const name of files) {
      await mkdir(dirname(join(part, name)), { recursive: true })
      await copyFile(join(source, name), join(part, name), constants.COPYFILE_FICLONE)
      await sync(join(part, name))
    }
    for (const folder of new Set(files.map((name) => dirname(join(part, name))))) await sync(folder)
    // Of the copy, not of what was copied: that may have changed meanwhile.
    const placed = { contentHash: await hashFolder(part), files, bytes: await bytesUnder(part) }
    const folder = modelFolder(dataDir, model, placed.contentHash)
    if (!(await exists(folder))) {
      await rename(part, folder)
      await sync(dirname(folder))
    }
    return placed
  } finally {
    await rm(part, { recursive: true, force: true })
  }
}

/** Leads the link of a name to the model with this content, by a rename, so that it is never missing meanwhile; null: takes it away. */
export async function pointTo(dataDir: string, model: ModelName, contentHash: string | null): Promise<void> {
  const link = currentLink(dataDir, model)
  if (contentHash === null) return await rm(link, { force: true })
  const target = basename(modelFolder(dataDir, model, contentHash))
  if ((await readlink(link).catch(() => null)) === target) return
  const next = temporary(dataDir, model)
  await symlink(target, next)
  await rename(next, link)
  await sync(dirname(link))
}

/** Deletes a model's folder; from one moment to the next it is gone as a whole. Nothing where it is gone. */
export async function discardModel(dataDir: string, model: ModelName, contentHash: string): Promise<void> {
  const gone = temporary(dataDir, model)
  await rename(modelFolder(dataDir, model, contentHash), gone).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
  await rm(gone, { recursive: true, force: true })
}

/** Throws away what a crash left half done. Call it before the first model is placed. */
export async function sweepModels(dataDir: string): Promise<void> {
  const tenants = await readdir(join(dataDir, 'models')).catch(() => [])
  for (const tenantId of tenants) {
    const folder = modelsFolder(dataDir, tenantId)
    const left = (await readdir(folder).catch(() => [])).filter((name) => name.startsWith('.'))
    for (const name of left) await rm(join(folder, name), { recursive: true, force: true })
  }
}

// No model's name begins with a dot.
const temporary = (dataDir: string, { tenantId }: ModelName) =>
  join(modelsFolder(dataDir, tenantId), `.${randomBytes(12).toString('hex')}.part`)

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r')
  await handle.sync().finally(() => handle.close())
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  )
