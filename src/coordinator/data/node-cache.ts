import { randomBytes } from 'node:crypto'
import { copyFile, link, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Failure } from '../../contract/failure.js'
import { toTimestamp } from '../../contract/proto.js'
import type { Dataset, DatasetCopy } from '../../generated/prisma/coordinator/client.js'
import type { CachedDataset__Output } from '../../generated/proto/scaimind/v1/CachedDataset.js'
import { type Database, transact } from '../jobs/records/database.js'
import type { Datasets } from './datasets.js'

/** What the cache is built on. */
export interface NodeCacheOptions {
  database: Database
  datasets: Datasets
  /** Ids of the nodes that there are. */
  nodes(): Promise<string[]>
  /** Copies lie in `<dataDir>/cache/<node>`. */
  dataDir: string
  /** Bytes of copies on a node; the least used that are not pinned go first. */
  bytesMax: number
  clock: () => Date
}

type Copies = Dataset & { copies: DatasetCopy[] }

/** The copies of data sets that nodes keep. */
export function nodeCache({ database, datasets, nodes, dataDir, bytesMax, clock }: NodeCacheOptions) {
  const pathOn = (nodeId: string, { tenantId, contentHash, format }: Dataset) =>
    join(dataDir, 'cache', encodeURIComponent(nodeId), tenantId, `${contentHash.replace(':', '-')}.${format}`)

  async function keepCopy(dataset: Dataset, nodeId: string, pin: boolean): Promise<string> {
    const path = pathOn(nodeId, dataset)
    const { datasetId, bytes } = dataset
    if (!(await exists(path))) await place(datasets.pathOf(dataset), path)
    const lastUsed = clock()
    await transact(database, (tx) =>
      tx.datasetCopy.upsert({
        where: { datasetId_nodeId: { datasetId, nodeId } },
        create: { datasetId, nodeId, path, bytes, pinned: pin, lastUsed },
        update: { path, lastUsed, ...(pin ? { pinned: true } : {}) },
      }),
    )
    await makeRoom(nodeId, datasetId)
    return path
  }

  /** Lets go of the least used copies of a node until the rest fits; never of the one that is wanted now. */
  async function makeRoom(nodeId: string, wanted: string): Promise<void> {
    const copies = await database.datasetCopy.findMany({ where: { nodeId }, orderBy: { lastUsed: 'asc' } })
    let over = copies.reduce((sum, { bytes }) => sum + Number(bytes), 0) - bytesMax
    for (const copy of copies) {
      if (over <= 0) return
      if (copy.pinned || copy.datasetId === wanted) continue
      await drop(copy)
      over -= Number(copy.bytes)
    }
  }

  /** The row first: a file without one is no harm, a row without its file would be. */
  async function drop({ datasetId, nodeId, path }: DatasetCopy): Promise<void> {
    await transact(database, (tx) => tx.datasetCopy.deleteMany({ where: { datasetId, nodeId } }))
    await rm(path, { force: true })
  }

  async function message(datasetId: string): Promise<CachedDataset__Output> {
    const found = await database.dataset.findUniqueOrThrow({ where: { datasetId }, include: { copies: { orderBy: { nodeId: 'asc' } } } })
    return toMessage(found)
  }

  return {
    /** Of the tenant's data sets, the last used first. */
    async list(tenantId: string): Promise<CachedDataset__Output[]> {
      const found = await database.dataset.findMany({
        where: { tenantId, copies: { some: {} } },
        include: { copies: { orderBy: { nodeId: 'asc' } } },
      })
      return found.sort((a, b) => lastUsed(b).getTime() - lastUsed(a).getTime()).map(toMessage)
    },

    /** Copies a data set to nodes, all where none is named. Throws DATASET_NOT_FOUND or NODE_NOT_FOUND. */
    async prefetch(tenantId: string, { datasetId, nodeIds, pin }: { datasetId: string; nodeIds: string[]; pin: boolean }) {
      const dataset = await datasets.require(tenantId, datasetId)
      const known = await nodes()
      const missing = nodeIds.find((nodeId) => !known.includes(nodeId))
      if (missing !== undefined) throw new Failure('NODE_NOT_FOUND', `The cluster has no node ${JSON.stringify(missing.slice(0, 255))}.`)
      for (const nodeId of nodeIds.length > 0 ? new Set(nodeIds) : known) await keepCopy(dataset, nodeId, pin)
      return await message(dataset.datasetId)
    },

    /** Deletes the copies of a data set, pinned ones too, not the data set. What has a copy open keeps reading it. Answers the bytes of the copies. */
    async evict(tenantId: string, datasetId: string): Promise<bigint> {
      const dataset = await datasets.require(tenantId, datasetId)
      const copies = await database.datasetCopy.findMany({ where: { datasetId: dataset.datasetId } })
      for (const copy of copies) await drop(copy)
      return copies.reduce((sum, { bytes }) => sum + bytes, 0n)
    },

    /** Where a job finds a data set: the copy on its node, made where there is none; before it has a node, the stored file. Null for a data set that is not the tenant's. */
    async fileFor(tenantId: string, datasetId: string, nodeIds: readonly string[]): Promise<string | null> {
      const dataset = await datasets.find(tenantId, datasetId)
      if (!dataset) return null
      let path = datasets.pathOf(dataset)
      for (const nodeId of nodeIds) path = await keepCopy(dataset, nodeId, false)
      return path
    },
  }
}

/** The copies. */
export type NodeCache = ReturnType<typeof nodeCache>

const lastUsed = ({ copies }: Copies): Date => copies.reduce((at, copy) => (copy.lastUsed > at ? copy.lastUsed : at), new Date(0))

function toMessage(dataset: Copies): CachedDataset__Output {
  const { datasetId, contentHash, bytes, copies } = dataset
  return {
    dataset_id: datasetId,
    path: copies[0]?.path ?? '',
    content_hash: contentHash,
    bytes: String(bytes),
    nodes: copies.map(({ nodeId }) => nodeId),
    last_used: copies.length > 0 ? toTimestamp(lastUsed(dataset)) : null,
    pinned: copies.some(({ pinned }) => pinned),
  }
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  )

/** A link where both are on one disk, else a copy that is whole before it has its name. */
async function place(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o700 })
  try {
    await link(from, to)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code === 'ENOENT') throw error
    const part = `${to}.${randomBytes(6).toString('hex')}.part`
    await copyFile(from, part)
    const file = await open(part, 'r+')
    await file.sync().finally(() => file.close())
    await rename(part, to)
  }
}
