import { UsageError } from '../failure.js'
import { plainText } from '../plain-text.js'
import type { Submission } from './job-file.js'
import type { RestClient } from './rest.js'

/** What a job would take, as far as it is printed. */
interface Plan {
  acceptable: boolean
  sources: { path: string; readable: boolean; problems: { line: number | string; message: string }[] }[]
  records: string | number
  tokens: string | number
  total_steps: string | number
  memory: { gpu_type: string; bytes_needed: string | number; bytes_available: string | number; fits: boolean }[]
  estimated_run_seconds: number | null
  gpu_hours: number | null
  nodes: string[]
  starts_now: boolean
  estimated_start: string | null
  jobs_ahead: number
  jobs_preempted: number
  reusable_job_id: string
  blockers: { kind: string; of: string; need: number; have: number }[]
}

/** Checks a submission and prints what it would take. Refuses in the words of a submission: each field or line of data that is wrong. */
export async function dryRun(
  client: RestClient,
  submission: Submission,
  { asJson, reuse }: { asJson: boolean; reuse: boolean },
): Promise<void> {
  const { plan } = await client.post<{ plan: Plan }>('/jobs?dry_run=true', submission)
  if (asJson) process.stdout.write(`${JSON.stringify(plan)}\n`)
  const problems = plan.sources.flatMap(problemsOf)
  if (!plan.acceptable) throw new UsageError(`The input is not valid:${problems.map((text) => `\n  ${text}`).join('')}`)
  const { reusable_job_id: reusable } = plan
  if (!asJson)
    process.stdout.write(reuse && reusable ? `Job ${reusable} has done this work already, and would be answered.\n` : describePlan(plan))
}

function problemsOf({ path, readable, problems }: Plan['sources'][number], index: number): string[] {
  const field = `data_config.sources[${index}].path`
  if (problems.length === 0) return readable ? [] : [`${field}: ${plainText(path)} cannot be read.`]
  return problems.map(
    ({ line, message }) => `${field}: ${plainText(path)}${Number(line) > 0 ? `, line ${line}` : ''}: ${plainText(message)}`,
  )
}

/** The plan for people: what it is, whether it fits, how long it takes, and when it would start. */
export function describePlan(plan: Plan): string {
  const { nodes, starts_now: startsNow, jobs_ahead: jobsAhead, estimated_start: start, estimated_run_seconds: seconds } = plan
  const steps = Number(plan.total_steps) > 0 ? `, ${plan.total_steps} steps` : ''
  const lines = [`The job is valid: ${plan.records} records, about ${plan.tokens} tokens${steps}.`]
  for (const { gpu_type: gpuType, bytes_needed: needed, bytes_available: available, fits } of plan.memory) {
    const where = gpuType === '' ? 'the machine' : `a GPU (${plainText(gpuType)})`
    lines.push(`It needs ${gigabytes(needed)} of the ${gigabytes(available)} of ${where}${fits ? '' : ', and does not fit'}.`)
  }
  if (seconds !== null) {
    const gpuHours = plan.gpu_hours ? `, ${plan.gpu_hours.toFixed(1)} GPU hours` : ''
    lines.push(`It would train for about ${duration(seconds)}${gpuHours}.`)
  }
  const where = nodes.length > 0 ? ` on ${plainText(nodes.join(', '))}` : ''
  const ahead = jobsAhead === 0 ? 'a free place' : `${jobsAhead} job${jobsAhead === 1 ? '' : 's'} ahead of it`
  lines.push(
    startsNow ? `It would start at once${where}.` : `It would wait for ${ahead}${where}${start === null ? '' : `, until about ${start}`}.`,
  )
  const preempted = plan.jobs_preempted
  if (preempted > 0) lines.push(`${preempted} running job${preempted === 1 ? '' : 's'} of lower priority would give way to it.`)
  const reusable = plan.reusable_job_id
  if (reusable) lines.push(`Job ${reusable} has done this work already; with --reuse it would be answered.`)
  for (const { kind, of, need, have } of startsNow ? [] : plan.blockers) {
    lines.push(`  ${kind}${of === '' ? '' : ` ${plainText(of)}`}${counted(kind, need, have)}`)
  }
  return `${lines.join('\n')}\n`
}

/** What there is of what it needs; of jobs that are ahead, how many. */
function counted(kind: string, need: number, have: number): string {
  if (need === 0) return ''
  if (kind === 'JOBS_AHEAD') return `: ${need}`
  return kind === 'MEMORY' ? `: ${gigabytes(have)} of ${gigabytes(need)}` : `: ${have} of ${need}`
}

const gigabytes = (bytes: string | number) => `${(Number(bytes) / 1e9).toFixed(1)} GB`

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`
}
