import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { extname } from 'node:path'
import type { PrismaClient } from '../../generated/prisma/coordinator/client.js'

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

const lineFormats = new Set(['txt', 'text', 'jsonl', 'ndjson', 'json_lines', 'csv'])

/** The hashes, kept in the table `file_hash`. */
export function fileHashes({ database, clock }: { database: Pick<PrismaClient, 'fileHash'>; clock: () => Date }): FileHashes {
  const reading = new Map<string, Promise<HashedFile>>()

  async function identify(path: string, format: string) {
    const { size, mtimeNs, ino } = await stat(path, { bigint: true })
    const hasLines = lineFormats.has((format || extname(path).slice(1)).toLowerCase())
    const pathHash = createHash('sha256')
      .update(hasLines ? path : `${path}\n(bytes)`)
      .digest('hex')
    return { path, hasLines, pathHash, bytes: size, mtime: mtimeNs, inode: ino }
  }

  async function remembered(file: Awaited<ReturnType<typeof identify>>): Promise<HashedFile | null> {
    const row = await database.fileHash.findUnique({ where: { pathHash: file.pathHash } })
    if (!row || row.bytes !== file.bytes || row.mtime !== file.mtime || row.inode !== file.inode) return null
    return { contentHash: row.contentHash, records: Number(row.records), bytes: Number(row.bytes) }
  }

  async function readAndRemember(file: Awaited<ReturnType<typeof identify>>): Promise<HashedFile> {
    const read = file.hasLines ? await hashLines(file.path) : await hashBytes(file.path)
    const { pathHash, bytes, mtime, inode } = file
    const row = { bytes, mtime, inode, contentHash: read.contentHash, records: BigInt(read.records), hashedAt: clock() }
    await database.fileHash.upsert({ where: { pathHash }, create: { pathHash, ...row }, update: row })
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

/** `sha256:…` of a file's bytes. */
export async function hashBytes(path: string): Promise<{ contentHash: string; records: number }> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return { contentHash: `sha256:${hash.digest('hex')}`, records: 0 }
}

/** A record a line: empty lines, and how lines end, make no difference. */
async function hashLines(path: string): Promise<{ contentHash: string; records: number }> {
  const hash = createHash('sha256')
  let records = 0
  let rest: Buffer = Buffer.alloc(0)
  /** A line too long to be held is hashed as it comes. */
  let isWithinLine = false
  const take = (part: Buffer, isEnd: boolean) => {
    const length = isEnd && part.at(-1) === carriageReturn ? part.length - 1 : part.length
    if (!isWithinLine && isBlank(part, length)) return
    if (!isWithinLine) records++
    hash.update(part.subarray(0, length))
    if (isEnd) hash.update('\n')
    isWithinLine = !isEnd
  }
  for await (const chunk of createReadStream(path, { highWaterMark: chunkBytes })) {
    const bytes = rest.length > 0 ? Buffer.concat([rest, chunk as Buffer]) : (chunk as Buffer)
    let start = 0
    for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, start)) {
      take(bytes.subarray(start, end), true)
      start = end + 1
    }
    rest = bytes.subarray(start)
    // The last byte waits: it may be half of a line's end.
    if (rest.length <= chunkBytes) continue
    take(rest.subarray(0, -1), false)
    rest = rest.subarray(-1)
  }
  if (rest.length > 0 || isWithinLine) take(rest, true)
  return { contentHash: `sha256:${hash.digest('hex')}`, records }
}

const chunkBytes = 1 << 20
const newline = 10
const carriageReturn = 13

function isBlank(line: Buffer, end: number): boolean {
  for (let at = 0; at < end; at++) if (line[at] !== 32 && line[at] !== 9) return false
  return true
}
