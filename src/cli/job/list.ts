import { type Command, InvalidArgumentError } from 'commander'
import { jobStatuses } from '../../contract/statuses.js'
import { plainText } from '../plain-text.js'
import type { JobMessage } from './messages.js'
import { restClient } from './rest.js'
import { findServer, type ServerOptions, withServer } from './server.js'

interface ListOptions extends ServerOptions {
  status?: string[]
  label: [string, string][]
  limit: number
  json?: boolean
}

interface Page {
  jobs: JobMessage[]
  next_page_token?: string
  total_count: string | number
}

const pageSizeMax = 100

/** `scaimind job list` */
export function addList(job: Command): void {
  withServer(job.command('list'))
    .description('list jobs, newest first')
    .option('--status <status...>', `only these: ${jobStatuses.join(', ')}`, parseStatus)
    .option('--label <key=value>', 'only jobs with this label; may be repeated', parseLabel, [])
    .option('--limit <number>', 'at most so many', parseLimit, 20)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  scaimind job list --status TRAINING QUEUED\n  scaimind job list --label team=search --limit 100 --json',
    )
    .action(async (options: ListOptions) => {
      const { jobs, total } = await readJobs(options)
      if (options.json) process.stdout.write(`${JSON.stringify({ jobs, total_count: total })}\n`)
      else process.stdout.write(renderJobs(jobs, total))
    })
}

async function readJobs(options: ListOptions): Promise<{ jobs: JobMessage[]; total: number }> {
  const client = restClient(findServer(options))
  const labels = Object.fromEntries(options.label.map(([key, value]) => [`label.${key}`, value]))
  const jobs: JobMessage[] = []
  let token: string | undefined
  let total = 0
  do {
    const page = await client.get<Page>('/jobs', {
      ...labels,
      status: options.status,
      page_size: Math.min(pageSizeMax, options.limit - jobs.length),
      page_token: token,
    })
    jobs.push(...page.jobs)
    total = Number(page.total_count)
    token = page.next_page_token || undefined
  } while (token !== undefined && jobs.length < options.limit)
  return { jobs, total }
}

function renderJobs(jobs: JobMessage[], total: number): string {
  if (jobs.length === 0) return 'No jobs.\n'
  const rows = jobs.map((job) => [
    job.job_id,
    job.status,
    step(job),
    job.created_at?.slice(0, 19).replace('T', ' ') ?? '',
    plainText(job.name),
  ])
  const table = [['JOB', 'STATUS', 'STEP', 'CREATED', 'NAME'], ...rows]
  const widths = [0, 1, 2, 3].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)))
  const lines = table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  return `${lines.join('\n')}\n${total > jobs.length ? `(${jobs.length} of ${total}; more with --limit)\n` : ''}`
}

function step({ progress }: JobMessage): string {
  if (!Number(progress?.step)) return ''
  return Number(progress?.total_steps) ? `${progress?.step}/${progress?.total_steps}` : String(progress?.step)
}

function parseStatus(text: string, before: string[] | undefined): string[] {
  const status = jobStatuses.find((known) => known === text.toUpperCase())
  if (status === undefined) throw new InvalidArgumentError(`It is one of ${jobStatuses.join(', ')}.`)
  return [...(before ?? []), status]
}

function parseLabel(text: string, before: [string, string][]): [string, string][] {
  const [key, value] = text.split(/=(.*)/s)
  if (!key || value === undefined) throw new InvalidArgumentError('It looks like key=value.')
  return [...before, [key, value]]
}

function parseLimit(text: string): number {
  const limit = Number(text)
  if (!/^\d+$/.test(text) || limit < 1) throw new InvalidArgumentError('It is a number from 1.')
  return limit
}
