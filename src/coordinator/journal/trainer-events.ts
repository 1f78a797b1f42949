import { z } from 'zod'
import { newBell, ringOnChange, ringOnEach } from './bell.js'
import { seekLine } from './line-index.js'
import { readLines } from './lines.js'
import { eventsPath } from './paths.js'

const count = z.number().int().min(0)
const score = z.object({ loss: z.number(), perplexity: z.number() })
const checkpointId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/)
const time = z.string().transform((text, context) => {
  const date = new Date(text)
  if (Number.isNaN(date.getTime())) context.addIssue('is not a time')
  return date
})

const trainerEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('ready'), time, signals: z.array(z.string()), pid: count }),
  z.object({ type: z.literal('phase'), time, phase: z.enum(['PREPARING', 'TRAINING', 'CHECKPOINTING', 'EVALUATING', 'EXPORTING']) }),
  z.object({
    type: z.literal('progress'),
    time,
    step: count,
    total_steps: count.nullish(),
    epoch: z.number().nullish(),
    total_epochs: z.number().nullish(),
    eta_seconds: z.number().nullish(),
    tokens_seen: count.nullish(),
  }),
  z.object({
    type: z.literal('checkpoint'),
    time,
    checkpoint_id: checkpointId,
    step: count,
    path: z.string(),
    bytes: count,
    metrics: z.record(z.string(), z.number()).default({}),
  }),
  z.object({ type: z.literal('checkpoint_deleted'), time, checkpoint_id: checkpointId, step: count.nullish(), path: z.string().nullish() }),
  z.object({
    type: z.literal('evaluation'),
    time,
    base: score,
    tuned: score,
    tokens: count,
    samples: z.array(z.object({ prompt: z.string(), base: z.string(), tuned: z.string() })).default([]),
  }),
  z.object({
    type: z.literal('benchmark'),
    time,
    index: count,
    result: z.object({
      name: z.string(),
      dataset: z.string().default(''),
      num_samples: count,
      content_hash: z.string().default(''),
      scores: z.record(z.string(), z.number()),
      standard_errors: z.record(z.string(), z.number()).default({}),
      samples: z.array(z.object({ prompt: z.string(), expected: z.string(), answer: z.string(), score: z.number() })).default([]),
    }),
  }),
  z.object({ type: z.literal('artefact'), time, kind: z.string(), path: z.string(), files: z.array(z.string()).default([]), bytes: count }),
  z.object({
    type: z.literal('failure'),
    time,
    class: z.string(),
    message: z.string(),
    field: z.string().nullish(),
    first_bad_step: count.nullish(),
    hint: z.string().nullish(),
    rank: count.nullish(),
    node_rank: count.nullish(),
  }),
])

/** One line of `events.jsonl`: what a trainer tells about itself. */
export type TrainerEvent = z.infer<typeof trainerEvent>

/** Reads a line of `events.jsonl`; null where its type is unknown or it does not have that type's shape. */
export function parseTrainerEvent(line: string): TrainerEvent | null {
  try {
    return trainerEvent.safeParse(JSON.parse(line)).data ?? null
  } catch {
    return null
  }
}

/** What to follow. */
export interface FollowTrainerEventsOptions {
  /** The attempt's folder. */
  directory: string
  /** The number, from 0, of the first line to tell. */
  fromLine: number
  /** Whether the attempt's processes are proven dead; asked before each read. */
  closed: () => boolean
  /** Resolves where `closed` may have changed, so that the end is seen at once; without it, within 200 ms. */
  changed?: (signal: AbortSignal) => Promise<void>
  signal: AbortSignal
}

/** The events of one attempt as its trainer writes them, each with its line number. Lines that are no known event are skipped. Ends when the attempt is closed and read to its end, or the signal aborts. */
export async function* followTrainerEvents(options: FollowTrainerEventsOptions): AsyncGenerator<{ line: number; event: TrainerEvent }> {
  const { directory, fromLine, closed, changed, signal } = options
  const path = eventsPath(directory)
  const bell = newBell()
  const ended = new AbortController()
  ringOnEach(changed ?? untilAborted, bell, AbortSignal.any([signal, ended.signal]))
  const changes = ringOnChange(path, bell)
  try {
    let place = await seekLine(path, fromLine)
    while (!signal.aborted) {
      const isClosed = closed()
      const read = await readLines(path, place, windowBytes)
      for (const [index, text] of (read?.lines ?? []).entries()) {
        const line = place.line + index
        const event = text !== null && line >= fromLine ? parseTrainerEvent(text) : null
        if (event) yield { line, event }
      }
      place = read?.next ?? place
      if (read && !read.atEnd) continue
      if (isClosed) return
      changes.arm()
      await bell.heard(pollMs)
    }
  } finally {
    changes.close()
    ended.abort()
  }
}

const windowBytes = 64 * 1024
/** Notifications can be missed. */
const pollMs = 200

const untilAborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
