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

/** Of a line that nobody wants to see, so much is held before it is hashed. */
const heldBytesMax = 1 << 20

/** Hashes a record a line: empty lines, and how lines end, make no difference. `onLine` is told every line that is not empty, with its number from 1; without it even endless lines take no memory. */
export function lineHash(onLine?: (line: Buffer, number: number) => void): LineHash {
  const hash = createHash('sha256')
  let records = 0
  let number = 0
  // The line that has no end yet; what of it is hashed already is gone from here.
  let parts: Buffer[] = []
  let held = 0
  let isBegun = false

  function add(part: Buffer): void {
    if (part.length === 0) return
    parts.push(part)
    held += part.length
    if (onLine || held <= heldBytesMax) return
    const bytes = Buffer.concat(parts)
    // It may be the end of the line.
    const end = withoutReturn(bytes)
    hash.update(bytes.subarray(0, end))
    parts = end < bytes.length ? [bytes.subarray(end)] : []
    held = bytes.length - end
    isBegun = true
  }

  function endLine(): void {
    number++
    const [first, ...others] = parts
    const bytes = first && others.length === 0 ? first : Buffer.concat(parts)
    const line = bytes.subarray(0, withoutReturn(bytes))
    parts = []
    held = 0
    if (!isBegun && isBlank(line)) return
    isBegun = false
    records++
    hash.update(line).update('\n')
    onLine?.(line, number)
  }

  return {
    update(bytes) {
      let start = 0
      for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, start)) {
        add(bytes.subarray(start, end))
        endLine()
        start = end + 1
      }
      add(bytes.subarray(start))
    },
    digest() {
      if (held > 0 || isBegun) endLine()
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

const withoutReturn = (bytes: Buffer): number => (bytes.at(-1) === carriageReturn ? bytes.length - 1 : bytes.length)

function isBlank(line: Buffer): boolean {
  for (const byte of line) if (byte !== 32 && byte !== 9) return false
  return true
}
