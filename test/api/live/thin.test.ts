import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { thin, thinMessages } from '../../../src/api/live/thin.js'

const timeOf = (time: number) => time

describe('Thinning', () => {
  it('lets one record a window through, keeps the order, and loses the newest never', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 1, maxLength: 300 }),
        fc.integer({ min: 1, max: 1000 }),
        (gaps, windowMs) => {
          let now = 0
          const times = gaps.map((gap) => {
            now += gap
            return now
          })
          const { records, waiting } = thin(times, { end: times[0] ?? 0, windowMs, timeOf })
          const told = waiting === undefined ? records : [...records, waiting]
          expect(told.at(-1)).toBe(times.at(-1))
          expect([...told].sort((a, b) => a - b)).toEqual(told)
          const span = (times.at(-1) ?? 0) - (times[0] ?? 0)
          expect(told.length).toBeLessThanOrEqual(Math.floor(span / windowMs) + 2)
        },
      ),
    )
  })

  it('says the same in one batch as in many', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 100 }), fc.integer({ min: 1, max: 20 }), (gaps, size) => {
        let now = 0
        const times = gaps.map((gap) => {
          now += gap + 1
          return now
        })
        const whole = thin(times, { end: 0, windowMs: 500, timeOf })
        const parts: number[] = []
        let waiting: number | undefined
        let end = 0
        for (let at = 0; at < times.length; at += size) {
          const some = times.slice(at, at + size)
          const result = thin(waiting === undefined ? some : [waiting, ...some], { end, windowMs: 500, timeOf })
          parts.push(...result.records)
          ;({ waiting, end } = result)
        }
        expect(parts).toEqual(whole.records)
        expect(waiting).toBe(whole.waiting)
      }),
    )
  })
})

describe('A thinned stream', () => {
  it('tells a record that waits within its window though others come that were not asked for', async () => {
    type Record = { cursor: string; kind: string; at: number }
    const begun = Date.now()
    const batch = (kind: string) => ({
      type: 'batch' as const,
      cursor: '',
      records: [{ cursor: kind, kind, at: Date.now() }],
      thinned: 0,
    })
    async function* source(): AsyncGenerator<{ type: 'batch'; cursor: string; records: Record[]; thinned: number }, void, undefined> {
      yield batch('first')
      yield batch('second')
      while (Date.now() - begun < 3000) {
        await new Promise((done) => setTimeout(done, 20))
        yield batch('other')
      }
    }
    const choose = (record: Record) => (record.kind === 'other' ? null : record)
    const told: string[] = []
    for await (const { records } of thinMessages<Record, never>(source(), { maxPerSecond: 5, choose, timeOf: ({ at }) => at })) {
      for (const { kind } of records) told.push(kind)
      if (told.includes('second')) break
    }
    expect(told).toEqual(['first', 'second'])
    expect(Date.now() - begun).toBeLessThan(2800)
  })
})
