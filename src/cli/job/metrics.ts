import type { Command } from 'commander'
import type { MetricMessage } from './messages.js'
import { jobPath, restClient } from './rest.js'
import { findServer, type ServerOptions, withServer } from './server.js'

/** `scaimind job metrics` */
export function addMetrics(job: Command): void {
  withServer(job.command('metrics'))
    .description("print a job's metrics; those of a job that runs are followed until it ends")
    .argument('<job-id>')
    .option('--json', 'print every record as JSON')
    .addHelpText('after', '\nExample:\n  scaimind job metrics job_01kab… --json')
    .action(async (jobId: string, options: ServerOptions & { json?: boolean }) => {
      for await (const record of restClient(findServer(options)).stream<MetricMessage>(jobPath(jobId, '/metrics/stream'))) {
        process.stdout.write(`${options.json ? JSON.stringify(record) : describe(record)}\n`)
      }
    })
}

function describe({ step, values }: MetricMessage): string {
  return [`step ${step}`, ...Object.entries(values).map(([name, value]) => `${name} ${Number(value.toPrecision(6))}`)].join('  ')
}
