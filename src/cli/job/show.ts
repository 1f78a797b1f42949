import type { Command } from 'commander'
import { describeJob } from './describe.js'
import type { CheckpointMessage, JobMessage } from './messages.js'
import { registeredPaths } from './registered.js'
import { jobPath, type RestClient, RestFailure, restClient } from './rest.js'
import { findServer, type ServerOptions, withServer } from './server.js'

/** `scaimind job show` */
export function addShow(job: Command): void {
  withServer(job.command('show'))
    .description('show one job, with its newest checkpoints')
    .argument('<job-id>')
    .option('--json', 'print the whole job as JSON')
    .addHelpText('after', '\nExample:\n  scaimind job show job_01kab… --json')
    .action(async (jobId: string, options: ServerOptions & { json?: boolean }) => {
      const server = findServer(options)
      const client = restClient(server)
      const message = await client.get<JobMessage>(jobPath(jobId))
      if (options.json) {
        process.stdout.write(`${JSON.stringify(message)}\n`)
        return
      }
      const [registered, checkpoints] = await Promise.all([registeredPaths(server, message), checkpointsOf(client, jobId)])
      process.stdout.write(describeJob(message, { registered, checkpoints }))
    })
}

async function checkpointsOf(client: RestClient, jobId: string): Promise<CheckpointMessage[]> {
  try {
    return (await client.get<{ checkpoints: CheckpointMessage[] }>(jobPath(jobId, '/checkpoints'))).checkpoints
  } catch (error) {
    // The job itself is then shown as the API last saw it.
    if (error instanceof RestFailure && error.code === 'COORDINATOR_UNAVAILABLE') return []
    throw error
  }
}
