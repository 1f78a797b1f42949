import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { lineHash } from '../../../src/coordinator/data/line-hash.js'

const hashOf = (text: string, cuts: number[] = []) => {
  const hash = lineHash()
  const bytes = Buffer.from(text)
  let start = 0
  for (const cut of [...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
    hash.update(bytes.subarray(start, cut))
    start = cut
  }
  return hash.digest()
}
const anyLine = fc.oneof(fc.constantFrom('', ' ', '\t', 'a', 'a ', ' a\r', '\r'), fc.string())

describe('The hash of lines', () => {
  it('is of the lines that are not empty, however they end and wherever the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(anyLine), fc.array(fc.nat()), fc.boolean(), (given, cuts, isWindows) => {
        const lines = given.map((line) => line.replace(/[\r\n]/g, ''))
        const text = lines.join(isWindows ? '\r\n' : '\n')
        const kept = lines.filter((line) => !/^[ \t]*$/.test(line))
        const expected = createHash('sha256')
          .update(kept.map((line) => `${line}\n`).join(''))
          .digest('hex')
        expect(hashOf(text, cuts)).toEqual({ contentHash: `sha256:${expected}`, records: kept.length })
      }),
    )
  })

  it('of a line without an end is the same in pieces as in one, and takes no memory for it', () => {
    const line = 'x'.repeat(3_000_001)
    const expected = createHash('sha256').update(`${line}\n`).digest('hex')
    expect(hashOf(line, [1, 1_048_577, 2_500_000])).toEqual({ contentHash: `sha256:${expected}`, records: 1 })
    expect(hashOf(`${line}\r\n`, [3_000_002])).toEqual({ contentHash: `sha256:${expected}`, records: 1 })
  })

  it('tells each line with its number, empty ones counted', () => {
    const told: [string, number][] = []
    const hash = lineHash((text, number) => told.push([text.toString(), number]))
    for (const part of ['a', 'b\r', '\n\nc']) hash.update(Buffer.from(part))
    hash.digest()
    expect(told).toEqual([
      ['ab', 1],
      ['c', 3],
    ])
  })
})
