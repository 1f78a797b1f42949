import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { JobWatch, JournalAttempt, JournalItem } from '../../../src/coordinator/journal/follow.js'
import { attemptDirectory } from '../../../src/coordinator/journal/paths.js'

/** A job's journal in a folder of its own, written as launchers and trainers write it. */
export function newJournal() {
  const dataDir = mkdtempSync(join(tmpdir(), 'scaimind-journal-'))
  onTestFinished(({ task }) => {
    if (task.result?.state === 'pass') rmSync(dataDir, { recursive: true, force: true })
  })
  const job = { tenantId: 'tenant', jobId: 'job' }
  const attempts: JournalAttempt[] = []
  let over = false
  let wake: (() => void)[] = []
  const changed = () => {
    const woken = wake
    wake = []
    for (const resolve of woken) resolve()
  }
  const watch: JobWatch = {
    state: () => ({ attempts: attempts.map((attempt) => ({ ...attempt })), over }),
    changed: (signal) =>
      new Promise<void>((resolve) => {
        wake.push(resolve)
        signal.addEventListener('abort', () => resolve(), { once: true })
      }),
  }
  const directory = (number: number) => attemptDirectory(dataDir, job.tenantId, job.jobId, number)
  return {
    dataDir,
    job,
    watch,
    attempts,
    directory,
    /** The next attempt begins; its folder is there. */
    begin(ranks = 1): number {
      const number = attempts.length + 1
      mkdirSync(directory(number), { recursive: true })
      attempts.push({ number, closed: false, ranks })
      changed()
      return number
    },
    append(number: number, file: string, text: string | Buffer): void {
      appendFileSync(join(directory(number), file), text)
    },
    metrics(number: number, ...steps: number[]): void {
      appendFileSync(join(directory(number), 'metrics.jsonl'), steps.map(metricLine).join(''))
    },
    logs(number: number, ...texts: string[]): void {
      const lines = texts.map(
        (text) => `${JSON.stringify({ time: '2026-01-01T00:00:00Z', rank: 0, stream: 'stdout', level: levelOf(text), text })}\n`,
      )
      appendFileSync(join(directory(number), 'logs.0.jsonl'), lines.join(''))
    },
    /** The attempt's processes are dead. */
    close(number: number): void {
      for (const attempt of attempts) if (attempt.number === number) attempt.closed = true
      changed()
    },
    /** The job is terminal. */
    end(): void {
      for (const attempt of attempts) attempt.closed = true
      over = true
      changed()
    },
  }
}

export const metricLine = (step: number): string =>
  `${JSON.stringify({ step, epoch: 0, time: '2026-01-01T00:00:00Z', values: { loss: 1 / (step + 1) } })}\n`

const levelOf = (text: string) => /^(DEBUG|WARN|ERROR)/.exec(text)?.[1] ?? 'INFO'

/** Everything that a follower tells until it ends. */
export async function collect<Entry>(items: AsyncGenerator<JournalItem<Entry>>): Promise<JournalItem<Entry>[]> {
  const all: JournalItem<Entry>[] = []
  for await (const item of items) all.push(item)
  return all
}

/** The records among them. */
export function recordsOf<Entry>(items: JournalItem<Entry>[]): Entry[] {
  return items.flatMap((item) => (item.type === 'batch' ? item.records : []))
}
