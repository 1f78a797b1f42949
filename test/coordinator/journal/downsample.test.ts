import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { downsample } from '../../../src/coordinator/journal/downsample.js'

const series = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 50 }), fc.double({ noNaN: true, noDefaultInfinity: true })), { minLength: 1, maxLength: 400 })
  .map((pairs) => {
    let step = 0
    return pairs.map(([gap, value]) => {
      step += gap
      return { step, value }
    })
  })

describe('Downsampling', () => {
  it('keeps few enough points, in order, the first and the last among them', () => {
    fc.assert(
      fc.property(series, fc.integer({ min: 2, max: 100 }), (points, maxPoints) => {
        const kept = downsample(points, maxPoints)
        expect(kept.length).toBeLessThanOrEqual(maxPoints)
        const places = kept.map((point) => points.indexOf(point))
        expect(places).toEqual(places.toSorted((a, b) => a - b))
        expect(new Set(places).size).toBe(kept.length)
        expect(places[0]).toBe(0)
        expect(places.at(-1)).toBe(points.length - 1)
      }),
    )
  })

  it('keeps the lowest and the highest point', () => {
    fc.assert(
      fc.property(series, fc.integer({ min: 4, max: 100 }), (points, maxPoints) => {
        const values = downsample(points, maxPoints).map(({ value }) => value)
        const all = points.map(({ value }) => value)
        expect(Math.min(...values)).toBe(Math.min(...all))
        expect(Math.max(...values)).toBe(Math.max(...all))
      }),
    )
  })

  it('leaves a short series as it is', () => {
    fc.assert(fc.property(series, (points) => downsample(points, points.length) === points))
  })
})
