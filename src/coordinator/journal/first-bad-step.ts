import { readLines, startOfFile } from './lines.js'

const windowBytes = 256 * 1024
/** What lies beyond is not looked at. */
const searchBytes = 256 * 2 ** 20
// Python's json writes NaN and Infinity; others write null.
const badLoss = /"loss"\s*:\s*(?:NaN|-?Infinity|null)/

/** The step of the first metric record whose loss is no number; null where there is none. */
export async function firstBadStep(path: string): Promise<number | null> {
  for (let place = startOfFile; place.offset < searchBytes; ) {
    const read = await readLines(path, place, windowBytes)
    if (!read) return null
    const line = read.lines.find((text) => text !== null && badLoss.test(text))
    const step = line ? /"step"\s*:\s*(\d{1,15})/.exec(line)?.[1] : undefined
    if (step !== undefined) return Number(step)
    if (read.atEnd) return null
    place = read.next
  }
  return null
}
