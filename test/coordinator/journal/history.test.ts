import { describe, expect, it } from 'vitest'
import { metricHistory, type ReadMetricsOptions } from '../../../src/coordinator/journal/history.js'
import { newJournal } from './journal-support.js'

const line = (step: number, values: Record<string, number>) =>
  `${JSON.stringify({ step, epoch: 0, time: '2026-01-01T00:00:00Z', values })}\n`
const reader = (journal: ReturnType<typeof newJournal>, history = metricHistory()) => {
  const { dataDir, job } = journal
  return (options: Partial<ReadMetricsOptions> = {}) =>
    history.read({ dataDir, job, attempts: journal.attempts, names: [], maxPoints: 500, ...options })
}

describe('The history of metrics', () => {
  it('replaces what came beyond the step that a later attempt resumed from', async () => {
    const journal = newJournal()
    journal.metrics(journal.begin(), 1, 2, 3, 4)
    const read = reader(journal)
    journal.metrics(journal.begin(), 3)
    const { series, latest } = await read({ attempts: [{ number: 1 }, { number: 2, fromStep: 2 }] })
    expect(series).toMatchObject([{ name: 'loss' }])
    expect(series[0]?.points.map(({ step, attempt }) => [step, attempt])).toEqual([
      [1, 1],
      [2, 1],
      [3, 2],
    ])
    expect(latest).toMatchObject({ attempt: 2, sequence: 0, step: 3, values: { loss: 0.25 } })
  })

  it('keeps the old points while a new attempt has none', async () => {
    const journal = newJournal()
    journal.metrics(journal.begin(), 1, 2)
    journal.begin()
    expect((await reader(journal)()).series[0]?.points).toHaveLength(2)
  })

  it('answers only the names and the later steps that were asked for', async () => {
    const journal = newJournal()
    const number = journal.begin()
    journal.append(number, 'metrics.jsonl', line(1, { loss: 3, lr: 1 }) + line(2, { loss: 2, eval_loss: 9 }))
    const read = reader(journal)
    expect((await read()).series.map(({ name }) => name)).toEqual(['loss', 'lr', 'eval_loss'])
    expect((await read({ names: ['loss', 'nothing'], sinceStep: 1 })).series).toMatchObject([
      { name: 'loss', points: [{ step: 2, value: 2 }] },
    ])
    expect((await read()).latest?.values).toEqual({ loss: 2, lr: 1, eval_loss: 9 })
  })

  it('goes on reading where it stopped', async () => {
    const journal = newJournal()
    const read = reader(journal)
    const number = journal.begin()
    expect(await read()).toEqual({ series: [], latest: null })
    journal.metrics(number, 1)
    expect((await read()).series[0]?.points).toHaveLength(1)
    journal.metrics(number, 2)
    expect((await Promise.all([read(), read()])).map(({ series }) => series[0]?.points.length)).toEqual([2, 2])
  })

  it('thins a long series, keeps its peak, and has its later part in full', async () => {
    const journal = newJournal()
    const number = journal.begin()
    const values = Array.from({ length: 60_000 }, (_, step) => (step === 31_415 ? 1000 : Math.sin(step / 100)))
    journal.append(number, 'metrics.jsonl', values.map((loss, step) => line(step, { loss })).join(''))
    const read = reader(journal)
    const { series } = await read({ maxPoints: 100 })
    expect(series[0]?.points.length).toBeLessThanOrEqual(100)
    expect(series[0]?.points.length).toBeGreaterThan(90)
    expect(series[0]?.points.some(({ value }) => value === 1000)).toBe(true)
    const later = await read({ sinceStep: 59_799, maxPoints: 500 })
    expect(later.series[0]?.points.map(({ step }) => step)).toEqual(Array.from({ length: 200 }, (_, i) => 59_800 + i))
  })
})
