import { newBell, ringOnChange } from './bell.js'
import { type LinePlace, type Lines, readLines, startOfFile } from './lines.js'

/** Which files are read as they grow. */
export interface TailFilesOptions {
  paths: string[]
  /** Where to begin, a path each; moved on with what was taken. */
  places: LinePlace[]
  /** Whether nobody writes them any more; asked before each read. */
  closed: () => boolean
  signal: AbortSignal
  /** Which files are read in this round. Default: all. */
  wants?: (index: number) => boolean
  /** Takes what was read of each file, from its place on; null where there is no such file, or it was not wanted. */
  take(reads: (Lines | null)[]): Promise<void>
}

const windowBytes = 64 * 1024
const pollMs = 200

/** Reads several files side by side as they grow. Answers true once they are closed and all of them is taken, false where the signal aborted before. */
export async function tailFiles({ paths, places, closed, signal, wants = () => true, take }: TailFilesOptions): Promise<boolean> {
  const bell = newBell()
  const changes = paths.map((path) => ringOnChange(path, bell))
  signal.addEventListener('abort', bell.ring, { once: true })
  try {
    while (!signal.aborted) {
      const isClosed = closed()
      const wanted = paths.map((_, index) => wants(index))
      const reads = await Promise.all(
        paths.map((path, index) => (wanted[index] ? readLines(path, places[index] ?? startOfFile, windowBytes) : null)),
      )
      await take(reads)
      for (const [index, read] of reads.entries()) if (read) places[index] = read.next
      if (wanted.includes(false) || reads.some((read) => read && !read.atEnd)) continue
      if (isClosed) return true
      for (const change of changes) change.arm()
      await bell.heard(pollMs)
    }
    return false
  } finally {
    signal.removeEventListener('abort', bell.ring)
    for (const change of changes) change.close()
  }
}
