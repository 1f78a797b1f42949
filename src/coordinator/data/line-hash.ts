import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { extname } from 'node:path'

/** What a hash by content found. */
export interface ContentHash {
  /** `sha256:…` of the records in their order; of the bytes where the format has no lines. */
  contentHash: string
  /** Lines that are not empty; 0 where the format has no lines. */
  records: number
}

/** Takes bytes as they come. Each line, without its end, is told as it is complete. */
export interface LineHash {
  update(bytes: Buffer): void
  /** Call once, at the end. */
  digest(): ContentHash
}

const lineFormats = new Set(['txt', 'text', 'jsonl', 'ndjson', 'json_lines', 'csv'])

/** Whether a file of this format, or of this name where none is given, has a record a line. */
export const hasLines = (format: string, path = ''): boolean => lineFormats.has((format || extname(path).slice(1)).toLowerCase())

/** Hashes a record a line: empty lines, and how lines end, make no difference. `onLine` is told every line that is not empty, with its number from 1. */
export function lineHash(onLine: (line: Buffer, number: number) => void = () => {}): LineHash {
  const hash = createHash('sha256')
  let records = 0
  let number = 0
  let rest: Buffer = Buffer.alloc(0)

  function take(line: Buffer): void {
    number++
    const end = line.at(-1) === carriageReturn ? line.length - 1 : line.length
    if (isBlank(line, end)) return
    const record = line.subarray(0, end)
    records++
    hash.update(record).update('\n')
    onLine(record, number)
  }

  return {
    update(bytes) {
      let start = 0
      for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, start)) {
        const part = bytes.subarray(start, end)
        take(rest.length > 0 ? Buffer.concat([rest, part]) : part)
        rest = Buffer.alloc(0)
        start = end + 1
      }
      if (start < bytes.length) rest = Buffer.concat([rest, bytes.subarray(start)])
    },
    digest() {
      if (rest.length > 0) take(rest)
      return { contentHash: `sha256:${hash.digest('hex')}`, records }
    },
  }
}

/** Hashes bytes as they are. */
export function bytesHash(): LineHash {
  const hash = createHash('sha256')
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => ({ contentHash: `sha256:${hash.digest('hex')}`, records: 0 }),
  }
}

/** Hashes a file by its content, in bounded memory. */
export async function hashFile(path: string, format: string): Promise<ContentHash> {
  const hash = hasLines(format, path) ? lineHash() : bytesHash()
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return hash.digest()
}

const newline = 10
const carriageReturn = 13

function isBlank(line: Buffer, end: number): boolean {
  for (let at = 0; at < end; at++) if (line[at] !== 32 && line[at] !== 9) return false
  return true
}
