import { type Command, InvalidArgumentError } from 'commander'
import { logLevels } from '../../contract/statuses.js'
import { plainText } from '../plain-text.js'
import type { GapMessage, LogMessage } from './messages.js'
import { jobPath, restClient } from './rest.js'
import { findServer, type ServerOptions, withServer } from './server.js'

interface LogsOptions extends ServerOptions {
  follow?: boolean
  tail?: number
  level?: string
  json?: boolean
}

/** `scaimind job logs` */
export function addLogs(job: Command): void {
  withServer(job.command('logs'))
    .description("print a job's output")
    .argument('<job-id>')
    .option('-f, --follow', 'wait for more until the job ends')
    .option('--tail <lines>', 'begin with the last so many lines (at most 1000)', parseTail)
    .option('--level <level>', `only this level and graver: ${logLevels.join(', ')}`, parseLevel)
    .option('--json', 'print every line with its time, rank and level as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  scaimind job logs job_01kab… --tail 50 --follow\n  scaimind job logs job_01kab… --level WARN --json',
    )
    .action(async (jobId: string, options: LogsOptions) => {
      const query = { follow: options.follow ?? false, tail: options.tail, level: options.level }
      const onGap = ({ reason }: GapMessage) => process.stderr.write(`(some lines are missing here: ${reason})\n`)
      for await (const record of restClient(findServer(options)).stream<LogMessage>(jobPath(jobId, '/logs'), { query, onGap })) {
        process.stdout.write(`${options.json ? JSON.stringify(record) : plainText(record.text)}\n`)
      }
    })
}

function parseTail(text: string): number {
  const tail = Number(text)
  if (!/^\d+$/.test(text) || tail < 1 || tail > 1000) throw new InvalidArgumentError('It is a number from 1 to 1000.')
  return tail
}

function parseLevel(text: string): string {
  const level = logLevels.find((known) => known === text.toUpperCase())
  if (level === undefined) throw new InvalidArgumentError(`It is one of ${logLevels.join(', ')}.`)
  return level
}
