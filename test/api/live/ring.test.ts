import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { beginning, Ring } from '../../../src/api/live/ring.js'

describe('The ring', () => {
  it('holds the newest entries within its bytes, and everything after its start', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 200 }), fc.integer({ min: 1, max: 120 }), (sizes, bytesMax) => {
        const ring = new Ring<number>(beginning, bytesMax)
        sizes.forEach((bytes, sequence) => {
          ring.push({ position: { attempt: 1, sequence }, bytes, item: sequence })
        })
        const held = ring.take(ring.first, 1000, 1e9)
        const bytes = held.reduce((sum, entry) => sum + entry.bytes, 0)
        expect(bytes <= bytesMax || held.length === 1).toBe(true)
        expect(ring.bytesFrom(ring.first)).toBe(bytes)
        expect(held.map(({ item }) => item)).toEqual(sizes.map((_, index) => index).slice(sizes.length - held.length))
        expect(ring.next).toBe(sizes.length)
        if (held.length > 0) expect(ring.start.sequence).toBe(sizes.length - held.length - 1)
        for (const { position, item } of held) expect(ring.numberAfter(position)).toBe(item + 1)
      }),
    )
  })

  it('readers that stood in it are behind it after a reset', () => {
    const ring = new Ring<number>(beginning, 100)
    ring.push({ position: { attempt: 0, sequence: 5 }, bytes: 1, item: 5 })
    const number = ring.next
    ring.reset({ attempt: 0, sequence: 9 })
    expect(number).toBeLessThan(ring.first)
    expect(ring.head.sequence).toBe(9)
    expect(ring.take(ring.first, 10, 10)).toEqual([])
  })
})
