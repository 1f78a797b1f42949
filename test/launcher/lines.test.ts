import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { lineSplitter } from '../../src/launcher/lines.js'

function split(chunks: (string | Buffer)[], bytesMax?: number): string[] {
  const splitter = lineSplitter(bytesMax)
  return [...chunks.flatMap((chunk) => splitter.push(Buffer.from(chunk as string))), ...splitter.end()]
}

describe('Output as lines', () => {
  it('ends them at every kind of line end, and keeps empty ones', () => {
    expect(split(['a\nb\r\nc\n\nd'])).toEqual(['a', 'b', 'c', '', 'd'])
  })

  it('makes each state of a progress bar a line', () => {
    expect(split(['\r 1%\r 2%\r\r 3%\r\ndone\n'])).toEqual([' 1%', ' 2%', ' 3%', 'done'])
  })

  it('lets a line that is too long go on in the next, and cuts no character', () => {
    expect(split(['abcdefgh\n'], 4)).toEqual(['abcd', 'efgh'])
    expect(split(['abcé€𝄞x\n'], 4)).toEqual(['abc', 'é', '€', '𝄞', 'x'])
    expect(split(['abcd\nx\n'], 4)).toEqual(['abcd', 'x'])
  })

  it('replaces what is no UTF-8', () => {
    expect(split([Buffer.from([0x61, 0xff, 0x62, 10])])).toEqual(['a\ufffdb'])
    expect(split([Buffer.alloc(10, 0x80)], 4).join('')).toHaveLength(10)
  })

  it('does not depend on the pieces in which the bytes come', () => {
    const text = fc.array(fc.constantFrom('a', 'é', '€', '\n', '\r', '\r\n', ' '), { maxLength: 60 }).map((parts) => parts.join(''))
    fc.assert(
      fc.property(
        text,
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }),
        fc.integer({ min: 4, max: 12 }),
        (whole, lengths, bytesMax) => {
          const bytes = Buffer.from(whole)
          const chunks: Buffer[] = []
          for (let at = 0, piece = 0; at < bytes.length; piece++) {
            const length = lengths[piece % lengths.length] ?? 1
            chunks.push(bytes.subarray(at, at + length))
            at += length
          }
          expect(split(chunks, bytesMax)).toEqual(split([bytes], bytesMax))
        },
      ),
    )
  })

  it('loses no character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 4, max: 9 }), (text, bytesMax) => {
        const withoutEnds = (value: string) => value.replace(/[\r\n]/g, '')
        expect(split([text], bytesMax).join('')).toBe(withoutEnds(text))
      }),
    )
  })
})
