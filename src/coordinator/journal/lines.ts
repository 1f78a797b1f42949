import { type FileHandle, open } from 'node:fs/promises'

/** A place between two lines of a file: the number, from 0, of the line that begins there, and its byte. */
export interface LinePlace {
  line: number
  offset: number
}

/** Whole lines, as far as they are there. */
export interface Lines {
  /** Without their newline; null for a line that is too long to be one of ours. */
  lines: (string | null)[]
  /** The place after them. */
  next: LinePlace
  /** Nothing but an unfinished line follows for now. */
  atEnd: boolean
  /** Bytes of that unfinished line. */
  restBytes: number
}

export const startOfFile: LinePlace = { line: 0, offset: 0 }

/** A longer line is skipped: what is written in good faith is far shorter. */
const lineBytesMax = 4 * 2 ** 20

/** Reads whole lines from a place on, about `windowBytes` of them and at least one where there is one. Null where there is no file. Never splits a line: an unfinished one is read when it is finished. */
export async function readLines(path: string, place: LinePlace, windowBytes: number): Promise<Lines | null> {
  return withFile(path, async (file) => {
    for (let bytes = windowBytes; ; bytes *= 8) {
      const buffer = await readAt(file, place.offset, Math.min(bytes, lineBytesMax))
      const atEnd = buffer.length < Math.min(bytes, lineBytesMax)
      // A line that is longer than the window comes alone.
      const end = (bytes > windowBytes ? buffer.indexOf(newline) : buffer.lastIndexOf(newline)) + 1
      if (end > 0) {
        const lines = buffer.toString('utf8', 0, end - 1).split('\n')
        const next = { line: place.line + lines.length, offset: place.offset + end }
        const isLast = atEnd && buffer.indexOf(newline, end) < 0
        return { lines, next, atEnd: isLast, restBytes: isLast ? buffer.length - end : 0 }
      }
      if (atEnd) return { lines: [], next: place, atEnd, restBytes: buffer.length }
      if (bytes >= lineBytesMax) return skipLine(file, place)
    }
  })
}

/** Runs with a file that is closed afterwards. Null where there is none. */
export async function withFile<Result>(path: string, run: (file: FileHandle) => Promise<Result>): Promise<Result | null> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  try {
    return await run(file)
  } finally {
    await file.close()
  }
}

export const newline = 10

/** Up to `bytes` bytes from `offset`; fewer only at the end of the file. */
export async function readAt(file: FileHandle, offset: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(bytes)
  let filled = 0
  while (filled < bytes) {
    const { bytesRead } = await file.read(buffer, filled, bytes - filled, offset + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

async function skipLine(file: FileHandle, place: LinePlace): Promise<Lines> {
  const step = 2 ** 20
  for (let offset = place.offset; ; offset += step) {
    const buffer = await readAt(file, offset, step)
    const end = buffer.indexOf(newline)
    if (end >= 0) return { lines: [null], next: { line: place.line + 1, offset: offset + end + 1 }, atEnd: false, restBytes: 0 }
    if (buffer.length < step) return { lines: [], next: place, atEnd: true, restBytes: offset + buffer.length - place.offset }
  }
}
