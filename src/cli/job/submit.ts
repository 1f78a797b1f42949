import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import { plainText } from '../plain-text.js'
import { dryRun } from './dry-run.js'
import { readJobFile } from './job-file.js'
import { restClient } from './rest.js'
import { findServer, type ServerOptions, withServer } from './server.js'
import { watchJob } from './watch.js'

interface SubmitOptions extends ServerOptions {
  file: string
  watch?: boolean
  dryRun?: boolean
  reuse?: boolean
  idempotencyKey?: string
  json?: boolean
}

interface Submitted {
  job_id: string
  status: string
  message?: string
  /** Only where it was asked for. */
  reused?: boolean
}

/** `scaimind job submit` */
export function addSubmit(job: Command): void {
  withServer(job.command('submit'))
    .description('submit the job that a YAML or JSON file describes')
    .requiredOption('-f, --file <path>', 'the job, in the fields of the REST API; - for standard input')
    .option('--watch', 'follow it until it ends')
    .option('--dry-run', 'only check it, and say what it would take')
    .option('--reuse', 'answer a finished job that has done the same work, instead of training again')
    .option('--idempotency-key <key>', 'a repeat with the same key answers the first job')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Exits with 2 if the job is not valid; with --watch, with 1 if it does not complete.

Example:
  scaimind job submit -f job.yaml --watch

job.yaml:
  name: dictionary
  training_config:
    training_type: LORA
    base_model: { model_id: scaimind/byte-tiny }
    hyperparameters: { max_steps: 200, learning_rate: 3e-3 }
  data_config:
    sources: [{ path: examples/data/devils-dictionary.jsonl }]
    validation_split: 0.1
  resource_config: { gpu_count: 0 }`,
    )
    .action(async (options: SubmitOptions) => {
      const submission = readJobFile(options.file)
      const server = findServer(options)
      const client = restClient(server)
      if (options.dryRun) {
        await dryRun(client, submission, { asJson: options.json ?? false, reuse: options.reuse ?? false })
        return
      }
      // A key of our own, so that sending again over a bad connection cannot make two jobs.
      const headers = { 'idempotency-key': options.idempotencyKey ?? randomUUID() }
      const submitted = await client.post<Submitted>(options.reuse ? '/jobs?reuse=true' : '/jobs', submission, headers)
      process.stdout.write(options.json ? `${JSON.stringify(submitted)}\n` : `${submitted.job_id} ${submitted.status}\n`)
      if (options.reuse && !options.json) process.stderr.write(`${plainText(submitted.message ?? '')}\n`)
      if (options.watch) await watchJob(server, submitted.job_id, options.json ?? false)
      else if (!options.json && !submitted.reused) process.stderr.write(`Follow it with \`scaimind job watch ${submitted.job_id}\`.\n`)
    })
}
