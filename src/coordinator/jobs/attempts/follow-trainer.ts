import { join, resolve, sep } from 'node:path'
import { toTimestamp } from '../../../contract/proto.js'
import type { ModelArtefact__Output } from '../../../generated/proto/scaimind/v1/ModelArtefact.js'
import type { Progress__Output } from '../../../generated/proto/scaimind/v1/Progress.js'
import { attemptDirectory } from '../../journal/paths.js'
import { followTrainerEvents, type TrainerEvent } from '../../journal/trainer-events.js'
import { evaluationOf } from '../content/evaluation-file.js'
import { checkpointId } from '../records/checkpoints.js'
import { phaseTransition } from '../records/lifecycle.js'
import type { JobRecord } from '../records/record.js'
import { statusOf } from '../records/record.js'
import type { Change, JobStore } from '../records/store.js'

/** Which attempt, and how to know that it ended. */
export interface FollowTrainerOptions {
  dataDir: string
  job: JobRecord
  number: number
  closed: () => boolean
  changed: (signal: AbortSignal) => Promise<void>
  signal: AbortSignal
}

/** Progress is written at most this often; what lies between is skipped. */
const progressIntervalMs = 500

interface Line {
  line: number
  event: TrainerEvent
}

/**
 * Brings what an attempt's trainer tells into the job's record, each line exactly once: the count of lines applied moves in the transaction that
 * applies them. Ends when the attempt is closed and read to its end, or the signal aborts. Safe to begin again at any time.
 */
export async function followTrainer(
  store: JobStore,
  { dataDir, job, number, closed, changed, signal }: FollowTrainerOptions,
): Promise<void> {
  const directory = attemptDirectory(dataDir, job.tenantId, job.jobId, number)
  const stored = await store.find(job.jobId)
  const fromLine = stored?.attempts.find((attempt) => attempt.number === number)?.eventsApplied ?? 0
  let progress: Line | null = null
  let written = 0
  let timer: NodeJS.Timeout | undefined
  let failed: unknown
  // One write after the other, in the order of the lines.
  let queue = Promise.resolve()
  const flush = (more: Line[] = []): Promise<void> => {
    const lines = progress ? [progress, ...more] : more
    progress = null
    clearTimeout(timer)
    timer = undefined
    if (lines.length === 0) return queue
    written = Date.now()
    queue = queue.then(async () => {
      await store.change(job.jobId, (current) => applyLines(current, { number, directory, lines }))
    })
    return queue
  }
  try {
    for await (const line of followTrainerEvents({ directory, fromLine, closed, changed, signal })) {
      if (failed) throw failed
      if (line.event.type !== 'progress') {
        await flush([line])
        continue
      }
      progress = line
      timer ??= setTimeout(
        () => {
          flush().catch((error: unknown) => {
            failed = error
          })
        },
        Math.max(0, written + progressIntervalMs - Date.now()),
      )
    }
    await flush()
    if (failed) throw failed
  } finally {
    clearTimeout(timer)
    await queue.catch(() => {})
  }
}

/** What lines of a trainer change in its job. Lines that are applied already change nothing. Pure but for the rows it writes. */
export function applyLines(
  job: JobRecord,
  { number, directory, lines }: { number: number; directory: string; lines: Line[] },
): Change | null {
  const attempt = job.attempts.find((candidate) => candidate.number === number)
  const fresh = lines.filter(({ line }) => attempt && line >= attempt.eventsApplied)
  const last = fresh.at(-1)
  if (!attempt || !last) return null
  const isCurrent = job.attempt === number
  let standing = job
  const changes = fresh.map(({ event }) => {
    const change = applyEvent(standing, { number, directory, event, isCurrent })
    const [step] = change.steps
    if (step?.happened) standing = { ...standing, status: phaseStatus(event, standing) }
    return change
  })
  return {
    steps: changes.flatMap(({ steps }) => steps),
    effects: async (tx) => {
      for (const { effects } of changes) await effects?.(tx)
      await tx.attempt.update({ where: { jobId_number: { jobId: job.jobId, number } }, data: { eventsApplied: last.line + 1 } })
    },
  }
}

const phaseStatus = (event: TrainerEvent, job: JobRecord): string => (event.type === 'phase' ? event.phase : job.status)
const nothing: Change = { steps: [] }

function applyEvent(
  job: JobRecord,
  { number, directory, event, isCurrent }: { number: number; directory: string; event: TrainerEvent; isCurrent: boolean },
): Change {
  switch (event.type) {
    case 'phase': {
      const happened = isCurrent ? phaseTransition(event.phase, statusOf(job)) : null
      if (!happened) return nothing
      // Who cancelled or paused it, and why, stays to be read until it has stopped.
      const message = job.wanted !== 'RUN' ? undefined : job.isEvaluation ? 'Running the benchmarks.' : phaseMessages[event.phase]
      return { steps: [message === undefined ? { happened } : { happened, message }] }
    }
    case 'progress':
      return isCurrent ? { steps: [{ set: { progress: JSON.stringify(toProgress(event)) } }] } : nothing
    case 'checkpoint':
      return saveCheckpoint(job, number, directory, event)
    case 'checkpoint_deleted':
      return {
        steps: [],
        effects: (tx) =>
          tx.checkpoint.updateMany({
            where: { checkpointId: checkpointId(job.jobId, number, event.checkpoint_id), deletedAt: null },
            data: { deletedAt: event.time },
          }),
      }
    case 'evaluation': {
      const { base, tuned, tokens, samples } = event
      return isCurrent
        ? { steps: [{ set: { finalEvaluation: JSON.stringify({ base, tuned, tokens: String(tokens), samples }) } }] }
        : nothing
    }
    case 'artefact': {
      const path = inside(directory, event.path)
      if (!path || !isCurrent) return nothing
      const { kind, files, bytes, time } = event
      const output = {
        kind,
        path,
        files,
        bytes: String(bytes),
        content_hash: '',
        created_at: toTimestamp(time),
        registered_model_id: '',
        registered_path: '',
      } satisfies ModelArtefact__Output
      return { steps: [{ set: { output: JSON.stringify(output) } }] }
    }
    case 'benchmark': {
      const run = evaluationOf(job)
      if (!isCurrent || !run || event.index >= run.benchmarks.length) return nothing
      const results = [...run.results.slice(0, event.index), event.result]
      return {
        steps: [
          {
            message: `${results.length} of ${run.benchmarks.length} benchmarks done.`,
            set: { evaluation: JSON.stringify({ ...run, results }) },
          },
        ],
      }
    }
    case 'ready':
    case 'failure':
      // The engine knows the process, and the end of the attempt reads the failure.
      return nothing
  }
}

const phaseMessages: Record<string, string> = {
  TRAINING: 'Training.',
  CHECKPOINTING: 'Saving a checkpoint.',
  EVALUATING: 'Evaluating on the held-out records.',
  EXPORTING: 'Saving the result.',
}

function saveCheckpoint(job: JobRecord, attempt: number, directory: string, event: Extract<TrainerEvent, { type: 'checkpoint' }>): Change {
  const path = inside(directory, event.path)
  if (!path) return nothing
  const id = checkpointId(job.jobId, attempt, event.checkpoint_id)
  const row = {
    jobId: job.jobId,
    tenantId: job.tenantId,
    attempt,
    step: BigInt(event.step),
    path,
    bytes: BigInt(event.bytes),
    metrics: JSON.stringify(event.metrics),
    createdAt: event.time,
    deletedAt: null,
  }
  return {
    // An event without a change of status, so that followers see that there is a new checkpoint.
    steps: [{}],
    effects: (tx) => tx.checkpoint.upsert({ where: { checkpointId: id }, create: { checkpointId: id, ...row }, update: row }),
  }
}

function toProgress(event: Extract<TrainerEvent, { type: 'progress' }>): Progress__Output {
  return {
    step: String(event.step),
    total_steps: String(event.total_steps ?? 0),
    epoch: event.epoch ?? 0,
    total_epochs: event.total_epochs ?? 0,
    ...(event.eta_seconds == null ? {} : { eta_seconds: event.eta_seconds }),
    tokens_seen: String(event.tokens_seen ?? 0),
  }
}

/** A path that a trainer named, absolute; null where it leaves the attempt's folder. */
function inside(directory: string, path: string): string | null {
  const absolute = resolve(directory, path)
  return absolute.startsWith(join(directory, sep)) ? absolute : null
}
