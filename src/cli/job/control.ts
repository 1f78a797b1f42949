import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import type { JobMessage } from './messages.js'
import { jobPath, restClient } from './rest.js'
import { findServer, type ServerOptions, withServer } from './server.js'

interface ControlOptions extends ServerOptions {
  reason?: string
  saveCheckpoint?: boolean
  checkpoint?: string
  json?: boolean
}

/** `scaimind job cancel`, `pause`, `resume` and `retry` */
export function addControl(job: Command): void {
  add(job, 'cancel', 'end a job that has not ended')
    .option('--reason <text>', 'why, for those who look at the job later')
    .option('--save-checkpoint', 'save a checkpoint before it ends')
  add(job, 'pause', 'stop a running job at a checkpoint and give its resources back').option(
    '--no-save-checkpoint',
    'stop at once; resuming goes on from the checkpoint before',
  )
  add(job, 'resume', 'put a paused job back into the queue').option('--checkpoint <id>', 'go on from this checkpoint instead of the newest')
  add(job, 'retry', 'start a failed, cancelled or preempted job again').option(
    '--checkpoint <id>',
    'start from this checkpoint instead of the newest',
  )
}

function add(job: Command, action: 'cancel' | 'pause' | 'resume' | 'retry', description: string): Command {
  return withServer(job.command(action))
    .description(description)
    .argument('<job-id>')
    .option('--json', 'print the job as JSON')
    .addHelpText('after', `\nExample:\n  scaimind job ${action} job_01kab…`)
    .action(async (jobId: string, options: ControlOptions) => {
      const headers: Record<string, string> = action === 'retry' ? { 'idempotency-key': randomUUID() } : {}
      const message = await restClient(findServer(options)).post<JobMessage>(jobPath(jobId, `/${action}`), bodyOf(action, options), headers)
      process.stdout.write(
        options.json
          ? `${JSON.stringify(message)}\n`
          : `${message.job_id} ${message.status}${message.message ? ` (${message.message})` : ''}\n`,
      )
    })
}

function bodyOf(action: string, { reason, saveCheckpoint, checkpoint }: ControlOptions): Record<string, unknown> {
  const body: Record<string, unknown> = {}
  if (reason !== undefined) body.reason = reason
  if (saveCheckpoint !== undefined) body.save_checkpoint = saveCheckpoint
  if (checkpoint !== undefined) body[action === 'retry' ? 'from_checkpoint' : 'checkpoint_id'] = checkpoint
  return body
}
