import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { type Database, transact } from '../jobs/records/database.js'
import { hashFile, hasLines } from './line-hash.js'

/** What a file holds. */
export interface HashedFile {
  /** `sha256:…` of its records in their order; of its bytes where its format has no lines. */
  contentHash: string
  /** Lines that are not empty; 0 where its format has no lines. */
  records: number
  bytes: number
}

/** Hashes of files by content. Each file is read once, and remembered for as long as its size, time and inode stay. */
export interface FileHashes {
  /** Reads the file where it has to. Throws where it cannot be read. `format` is as a submission names it; default: by the file's name. */
  of(path: string, format?: string): Promise<HashedFile>
  /** The same without reading: null where the file was not hashed before, or has changed since. */
  known(path: string, format?: string): Promise<HashedFile | null>
}

/** The hashes, kept in the table `file_hash`. */
export function fileHashes({ database, clock }: { database: Database; clock: () => Date }): FileHashes {
  const reading = new Map<string, Promise<HashedFile>>()

  async function identify(path: string, format: string) {
    const { size, mtimeNs, ino } = await stat(path, { bigint: true })
    const isByLine = hasLines(format, path)
    const pathHash = createHash('sha256')
      .update(isByLine ? path : `${path}\n(bytes)`)
      .digest('hex')
    return { path, isByLine, pathHash, bytes: size, mtime: mtimeNs, inode: ino }
  }

  async function remembered(file: Awaited<ReturnType<typeof identify>>): Promise<HashedFile | null> {
    const row = await database.fileHash.findUnique({ where: { pathHash: file.pathHash } })
    if (!row || row.bytes !== file.bytes || row.mtime !== file.mtime || row.inode !== file.inode) return null
    return { contentHash: row.contentHash, records: Number(row.records), bytes: Number(row.bytes) }
  }

  async function readAndRemember(file: Awaited<ReturnType<typeof identify>>): Promise<HashedFile> {
    const read = await hashFile(file.path, file.isByLine ? 'txt' : 'bytes')
    const { pathHash, bytes, mtime, inode } = file
    const row = { bytes, mtime, inode, contentHash: read.contentHash, records: BigInt(read.records), hashedAt: clock() }
    await transact(database, (tx) => tx.fileHash.upsert({ where: { pathHash }, create: { pathHash, ...row }, update: row }))
    return { ...read, bytes: Number(bytes) }
  }

  return {
    async of(path, format = '') {
      const file = await identify(path, format)
      const key = `${file.pathHash} ${file.bytes} ${file.mtime}`
      const found = reading.get(key) ?? remembered(file).then((hash) => hash ?? readAndRemember(file))
      reading.set(key, found)
      return await found.finally(() => reading.delete(key))
    },
    known: async (path, format = '') => remembered(await identify(path, format)),
  }
}
