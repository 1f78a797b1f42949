import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Fence } from './fence.js'

/** The states of a job that a trainer announces. */
export type Phase = 'PREPARING' | 'TRAINING' | 'CHECKPOINTING' | 'EVALUATING' | 'EXPORTING'

/** Loss in nats a token, and its exponential. */
export interface Score {
  loss: number
  perplexity: number
}

/** One record of a benchmark, for people to look at. */
export interface BenchmarkSample {
  prompt: string
  expected: string
  answer: string
  score: number
}

/** What a benchmark found. */
export interface BenchmarkResult {
  name: string
  dataset: string
  num_samples: number
  content_hash: string
  scores: Record<string, number>
  standard_errors: Record<string, number>
  samples: BenchmarkSample[]
}

/** One line of `events.jsonl`, without its time. */
export type TrainerEvent =
  | { type: 'ready'; signals: ['USR1', 'TERM']; pid: number }
  | { type: 'phase'; phase: Phase }
  | {
      type: 'progress'
      step: number
      total_steps: number
      epoch: number
      total_epochs: number
      eta_seconds: number | null
      tokens_seen: number
    }
  | { type: 'checkpoint'; checkpoint_id: string; step: number; path: string; bytes: number; metrics: Record<string, number> }
  | { type: 'checkpoint_deleted'; checkpoint_id: string; step: number; path: string }
  | { type: 'evaluation'; base: Score; tuned: Score; tokens: number; samples: { prompt: string; base: string; tuned: string }[] }
  | { type: 'benchmark'; index: number; result: BenchmarkResult }
  | { type: 'artefact'; kind: 'adapter' | 'model'; path: string; files: string[]; bytes: number }
  | { type: 'failure'; class: string; message: string; field?: string; first_bad_step?: number; hint?: string }

/** What an attempt tells about itself: two files of JSON lines, and the log. */
export interface Journal {
  event(event: TrainerEvent): void
  metrics(step: number, epoch: number, values: Record<string, number>): void
  /** A line of the log, on standard output. */
  log(line: string): void
}

/** How old, in milliseconds, what is known of newer attempts may be when a line is written. */
const FENCE_AGE_MS = 1000

/** Writes `events.jsonl` and `metrics.jsonl` in an attempt's folder, each line whole and at once, unless a newer attempt has begun. Numbers that are not finite are left out. */
export function openJournal(directory: string, fence: Fence): Journal {
  const append = (file: string, line: object) => {
    fence.check(FENCE_AGE_MS)
    appendFileSync(join(directory, file), `${JSON.stringify(line)}\n`)
  }
  return {
    event: ({ type, ...rest }) => append('events.jsonl', { type, time: new Date().toISOString(), ...rest }),
    metrics: (step, epoch, values) => {
      const finite = Object.fromEntries(Object.entries(values).filter(([, value]) => Number.isFinite(value)))
      append('metrics.jsonl', { step, epoch, time: new Date().toISOString(), values: finite })
    },
    log: (line) => process.stdout.write(`${line}\n`),
  }
}
