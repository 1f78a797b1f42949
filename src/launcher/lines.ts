const newline = 10
const carriageReturn = 13

/** Cuts a stream of bytes into lines. */
export interface LineSplitter {
  /** The lines that end in this chunk. */
  push(chunk: Buffer): string[]
  /** The last line, where it has no end of its own. */
  end(): string[]
}

/**
 * Lines end at \n, \r\n or \r: progress bars rewrite theirs with \r, which would otherwise be one line for ever. An empty line between
 * two \r is none. A line longer than `bytesMax` goes on in the next; no character is cut. Invalid UTF-8 is replaced.
 */
export function lineSplitter(bytesMax = 16_384): LineSplitter {
  let rest: Buffer = Buffer.alloc(0)
  let afterReturn = false
  return {
    push(chunk) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      const lines: string[] = []
      let start = 0
      for (let end = nextEnd(bytes, rest.length); end >= 0; end = nextEnd(bytes, start)) {
        const isReturn = bytes[end] === carriageReturn
        const belongsToReturn = afterReturn && end === start && !isReturn
        if (end > start || !(isReturn || belongsToReturn)) cut(bytes.subarray(start, end), bytesMax, lines)
        afterReturn = isReturn
        start = end + 1
      }
      rest = bytes.subarray(start)
      if (rest.length > 0) afterReturn = false
      while (rest.length > bytesMax) {
        const piece = pieceLength(rest, bytesMax)
        lines.push(rest.toString('utf8', 0, piece))
        rest = rest.subarray(piece)
      }
      // A copy: the slice would hold on to the whole chunk.
      rest = Buffer.from(rest)
      return lines
    },
    end() {
      const lines: string[] = []
      if (rest.length > 0) cut(rest, bytesMax, lines)
      rest = Buffer.alloc(0)
      return lines
    },
  }
}

function nextEnd(bytes: Buffer, from: number): number {
  for (let i = from; i < bytes.length; i++) if (bytes[i] === newline || bytes[i] === carriageReturn) return i
  return -1
}

function cut(line: Buffer, bytesMax: number, lines: string[]): void {
  let rest = line
  while (rest.length > bytesMax) {
    const piece = pieceLength(rest, bytesMax)
    lines.push(rest.toString('utf8', 0, piece))
    rest = rest.subarray(piece)
  }
  lines.push(rest.toString('utf8'))
}

/** At most `bytesMax`, and before the character that would be cut there. */
function pieceLength(bytes: Buffer, bytesMax: number): number {
  let length = bytesMax
  while (length > bytesMax - 4 && length > 1 && ((bytes[length] ?? 0) & 0xc0) === 0x80) length--
  return ((bytes[length] ?? 0) & 0xc0) === 0x80 ? bytesMax : length
}
