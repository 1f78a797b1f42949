import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { followMetrics } from '../../../src/coordinator/journal/follow.js'
import { metricHistory } from '../../../src/coordinator/journal/history.js'
import { mergeMetrics } from '../../../src/coordinator/journal/merge-metrics.js'
import { collect, newJournal, recordsOf } from './journal-support.js'

const never = new AbortController().signal
const at = (second: number) => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString()
const loss = (step: number, second = step, values: object = { loss: 1 / step }) =>
  `${JSON.stringify({ step, epoch: 0.5, time: at(second), values })}\n`
const gpu = (second: number, ...busy: (number | null)[]) =>
  `${JSON.stringify({
    time: at(second),
    gpus: busy.map((utilization, index) => ({
      index,
      utilization,
      memory_used_bytes: (index + 1) * 1000,
      power_watts: utilization === null ? null : 100,
      temperature_celsius: 50 + index,
    })),
  })}\n`

const linesOf = (directory: string, name: string): { step: number; values: Record<string, number> }[] =>
  existsSync(join(directory, name))
    ? readFileSync(join(directory, name), 'utf8')
        .split('\n')
        .flatMap((line) => (line === '' ? [] : [JSON.parse(line)]))
    : []

/** An attempt whose GPUs are sampled. */
function sampledAttempt(ranks = 1) {
  const journal = newJournal()
  const number = journal.begin(ranks)
  for (const attempt of journal.attempts) attempt.gpuSampled = true
  const directory = journal.directory(number)
  return {
    journal,
    directory,
    append: (file: string, ...lines: string[]) => journal.append(number, file, lines.join('')),
    merge: () => mergeMetrics({ directory, ranks, closed: () => true, signal: never }),
    async records() {
      journal.end()
      const { dataDir, job, watch } = journal
      return await collect(followMetrics({ dataDir, job, watch, after: null, signal: never }))
    },
    history: (names: string[] = []) =>
      metricHistory().read({ dataDir: journal.dataDir, job: journal.job, attempts: journal.attempts, names, maxPoints: 100 }),
  }
}

describe('The metrics of a job with GPUs', () => {
  it('are its trainer’s as they are, and what its GPUs do at the newest step of the time', async () => {
    const attempt = sampledAttempt()
    attempt.append('metrics.jsonl', loss(1), loss(2), loss(3))
    attempt.append('gpu.0.jsonl', gpu(0.5, 0), gpu(2.5, 0.9))
    await attempt.merge()
    expect(recordsOf(await attempt.records()).map(({ step, epoch, values }) => ({ step, epoch, values }))).toEqual([
      { step: 0, epoch: 0, values: { gpu_utilization: 0, gpu_memory_bytes: 1000, gpu_power_watts: 100, gpu_temperature_celsius: 50 } },
      { step: 1, epoch: 0.5, values: { loss: 1 } },
      { step: 2, epoch: 0.5, values: { loss: 0.5 } },
      { step: 2, epoch: 0.5, values: { gpu_utilization: 0.9, gpu_memory_bytes: 1000, gpu_power_watts: 100, gpu_temperature_celsius: 50 } },
      { step: 3, epoch: 0.5, values: { loss: 1 / 3 } },
    ])
  })

  it('stay in the order of their times where much is there already, as after the coordinator was away', async () => {
    const attempt = sampledAttempt()
    const steps = Array.from({ length: 3000 }, (_, index) => index + 1)
    attempt.append('metrics.jsonl', ...steps.map((step) => loss(step)))
    attempt.append('gpu.0.jsonl', ...steps.map((step) => gpu(step + 0.5, 0.5)))
    await attempt.merge()
    const told = recordsOf(await attempt.records())
    expect(told.map(({ step }) => step)).toEqual(steps.flatMap((step) => [step, step]))
  })

  it('of several are the mean of their use, the most memory, the power together and the hottest, and each by its place when it is asked for', async () => {
    const attempt = sampledAttempt(2)
    attempt.append('metrics.jsonl', loss(1))
    attempt.append('gpu.0.jsonl', gpu(2, 1, 0.5))
    attempt.append('gpu.1.jsonl', gpu(2.1, 0, null))
    await attempt.merge()
    const { series, latest } = await attempt.history()
    expect(Object.fromEntries(series.map(({ name, points }) => [name, points.map(({ value }) => value)]))).toEqual({
      loss: [1],
      gpu_utilization: [0.5],
      gpu_memory_bytes: [2000],
      gpu_power_watts: [300],
      gpu_temperature_celsius: [51],
    })
    expect(Object.keys(latest?.values ?? {})).toHaveLength(5)
    const each = await attempt.history(['gpu_utilization.0', 'gpu_utilization.2', 'gpu_utilization.3', 'gpu_temperature_celsius.3'])
    expect(each.series.map(({ name, points }) => [name, points[0]?.value])).toEqual([
      ['gpu_utilization.0', 1],
      ['gpu_utilization.2', 0],
      ['gpu_temperature_celsius.3', 51],
    ])
  })

  it('are told for the nodes that speak, where another is silent', async () => {
    const attempt = sampledAttempt(2)
    attempt.append('gpu.1.jsonl', gpu(1, 0.25), gpu(2, 0.75), gpu(3, 1))
    await attempt.merge()
    const told = recordsOf(await attempt.records())
    expect(told.map(({ values, time }) => [time.toISOString(), values.gpu_utilization])).toEqual([
      [at(1), 0.25],
      [at(2), 0.75],
      [at(3), 1],
    ])
  })

  it('leave out what the trainer measures itself', async () => {
    const attempt = sampledAttempt()
    attempt.append('metrics.jsonl', loss(1, 1, { loss: 1, gpu_utilization: 0.3 }), loss(2, 2, { loss: 1, gpu_utilization: 0.4 }))
    attempt.append('gpu.0.jsonl', gpu(1.5, 0.9), gpu(3, 0.9))
    await attempt.merge()
    const { series } = await attempt.history(['gpu_utilization', 'gpu_memory_bytes'])
    expect(series.map(({ points }) => points.map(({ value }) => value))).toEqual([
      [0.3, 0.4],
      [1000, 1000],
    ])
  })

  it('begin at the step that an attempt goes on from', async () => {
    const attempt = sampledAttempt()
    const checkpoint = join(attempt.directory, 'from')
    mkdirSync(checkpoint)
    writeFileSync(join(checkpoint, 'manifest.json'), '{"version":1,"step":40}')
    writeFileSync(join(attempt.directory, 'job.json'), JSON.stringify({ resume_from: checkpoint }))
    attempt.append('gpu.0.jsonl', gpu(1, 0.1))
    await attempt.merge()
    expect(recordsOf(await attempt.records())).toMatchObject([{ step: 40 }])
  })

  it('keep what is no record, or was cut short, as gaps', async () => {
    const attempt = sampledAttempt()
    attempt.append('metrics.jsonl', loss(1), 'nonsense\n', '{"gpu_lines":[7],"step":1}\n', '{"step": 2, "epo')
    attempt.append('gpu.0.jsonl', 'nonsense\n', gpu(5, 0.5), '{"time":')
    await attempt.merge()
    const told = await attempt.records()
    expect(told.map((item) => (item.type === 'gap' ? item.reason : item.records.map(({ step }) => step)))).toEqual([
      [1],
      '2 lines are not records.',
      [1],
      'A line is not a record.',
    ])
  })

  it('of an attempt that never wrote anything are complete', async () => {
    const attempt = sampledAttempt()
    expect(await attempt.records()).toEqual([])
  })

  it('are one sequence, each record once, wherever an earlier life of the merging ended', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(3), fc.nat(60)), { maxLength: 6 }), async (lives) => {
        const attempt = sampledAttempt(2)
        let step = 0
        for (const [lines, torn] of [...lives, [1, 0] as const]) {
          for (let line = 0; line < lines; line++) {
            attempt.append('metrics.jsonl', loss(++step))
            attempt.append('gpu.0.jsonl', gpu(step, step))
            if (step % 2 === 0) attempt.append('gpu.1.jsonl', gpu(step, step))
          }
          const life = new AbortController()
          const running = mergeMetrics({ directory: attempt.directory, ranks: 2, closed: () => false, signal: life.signal })
          setTimeout(() => life.abort(), 3)
          await running
          // It dies while it writes: the end of its last line is not there.
          const merged = join(attempt.directory, 'metrics.merged.jsonl')
          const text = existsSync(merged) ? readFileSync(merged, 'utf8') : ''
          const last = text.slice(text.lastIndexOf('\n', text.length - 2) + 1)
          if (torn > 0 && text !== '') truncateSync(merged, Buffer.byteLength(text) - Math.min(torn, last.length - 1))
        }
        await attempt.merge()
        await attempt.merge()
        const lines = linesOf(attempt.directory, 'metrics.merged.jsonl')
        expect(lines.filter(({ values }) => 'loss' in values).map((line) => line.step)).toEqual(
          Array.from({ length: step }, (_, i) => i + 1),
        )
        // Every sample of both nodes is in exactly one record.
        const seen = lines.map(({ values }) => (values.gpu_power_watts ?? 0) / 100)
        expect(seen.reduce((sum, count) => sum + count, 0)).toBe(step + Math.floor(step / 2))
      }),
      { numRuns: 25 },
    )
  })
})
