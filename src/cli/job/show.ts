import type { Command } from 'commander'
import { describeJob } from './describe.js'
import type { JobMessage } from './messages.js'
import { jobPath, restClient } from './rest.js'
import { findServer, type ServerOptions, withServer } from './server.js'

/** `scaimind job show` */
export function addShow(job: Command): void {
  withServer(job.command('show'))
    .description('show one job')
    .argument('<job-id>')
    .option('--json', 'print the whole job as JSON')
    .addHelpText('after', '\nExample:\n  scaimind job show job_01kab… --json')
    .action(async (jobId: string, options: ServerOptions & { json?: boolean }) => {
      const message = await restClient(findServer(options)).get<JobMessage>(jobPath(jobId))
      process.stdout.write(options.json ? `${JSON.stringify(message)}\n` : describeJob(message))
    })
}
