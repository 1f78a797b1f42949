import { describe, expect, it } from 'vitest'
import { downsample } from '../../../src/coordinator/journal/downsample.js'
import { addEntry, keptPointsMax, newSeries } from '../../../src/coordinator/journal/growing-series.js'

describe('A series of a million points', () => {
  it('is kept in bounded memory, and its peaks survive down to 100 points', () => {
    const series = newSeries()
    const time = new Date(0)
    const peaks = new Map([
      [3, 700],
      [123_457, -900],
      [500_000, 1000],
      [999_998, -1000],
    ])
    let most = 0
    for (let step = 0; step < 1_000_000; step++) {
      const loss = peaks.get(step) ?? Math.sin(step / 1000)
      addEntry(series, { attempt: 1, sequence: step, step, epoch: 0, time, values: { loss } })
      if (step % 1000 === 0) most = Math.max(most, series.byName.get('loss')?.length ?? 0)
    }
    expect(most).toBeLessThan(keptPointsMax)
    expect(series.latest).toMatchObject({ step: 999_999 })
    const kept = downsample(series.byName.get('loss') ?? [], 100)
    expect(kept.length).toBeLessThanOrEqual(100)
    expect(kept[0]?.step).toBe(0)
    expect(kept.at(-1)?.step).toBe(999_999)
    for (const [step, value] of peaks) expect(kept).toContainEqual({ step, value, timeMs: 0 })
  })

  it('keeps no more names than metrics can have', () => {
    const series = newSeries()
    const values = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`name_${index}`, index]))
    addEntry(series, { attempt: 1, sequence: 0, step: 0, epoch: 0, time: new Date(0), values })
    expect(series.byName.size).toBe(64)
  })
})
