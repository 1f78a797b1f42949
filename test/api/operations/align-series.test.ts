import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { alignSeries } from '../../../src/api/operations/align-series.js'

const points = fc
  .uniqueArray(fc.tuple(fc.integer({ min: 0, max: 5000 }), fc.double({ noNaN: true, min: -1e6, max: 1e6 })), {
    selector: ([step]) => step,
    maxLength: 800,
  })
  .map((pairs) => new Map(pairs))

describe('Metrics of several jobs', () => {
  it('are laid over the union of their steps, with null where a job has none', () => {
    const aligned = alignSeries(
      'loss',
      [
        new Map([
          [1, 5],
          [2, 4],
        ]),
        new Map([
          [2, 3],
          [4, Number.NaN],
        ]),
        new Map(),
      ],
      50,
    )
    expect(aligned).toEqual({
      name: 'loss',
      steps: [1, 2, 4],
      values: [
        [5, 4, null],
        [null, 3, null],
        [null, null, null],
      ],
    })
  })

  it('are thinned to the steps asked for, and the peaks of each job survive', () => {
    fc.assert(
      fc.property(fc.array(points, { minLength: 2, maxLength: 10 }), fc.integer({ min: 50, max: 300 }), (jobs, maxPoints) => {
        const { steps, values } = alignSeries('loss', jobs, maxPoints)
        expect(steps.length).toBeLessThanOrEqual(maxPoints)
        expect(steps).toEqual([...steps].sort((a, b) => a - b))
        for (const [index, job] of jobs.entries()) {
          const shown = (values[index] ?? []).filter((value) => value !== null)
          if (job.size === 0) continue
          expect(Math.max(...shown)).toBe(Math.max(...job.values()))
          expect(Math.min(...shown)).toBe(Math.min(...job.values()))
          for (const [at, step] of steps.entries()) expect(values[index]?.[at]).toBe(job.get(step) ?? null)
        }
      }),
      { numRuns: 50 },
    )
  })
})
