import type { Command } from 'commander'
import { CommandFailed } from '../failure.js'
import { plainText } from '../plain-text.js'
import { ProgressView } from '../progress.js'
import { describeOutcome } from './describe.js'
import type { GapMessage, JobEventMessage, JobMessage, LogMessage, MetricMessage } from './messages.js'
import { registeredPaths } from './registered.js'
import { jobPath, restClient } from './rest.js'
import { findServer, type ServerAddress, type ServerOptions, withServer } from './server.js'

/** `scaimind job watch` */
export function addWatch(job: Command): void {
  withServer(job.command('watch'))
    .description('follow a job until it ends: its log lines, its progress, its outcome')
    .argument('<job-id>')
    .option('--json', 'print every message as one line of JSON')
    .addHelpText('after', '\nExits with 1 if the job fails or is cancelled.\n\nExample:\n  scaimind job watch job_01kab…')
    .action(async (jobId: string, options: ServerOptions & { json?: boolean }) => {
      await watchJob(findServer(options), jobId, options.json ?? false)
    })
}

/** Follows a job until it ends, over lost connections. Throws CommandFailed when it does not complete. */
export async function watchJob(server: ServerAddress, jobId: string, asJson: boolean): Promise<void> {
  const client = restClient(server)
  const view = new ProgressView(asJson ? { write: () => undefined } : process.stderr)
  const print = (kind: string, message: unknown) => process.stdout.write(`${JSON.stringify({ [kind]: message })}\n`)

  const followEvents = async () => {
    for await (const event of client.stream<JobEventMessage>(jobPath(jobId, '/events'))) {
      if (asJson) print('event', event)
      else if (event.job) view.update(progressOf(event.job))
    }
  }
  const followMetrics = async () => {
    for await (const record of client.stream<MetricMessage>(jobPath(jobId, '/metrics/stream'))) {
      if (asJson) print('metric', record)
      else view.update(metricsOf(record))
    }
  }
  const followLogs = async () => {
    const onGap = (gap: GapMessage) => (asJson ? print('gap', gap) : view.line(`(some lines are missing here: ${gap.reason})`))
    for await (const record of client.stream<LogMessage>(jobPath(jobId, '/logs'), { onGap })) {
      if (asJson) print('log', record)
      else view.line(plainText(record.text), (line) => process.stdout.write(line))
    }
  }
  await Promise.all([followEvents(), followMetrics(), followLogs()])

  const job = await client.get<JobMessage>(jobPath(jobId))
  if (asJson) print('job', job)
  else {
    view.update(progressOf(job))
    view.end()
    process.stdout.write(describeOutcome(job, { registered: await registeredPaths(server, job) }))
  }
  if (job.status !== 'COMPLETED') throw new CommandFailed(asJson ? '' : `The job ${jobId} is ${job.status}.`)
}

function progressOf({ status, message, progress, unreachable_since: unreachableSince }: JobMessage) {
  return {
    status,
    unreachableSince: unreachableSince ?? null,
    ...(message ? { waitsFor: plainText(message) } : {}),
    ...(progress?.total_steps ? { totalSteps: Number(progress.total_steps) } : {}),
    ...(progress?.eta_seconds ? { etaSeconds: progress.eta_seconds } : {}),
  }
}

function metricsOf({ step, values }: MetricMessage) {
  return {
    step: Number(step),
    ...(values.loss === undefined ? {} : { loss: values.loss }),
    ...(values.tokens_per_second === undefined ? {} : { tokensPerSecond: values.tokens_per_second }),
  }
}
