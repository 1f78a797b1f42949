import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { followLogs, followMetrics, type JournalItem } from '../../../src/coordinator/journal/follow.js'
import { mergeRanks } from '../../../src/coordinator/journal/merge.js'
import type { MetricEntry } from '../../../src/coordinator/journal/records.js'
import { followTrainerEvents } from '../../../src/coordinator/journal/trainer-events.js'
import { collect, metricLine, newJournal, recordsOf } from './journal-support.js'

const never = new AbortController().signal
const follow = (
  journal: ReturnType<typeof newJournal>,
  after: MetricEntry | { attempt: number; sequence: number } | null = null,
  signal = never,
) => followMetrics({ dataDir: journal.dataDir, job: journal.job, watch: journal.watch, after, signal })
const placesOf = (records: MetricEntry[]) => records.map(({ attempt, sequence, step }) => [attempt, sequence, step])

describe('Following a journal', () => {
  it('tells the records of all attempts in order, and ends when the job is over', async () => {
    const journal = newJournal()
    journal.metrics(journal.begin(), 1, 2)
    journal.metrics(journal.begin(), 2, 3)
    journal.end()
    const items = await collect(follow(journal))
    expect(placesOf(recordsOf(items))).toEqual([
      [1, 0, 1],
      [1, 1, 2],
      [2, 0, 2],
      [2, 1, 3],
    ])
    expect(recordsOf(items)[0]).toEqual({
      attempt: 1,
      sequence: 0,
      step: 1,
      epoch: 0,
      time: new Date('2026-01-01T00:00:00Z'),
      values: { loss: 0.5 },
    })
  })

  it('waits for a job that has no attempt, for a file that is not there and for what is not yet written', async () => {
    const journal = newJournal()
    const items = follow(journal)
    const first = items.next()
    const number = journal.begin()
    journal.metrics(number, 1)
    expect(await first).toMatchObject({ value: { type: 'batch', records: [{ step: 1 }] } })
    const second = items.next()
    journal.metrics(number, 2)
    expect(await second).toMatchObject({ value: { type: 'batch', records: [{ step: 2 }] } })
    const third = items.next()
    journal.metrics(number, 3)
    journal.close(number)
    expect(await third).toMatchObject({ value: { records: [{ step: 3 }] } })
    const fourth = items.next()
    journal.metrics(journal.begin(), 4)
    expect(await fourth).toMatchObject({ value: { records: [{ step: 4, attempt: 2 }] } })
    const end = items.next()
    journal.end()
    expect(await end).toMatchObject({ done: true })
  })

  it('tells what was written just before the end', async () => {
    const journal = newJournal()
    const number = journal.begin()
    const items = collect(follow(journal))
    journal.metrics(number, 1)
    journal.end()
    expect(recordsOf(await items)).toHaveLength(1)
  })

  it('goes on after any record with the next one, in whatever pieces the lines are written', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 3 }),
        fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 }),
        fc.nat(),
        async (lineCounts, pieces, stop) => {
          const journal = newJournal()
          const expected: [number, number, number][] = []
          const stopAt = stop % lineCounts.reduce((sum, count) => sum + count, 0)
          const reader = (async () => {
            const before: MetricEntry[] = []
            const reading = new AbortController()
            for await (const item of follow(journal, null, reading.signal)) {
              if (item.type === 'batch') before.push(...item.records)
              if (before.length > stopAt) reading.abort()
            }
            const cut = before.slice(0, stopAt + 1)
            const rest = recordsOf(await collect(follow(journal, cut.at(-1) ?? null)))
            return placesOf([...cut, ...rest])
          })()
          for (const count of lineCounts) {
            const number = journal.begin()
            for (let i = 0; i < count; i++) expected.push([number, i, i])
            const bytes = Buffer.from(Array.from({ length: count }, (_, i) => metricLine(i)).join(''))
            for (let at = 0, piece = 0; at < bytes.length; piece++) {
              const length = pieces[piece % pieces.length] ?? 1
              journal.append(number, 'metrics.jsonl', bytes.subarray(at, at + length))
              at += length
              if (piece % 3 === 0) await new Promise(setImmediate)
            }
            journal.close(number)
          }
          journal.end()
          expect(await reader).toEqual(expected)
        },
      ),
      { numRuns: 15 },
    )
  })

  it('tells of a last line that was cut short as a gap, once', async () => {
    const journal = newJournal()
    const number = journal.begin()
    journal.metrics(number, 1)
    journal.append(number, 'metrics.jsonl', '{"step": 2, "val')
    journal.end()
    const items = await collect(follow(journal))
    expect(items.at(-1)).toMatchObject({ type: 'gap', from: { attempt: 1, sequence: 0 }, to: { attempt: 1, sequence: 1 } })
    expect(await collect(follow(journal, { attempt: 1, sequence: 1 }))).toEqual([])
  })

  it('counts a line that is no record, tells it as a gap and goes on', async () => {
    const journal = newJournal()
    const number = journal.begin()
    journal.metrics(number, 1)
    journal.append(number, 'metrics.jsonl', `nonsense\n{"step":-1}\n${'x'.repeat(5 * 2 ** 20)}\n`)
    journal.metrics(number, 2)
    journal.end()
    const items = await collect(follow(journal))
    expect(placesOf(recordsOf(items))).toEqual([
      [1, 0, 1],
      [1, 4, 2],
    ])
    const gaps = items.filter((item): item is Extract<JournalItem<MetricEntry>, { type: 'gap' }> => item.type === 'gap')
    expect(gaps[0]?.from.sequence).toBe(0)
    expect(gaps.at(-1)?.to.sequence).toBe(3)
  })

  it('leaves out values that are no number, as Python writes them', async () => {
    const journal = newJournal()
    const number = journal.begin()
    journal.append(
      number,
      'metrics.jsonl',
      '{"step": 1, "time": "2026-01-01T00:00:00Z", "values": {"loss": NaN, "lr": 0.1, "x": -Infinity}}\n',
    )
    journal.end()
    expect(recordsOf(await collect(follow(journal)))[0]?.values).toEqual({ lr: 0.1 })
  })

  it('tells at most 500 records or 64 KB at once', async () => {
    const journal = newJournal()
    const number = journal.begin()
    journal.metrics(number, ...Array.from({ length: 2000 }, (_, i) => i))
    journal.end()
    const items = await collect(follow(journal))
    expect(recordsOf(items)).toHaveLength(2000)
    for (const item of items) {
      if (item.type !== 'batch') continue
      expect(item.records.length).toBeLessThanOrEqual(500)
      expect(item.records.map(({ step }) => metricLine(step)).join('').length).toBeLessThanOrEqual(65_536)
    }
  })

  it('tells no more at once to a reader who is far behind', async () => {
    const journal = newJournal()
    const number = journal.begin()
    const text = (index: number) => `${index} ${'x'.repeat(index % 10 === 0 ? 16_000 : 500)}`
    journal.logs(number, ...Array.from({ length: 1500 }, (_, index) => text(index)))
    journal.end()
    const items = await collect(
      followLogs({ dataDir: journal.dataDir, job: journal.job, watch: journal.watch, after: null, signal: never }),
    )
    expect(recordsOf(items).map((record) => record.text)).toEqual(Array.from({ length: 1500 }, (_, index) => text(index)))
    for (const item of items) {
      if (item.type !== 'batch') continue
      expect(item.records.map((record) => record.text).join('').length).toBeLessThanOrEqual(65_536)
    }
  })

  it('does not go round in circles while a change waits to be looked at', async () => {
    const journal = newJournal()
    const number = journal.begin()
    let asked = 0
    const watch = {
      state: journal.watch.state,
      changed: async () => {
        asked++
      },
    }
    const { dataDir, job } = journal
    const items = followMetrics({ dataDir, job, watch, after: null, signal: never })
    journal.metrics(number, 1)
    expect(await items.next()).toMatchObject({ value: { type: 'batch' } })
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(asked).toBeLessThan(20)
    journal.end()
    expect(await items.next()).toMatchObject({ done: true })
  })

  it('ends when it is told to', async () => {
    const journal = newJournal()
    journal.begin()
    const reading = new AbortController()
    const items = collect(follow(journal, null, reading.signal))
    reading.abort()
    expect(await items).toEqual([])
  })

  it('keeps the numbers of lines under a filter', async () => {
    const journal = newJournal()
    const number = journal.begin()
    journal.logs(number, 'one', 'ERROR two', 'three', 'ERROR four')
    journal.end()
    const { dataDir, job, watch } = journal
    const items = await collect(followLogs({ dataDir, job, watch, after: null, signal: never, filter: ({ level }) => level === 'ERROR' }))
    expect(recordsOf(items).map(({ sequence, text }) => [sequence, text])).toEqual([
      [1, 'ERROR two'],
      [3, 'ERROR four'],
    ])
  })
})

describe('The logs of several ranks', () => {
  const line = (rank: number, second: number) =>
    `${JSON.stringify({ time: `2026-01-01T00:00:${String(second).padStart(2, '0')}Z`, rank, stream: 'stdout', level: 'INFO', text: `${rank}:${second}` })}\n`

  it('are one sequence, in which each line stands once, even where merging was interrupted', async () => {
    const journal = newJournal()
    const number = journal.begin(2)
    const directory = journal.directory(number)
    journal.append(number, 'logs.0.jsonl', line(0, 1) + line(0, 3))
    journal.append(number, 'logs.1.jsonl', line(1, 2))
    await mergeRanks({ directory, ranks: 2, closed: () => true, signal: never })
    const { rmSync, truncateSync, statSync } = await import('node:fs')
    rmSync(`${directory}/logs.merged.end`)
    truncateSync(`${directory}/logs.merged.jsonl`, statSync(`${directory}/logs.merged.jsonl`).size - 5)
    journal.append(number, 'logs.1.jsonl', `nonsense\n${line(1, 4)}`)
    const { dataDir, job, watch } = journal
    const items = collect(followLogs({ dataDir, job, watch, after: null, signal: never }))
    journal.end()
    await mergeRanks({ directory, ranks: 2, closed: () => true, signal: never })
    const told = await items
    expect(recordsOf(told).map(({ text }) => text)).toEqual(['0:1', '1:2', '0:3', '1:4'])
    expect(told.filter(({ type }) => type === 'gap')).toHaveLength(1)
  })
})

describe("A trainer's events", () => {
  it('come with their line numbers; what is unknown is skipped', async () => {
    const journal = newJournal()
    const number = journal.begin()
    const time = '2026-01-01T00:00:00Z'
    const lines = [
      { type: 'ready', time, signals: ['USR1'], pid: 7 },
      { type: 'colour', time, colour: 'blue' },
      { type: 'progress', time, step: 3, total_steps: 10, eta_seconds: null },
      { type: 'checkpoint', time, checkpoint_id: '../../etc', step: 1, path: '/x', bytes: 1 },
    ]
    journal.append(number, 'events.jsonl', `${lines.map((line) => JSON.stringify(line)).join('\n')}\nno json\n{"type":"ph`)
    const seen: unknown[] = []
    for await (const item of followTrainerEvents({
      directory: journal.directory(number),
      fromLine: 0,
      closed: () => true,
      signal: never,
    })) {
      seen.push(item)
    }
    expect(seen).toMatchObject([
      { line: 0, event: { type: 'ready', pid: 7 } },
      { line: 2, event: { type: 'progress', step: 3 } },
    ])
    for await (const { line } of followTrainerEvents({
      directory: journal.directory(number),
      fromLine: 2,
      closed: () => true,
      signal: never,
    })) {
      expect(line).toBe(2)
    }
  })

  it('come as they are written, until the attempt is closed', async () => {
    const journal = newJournal()
    let closed = false
    const directory = journal.directory(1)
    const events = followTrainerEvents({ directory, fromLine: 0, closed: () => closed, signal: never })
    const first = events.next()
    const number = journal.begin()
    journal.append(number, 'events.jsonl', '{"type": "phase", "time": "2026-01-01T00:00:00Z", "phase": "TRAINING"}\n')
    expect(await first).toMatchObject({ value: { line: 0, event: { phase: 'TRAINING', time: new Date('2026-01-01T00:00:00Z') } } })
    const second = events.next()
    journal.append(number, 'events.jsonl', '{"type": "phase", "time": "2026-01-01T00:00:00Z", "phase": "EXPORTING"}\n')
    closed = true
    expect(await second).toMatchObject({ value: { line: 1, event: { phase: 'EXPORTING' } } })
    expect(await events.next()).toMatchObject({ done: true })
  })
})
