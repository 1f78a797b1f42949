import { type LinePlace, newline, readAt, startOfFile, withFile } from './lines.js'

const markBytes = 256 * 1024
const marksMax = 65_536
const filesMax = 256

/** Places in a file that were passed, so that a line is found without counting from the start. They grow with the file. */
interface FileIndex {
  marks: LinePlace[]
}

// A cache of facts about files that only grow; the least recently used file is forgotten first.
const indexes = new Map<string, FileIndex>()

/** The place of a line; where the file has fewer whole lines, the place after its last. */
export async function seekLine(path: string, line: number): Promise<LinePlace> {
  return (await withFile(path, async (file) => scan(await usableIndex(path, file), file, line))) ?? startOfFile
}

/** The place after the last whole line, and passed places before it, in order from the start of the file, some 256 KB apart. */
export async function marksOf(path: string): Promise<{ marks: LinePlace[]; end: LinePlace }> {
  const found = await withFile(path, async (file) => {
    const index = await usableIndex(path, file)
    const end = await scan(index, file, Number.POSITIVE_INFINITY)
    return { marks: index.marks.filter((mark) => mark.offset < end.offset), end }
  })
  return found ?? { marks: [], end: startOfFile }
}

type File = Parameters<Parameters<typeof withFile>[1]>[0]

async function usableIndex(path: string, file: File): Promise<FileIndex> {
  const known = indexes.get(path)
  const { size } = await file.stat()
  const index = known && (known.marks.at(-1)?.offset ?? 0) <= size ? known : { marks: [startOfFile] }
  indexes.delete(path)
  indexes.set(path, index)
  for (const oldest of indexes.keys()) {
    if (indexes.size <= filesMax) break
    indexes.delete(oldest)
  }
  return index
}

async function scan(index: FileIndex, file: File, line: number): Promise<LinePlace> {
  let place = lastMarkUpTo(index.marks, line)
  let searchFrom = place.offset
  for (;;) {
    const buffer = await readAt(file, searchFrom, markBytes)
    let at = -1
    for (let next = buffer.indexOf(newline); next >= 0 && place.line < line; next = buffer.indexOf(newline, at + 1)) {
      place = { line: place.line + 1, offset: searchFrom + next + 1 }
      at = next
    }
    if (at >= 0 && (index.marks.at(-1)?.line ?? 0) < place.line && buffer.length === markBytes) addMark(index, place)
    if (place.line >= line || buffer.length < markBytes) return place
    searchFrom += buffer.length
  }
}

function addMark(index: FileIndex, place: LinePlace): void {
  index.marks.push(place)
  if (index.marks.length > marksMax) index.marks = index.marks.filter((_, at) => at % 2 === 0)
}

function lastMarkUpTo(marks: LinePlace[], line: number): LinePlace {
  let low = 0
  let high = marks.length - 1
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if ((marks[middle]?.line ?? 0) <= line) low = middle
    else high = middle - 1
  }
  return marks[low] ?? startOfFile
}
