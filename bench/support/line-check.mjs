const [mark, zero] = ['#'.charCodeAt(0), '0'.charCodeAt(0)]
/** Of a line's number. */
export const digits = 8

/** The number of a line as the job prints it; where it stands in a message is where the line is. */
export const numbered = (number) => `#${String(number).padStart(digits, '0')}`

/** The numbers of the lines in the bytes of a message, whatever is around them. */
function numbersIn(bytes) {
  const numbers = []
  for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 1)) {
    const number = numberAt(bytes, at + 1)
    if (number < 0) continue
    numbers.push(number)
    at += digits
  }
  return numbers
}

/** -1 where there is none: in protobuf any byte may look like the mark. */
function numberAt(bytes, start) {
  let number = 0
  for (let at = start; at < start + digits; at++) {
    const digit = bytes[at] - zero
    if (!(digit >= 0 && digit <= 9)) return -1
    number = number * 10 + digit
  }
  return number
}

const keptMax = 256

/**
 * Reads the numbers of messages, for any number of readers. Readers of the same mostly get the same bytes: those are compared with what was read
 * already, since that is cheaper than to read them again.
 */
export function numbersReader() {
  const kept = new Map()
  return (bytes) => {
    const at = bytes.indexOf(mark)
    if (at < 0) return []
    const beginning = bytes.latin1Slice(at, at + digits + 1)
    const known = kept.get(beginning)
    if (known?.bytes.equals(bytes)) return known.numbers
    const numbers = numbersIn(bytes)
    kept.set(beginning, { bytes, numbers })
    if (kept.size > keptMax) kept.delete(kept.keys().next().value)
    return numbers
  }
}

/** What one reader got of lines 0 to `last`; line 0 is printed before the clock runs. */
export function lineCheck(last) {
  const seen = new Uint8Array(last + 1)
  const got = { lines: 0, messages: 0, repeated: 0, outOfOrder: 0, firstAt: 0, lastAt: 0 }
  let next = 0
  return {
    take(numbers) {
      for (const number of numbers) {
        if (seen[number] !== 0) got.repeated++
        else if (number < next) got.outOfOrder++
        seen[number] = 1
        if (number >= next) next = number + 1
      }
      if (next <= 1) return
      got.lastAt = Date.now()
      got.firstAt ||= got.lastAt
      got.messages++
      got.lines += numbers.length
    },
    hasBegun: () => next > 0,
    figures(printed) {
      const lost = printed + 1 - seen.subarray(0, printed + 1).reduce((sum, one) => sum + one, 0)
      return { ...got, lost, linesPerSecond: (got.lines / (got.lastAt - got.firstAt)) * 1000 }
    },
  }
}
