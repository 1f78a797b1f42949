import { describe, expect, it } from 'vitest'
import { latestMetrics } from '../../../src/coordinator/journal/latest-metrics.js'
import { metricLine, newJournal } from './journal-support.js'

const line = (step: number, values: object) => `${JSON.stringify({ step, epoch: 0, time: '2026-01-01T00:00:00Z', values })}\n`

describe('The newest metrics of a job', () => {
  it('are read from the end of a long file, each name at its newest, and again when it grows', async () => {
    const journal = newJournal()
    const number = journal.begin()
    const latest = latestMetrics()
    const read = () => latest.of(journal.dataDir, journal.job, [{ number }])
    expect(await read()).toBeNull()
    journal.append(
      number,
      'metrics.jsonl',
      line(0, { forgotten: 1 }) + Array.from({ length: 5000 }, (_, step) => metricLine(step)).join(''),
    )
    journal.append(number, 'metrics.jsonl', line(5000, { eval_loss: 2 }) + line(5001, { loss: 1 }))
    expect(await read()).toMatchObject({ step: 5001, attempt: 1, values: { loss: 1, eval_loss: 2 } })
    journal.append(number, 'metrics.jsonl', '{"step": 5002, "values": {"lo')
    expect(await read()).toMatchObject({ step: 5001 })
    journal.append(number, 'metrics.jsonl', `ss": 0}}\n${line(5003, { loss: 7 })}`)
    expect(await read()).toMatchObject({ step: 5003, values: { loss: 7, eval_loss: 2 } })
  })

  it('are those of the newest attempt that has any', async () => {
    const journal = newJournal()
    journal.metrics(journal.begin(), 1, 2)
    journal.begin()
    const latest = latestMetrics()
    expect(await latest.of(journal.dataDir, journal.job, journal.attempts)).toMatchObject({ attempt: 1, step: 2 })
    journal.metrics(2, 2, 3)
    expect(await latest.of(journal.dataDir, journal.job, journal.attempts)).toMatchObject({ attempt: 2, step: 3 })
  })
})
