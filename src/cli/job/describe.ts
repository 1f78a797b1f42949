import { plainText } from '../plain-text.js'
import type { CheckpointMessage, JobMessage } from './messages.js'

const checkpointsShown = 3

/** What is known of a job besides its own answer. */
interface Beside {
  /** Paths of the registered models that are its output. Default: the one that its answer names. */
  registered?: string[]
  /** Its complete checkpoints, newest first. Default: none. */
  checkpoints?: CheckpointMessage[]
}

/** A job in full, for people, with the newest of its checkpoints. */
export function describeJob(job: JobMessage, { checkpoints = [], ...beside }: Beside = {}): string {
  const { progress, training_config: training } = job
  const rows: [string, string | undefined | null][] = [
    ['Job', job.job_id],
    ['Name', plainText(job.name)],
    ['Status', `${job.status}${job.message ? ` (${plainText(job.message)})` : ''}`],
    ['Unreachable', job.unreachable_since && `since ${job.unreachable_since}: ${plainText(job.unreachable_reason ?? '')}`],
    ['Training', [training?.training_type, training?.base_model?.model_id].filter(Boolean).join(' on ')],
    [
      'Labels',
      Object.entries(job.labels ?? {})
        .map(([key, value]) => plainText(`${key}=${value}`))
        .join(' '),
    ],
    ['Queue position', job.queue_position ? String(job.queue_position) : undefined],
    [
      'Step',
      Number(progress?.step) > 0
        ? `${progress?.step}${Number(progress?.total_steps) > 0 ? ` of ${progress?.total_steps}` : ''}`
        : undefined,
    ],
    ['Created', job.created_at],
    ['Started', job.started_at],
    ['Finished', job.finished_at],
    ['Possible now', (job.available_actions ?? []).join(' ').toLowerCase()],
  ]
  return `${table(rows)}${describeOutcome(job, beside)}${describeCheckpoints(checkpoints)}`
}

function describeCheckpoints(checkpoints: CheckpointMessage[]): string {
  const older = checkpoints.length - checkpointsShown
  const lines = checkpoints.slice(0, checkpointsShown).map(({ checkpoint_id: id, step }) => `${plainText(id)} at step ${step}`)
  if (older > 0) lines.push(`and ${older} older`)
  return table(lines.map((line, index) => [index === 0 ? 'Checkpoints' : '', line]))
}

/** What came of a job: its evaluation and output, or why it failed. Empty while there is nothing to tell. */
export function describeOutcome(
  { failure, output, final_evaluation: evaluation }: JobMessage,
  { registered = [output?.registered_path ?? ''] }: Pick<Beside, 'registered'> = {},
): string {
  const rows: [string, string | undefined][] = []
  if (evaluation?.base && evaluation.tuned) {
    rows.push([
      'Perplexity',
      `${evaluation.base.perplexity.toFixed(3)} before, ${evaluation.tuned.perplexity.toFixed(3)} after training (held-out data)`,
    ])
    rows.push(['Loss', `${evaluation.base.loss.toFixed(4)} before, ${evaluation.tuned.loss.toFixed(4)} after training`])
  }
  if (output?.path) rows.push(['Output', `${output.path}${output.kind ? ` (${output.kind})` : ''}`])
  for (const path of registered) rows.push(['Registered', path])
  if (failure) {
    rows.push(['Failure', plainText(failure.message ?? '')])
    for (const line of failure.evidence ?? []) rows.push(['', plainText(line)])
    rows.push(['Hint', failure.hint && plainText(failure.hint)])
  }
  return table(rows)
}

function table(rows: [string, string | undefined | null][]): string {
  return rows
    .filter(([, value]) => value)
    .map(([name, value]) => `${name.padEnd(15)} ${value}\n`)
    .join('')
}
