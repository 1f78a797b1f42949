import { join } from 'node:path'
import { CommandFailed, UsageError } from '../failure.js'
import { graphqlRequest } from '../graphql.js'
import type { ServerAddress } from '../job/server.js'
import type { StackAddress } from '../up/stack.js'
import { subscriptionClient } from './follow.js'
import { demoJob } from './job.js'
import { countJournal } from './journal.js'
import { cancelJob, type OutcomeAnswer, outcome, type SubmitAnswer, submitJob } from './queries.js'
import { describeResult } from './report.js'
import { type Delivered, watchDemoJob } from './watch.js'

/** The last line of `scaimind demo --exit`. */
export interface DemoOutcome {
  job_id: string
  status: string
  base_perplexity: number
  tuned_perplexity: number
  adapter: string
  steps: number
  metrics_received: number
  log_lines_received: number
}

const cancelTimeoutMs = 15_000

/**
 * Runs the demo's job through the public API and prints what came of it. Throws CommandFailed when it does not complete, or when the
 * subscriptions delivered another number of records than the journal holds. `stopped` resolves when the user has had enough.
 */
export async function runDemoJob(address: StackAddress, file: string, stopped: Promise<void>): Promise<DemoOutcome> {
  const server = { url: new URL(address.graphql).origin, key: address.api_key }
  const jobId = await submit(server, file)
  process.stderr.write(`Job ${jobId}: a LoRA on scaimind/byte-tiny, trained on ${file}\n`)
  const client = subscriptionClient(address.websocket, address.api_key)
  try {
    let isOver = false
    const watching = watchDemoJob(client, jobId).finally(() => {
      isOver = true
    })
    const delivered = await Promise.race([watching, stopped.then(() => (isOver ? watching : cancel(server, jobId, watching)))])
    const { viewer, job } = await graphqlRequest<OutcomeAnswer>(server, outcome, { jobId })
    if (job.status !== 'COMPLETED' || !job.finalEvaluation || !job.output) throw new CommandFailed(describeFailure(job, delivered))
    await checkDelivery(join(address.data_dir, 'jobs', viewer.tenantId, jobId), delivered)
    process.stdout.write(describeResult(job.finalEvaluation, job.output.path))
    return {
      job_id: jobId,
      status: job.status,
      base_perplexity: job.finalEvaluation.base.perplexity,
      tuned_perplexity: job.finalEvaluation.tuned.perplexity,
      adapter: job.output.path,
      steps: Number(job.progress?.step ?? 0),
      metrics_received: delivered.metrics,
      log_lines_received: delivered.logLines,
    }
  } finally {
    await client.dispose()
  }
}

async function submit(server: ServerAddress, file: string): Promise<string> {
  const { submitJob: answer } = await graphqlRequest<SubmitAnswer>(server, submitJob, { input: demoJob(file) })
  if (answer.job) return answer.job.jobId
  const fields = answer.fields?.map(({ path, message }) => `\n  ${path}: ${message}`)
  throw new UsageError(`The job was refused: ${fields?.length ? fields.join('') : (answer.message ?? '')}`)
}

/** The demo leaves no job behind that nobody waits for. */
async function cancel(server: ServerAddress, jobId: string, watching: Promise<Delivered>): Promise<Delivered> {
  process.stderr.write('\nCancelling the job …\n')
  await graphqlRequest(server, cancelJob, { jobId })
  const timeout = new Promise<undefined>((done) => setTimeout(() => done(undefined), cancelTimeoutMs).unref())
  const delivered = await Promise.race([watching, timeout])
  if (delivered === undefined) throw new CommandFailed(`The job ${jobId} has not ended yet; the next start finds it again.`)
  return delivered
}

function describeFailure(job: OutcomeAnswer['job'], { lastLines }: Delivered): string {
  const reason = job.failure ? `: ${job.failure.message}${job.failure.hint ? ` ${job.failure.hint}` : ''}` : '.'
  const output = lastLines.length > 0 ? `\nIts last lines of output:\n${lastLines.map((line) => `  ${line}`).join('\n')}` : ''
  return `The job is ${job.status}${reason}${output}`
}

async function checkDelivery(folder: string, delivered: Delivered): Promise<void> {
  const journal = await countJournal(folder)
  if (journal.metrics !== delivered.metrics || journal.logLines !== delivered.logLines) {
    throw new CommandFailed(
      `The subscriptions delivered ${delivered.metrics} metric records and ${delivered.logLines} log lines, but the journal in ${folder} holds ${journal.metrics} and ${journal.logLines}.`,
    )
  }
}
