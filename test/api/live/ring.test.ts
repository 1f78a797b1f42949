import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { beginning, type Chunk, Ring } from '../../../src/api/live/ring.js'

const at = (sequence: number) => ({ attempt: 1, sequence })
const chunk = (sequence: number, bytes: number): Chunk<number> => ({
  from: sequence === 0 ? beginning : at(sequence - 1),
  to: at(sequence),
  bytes,
  message: sequence,
  at: 0,
})

describe('The ring', () => {
  it('holds the newest chunks within its bytes, and everything after its start', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 200 }), fc.integer({ min: 1, max: 120 }), (sizes, bytesMax) => {
        const ring = new Ring<number>(beginning, bytesMax)
        sizes.forEach((bytes, sequence) => {
          ring.push(chunk(sequence, bytes))
        })
        const held: Chunk<number>[] = []
        for (let number = ring.first; number < ring.next; number++) held.push(ring.at(number) as Chunk<number>)
        const bytes = held.reduce((sum, one) => sum + one.bytes, 0)
        expect(bytes <= bytesMax || held.length === 1).toBe(true)
        expect(ring.bytes).toBe(bytes)
        expect(held.map(({ message }) => message)).toEqual(sizes.map((_, index) => index).slice(sizes.length - held.length))
        expect(ring.next).toBe(sizes.length)
        if (held.length > 0) expect(ring.start).toEqual(held[0]?.from.sequence === -1 ? beginning : held[0]?.from)
        for (const { to, message } of held) expect(ring.numberAfter(to)).toBe(message + 1)
        expect(ring.at(ring.first - 1)).toBeUndefined()
      }),
    )
  })

  it('readers that stood in it are behind it after a reset', () => {
    const ring = new Ring<number>(beginning, 100)
    ring.push(chunk(5, 1))
    const number = ring.next
    ring.reset(at(9))
    expect(number).toBeLessThan(ring.first)
    expect(ring.head.sequence).toBe(9)
    expect(ring.at(ring.first)).toBeUndefined()
  })
})
