import { z } from 'zod'
import { SlurmUnavailable } from './failures.js'
import { parseGpuGres } from './gres.js'
import { expandHosts } from './hostlist.js'

/** A job as Slurm tells of it. */
export interface SlurmJob {
  id: number
  name: string
  /** Whose it is; a name of theirs may be another on another machine. */
  userId: number | null
  partition: string
  /** The state and its flags, in Slurm's words: `RUNNING`; `PENDING`, `REQUEUED`. */
  states: string[]
  /** Why it waits, or ended. */
  reason: string
  priority: number
  nice: number
  /** What it depends on, in Slurm's words. */
  dependency: string
  /** How often Slurm has run it again. */
  restarts: number
  /** Where it runs, or ran: one entry a node. */
  nodes: SlurmPlace[]
  /** When it began, or is expected to; null where Slurm does not know. */
  startTime: Date | null
  endTime: Date | null
  /** How its script ended; null where it has not, or Slurm does not say. */
  exitCode: number | null
}

/** What a job has on a node. */
export interface SlurmPlace {
  nodeId: string
  gpuIndexes: number[]
  cpus: number
  memoryBytes: number
}

/** A node as Slurm tells of it. */
export interface SlurmNode {
  name: string
  hostname: string
  features: string[]
  states: string[]
  reason: string
  /** Who set the reason; empty where nobody did. */
  reasonUser: string
  cpus: number
  memoryBytes: number
  gpus: { index: number; type: string; used: boolean }[]
  startedAt: Date | null
}

/** A partition as Slurm tells of it. */
export interface SlurmPartition {
  name: string
  isDefault: boolean
  up: boolean
  /** Null: no limit. */
  runSecondsMax: number | null
  nodeNames: string[]
}

const mebibyte = 2 ** 20

// From 23.02 on a number may be an object, which says whether there is one.
const number = z.union([
  z.number(),
  z.null().transform(() => null),
  z
    .object({ set: z.boolean().default(true), infinite: z.boolean().default(false), number: z.number() })
    .transform(({ set, infinite, number }) => (set && !infinite ? number : null)),
])
const count = number.transform((value) => value ?? 0)
const time = number.transform((value) => (value ? new Date(value * 1000) : null))
// 22.05 has one word, later versions a list of them.
const words = z
  .union([z.string().transform((word) => [word]), z.array(z.string())])
  .transform((list) => list.map((word) => word.toUpperCase()))
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '')
// 22.05 has one text, with commas, later versions a list.
const list = z.union([z.string().transform((words) => words.split(',').filter(Boolean)), z.array(z.string())]).default([])
// 22.05 has wait(2)'s status, later versions its parts.
const exitCode = z.union([
  z.number().transform((status) => status >> 8 || (status & 127 ? 128 + (status & 127) : 0)),
  z.object({ return_code: number.optional() }).transform(({ return_code }) => return_code ?? null),
  z.null().transform(() => null),
])

const jobShape = z
  .object({
    job_id: z.number(),
    name: z.string(),
    user_id: number,
    partition: text,
    job_state: words,
    state_reason: text,
    priority: count,
    nice: count,
    dependency: text,
    restart_cnt: count,
    nodes: text,
    gres_detail: z.array(z.string()).default([]),
    cpus: count,
    tres_alloc_str: text,
    start_time: time,
    end_time: time,
    exit_code: exitCode.optional(),
  })
  .transform(
    (job): SlurmJob => ({
      id: job.job_id,
      name: job.name,
      userId: job.user_id,
      partition: job.partition,
      states: job.job_state,
      reason: job.state_reason,
      priority: job.priority,
      nice: job.nice,
      dependency: job.dependency,
      restarts: job.restart_cnt,
      nodes: placesOf(expandHosts(job.nodes), job),
      startTime: job.start_time,
      endTime: job.end_time,
      exitCode: job.exit_code ?? null,
    }),
  )

const nodeShape = z
  .object({
    name: z.string(),
    hostname: text,
    features: list,
    state: words,
    // 22.05 has the flags apart.
    state_flags: words.default([]),
    reason: text,
    reason_set_by_user: text,
    gres: text,
    gres_used: text,
    cpus: count,
    real_memory: count,
    slurmd_start_time: time,
  })
  .transform(
    (node): SlurmNode => ({
      name: node.name,
      hostname: node.hostname || node.name,
      features: node.features,
      states: [...node.state, ...node.state_flags],
      reason: node.reason,
      reasonUser: node.reason_set_by_user,
      cpus: node.cpus,
      memoryBytes: node.real_memory * mebibyte,
      gpus: gpusOf(node.gres, node.gres_used),
      startedAt: node.slurmd_start_time,
    }),
  )

/** Reads the answer of `squeue --json`. Throws where it cannot, with Slurm's version and the field; SlurmUnavailable where the answer is that there is none. */
export function parseJobs(stdout: string): SlurmJob[] {
  return readList('squeue', stdout, 'jobs', jobShape)
}

/** Reads the answer of 22.05's `sinfo --json`, or of `scontrol show nodes --json` from 23.02 on. Throws as `parseJobs`. */
export function parseNodes(command: string, stdout: string): SlurmNode[] {
  return readList(command, stdout, 'nodes', nodeShape)
}

/** Reads the answer of `scontrol show partition --oneliner`, the default one first. Throws as `parseJobs`, without the version. */
export function parsePartitions(stdout: string): SlurmPartition[] {
  const partitions = stdout
    .split('\n')
    .filter((line) => line.startsWith('PartitionName='))
    .map((line) => {
      const field = (name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(line)?.[1] ?? ''
      const nodes = field('Nodes')
      return {
        name: field('PartitionName'),
        isDefault: field('Default') === 'YES',
        up: field('State') === 'UP',
        runSecondsMax: parseDuration(field('MaxTime')),
        nodeNames: expandHosts(nodes),
      }
    })
  return partitions.sort((a, b) => Number(b.isDefault) - Number(a.isDefault))
}

/** When `sbatch --test-only` would start a job, by its line on standard error; null where it says something else. Times are UTC. */
export function parseForecast(stderr: string): { start: Date; nodeNames: string[] } | null {
  const match = /Job \d+ to start at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d) using \d+ processors on nodes (\S+)/.exec(stderr)
  const [, start = '', nodes = ''] = match ?? []
  return match ? { start: new Date(`${start}Z`), nodeNames: expandHosts(nodes) } : null
}

/** Slurm's duration, `1-02:00:00`, `00:05:00`, `30:00`, `UNLIMITED`, in seconds; null where there is no limit. */
function parseDuration(text: string): number | null {
  const match = /^(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)$/.exec(text)
  if (!match) return null
  const [days = 0, hours = 0, minutes = 0, seconds = 0] = match.slice(1).map((part) => Number(part ?? 0))
  return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
}

const errorsShape = z.object({ errors: z.array(z.object({ description: text, error: text })) })

function readList<Item>(command: string, stdout: string, list: string, shape: z.ZodType<Item>): Item[] {
  let answer: unknown
  try {
    answer = JSON.parse(stdout)
  } catch (cause) {
    throw new Error(`Slurm: ${command} printed what is no JSON: ${stdout.slice(0, 200)}`, { cause })
  }
  // Without a controller 22.05 ends well, with no jobs, and says so only here.
  const [error] = errorsShape.safeParse(answer).data?.errors ?? []
  if (error) throw new SlurmUnavailable(`${command}: ${[error.description, error.error].filter(Boolean).join(': ')}`)
  const rows = z.object({ [list]: z.array(z.unknown()) }).safeParse(answer)
  if (!rows.success) throw new Error(`${versionOf(answer)}: ${command}'s ${list} cannot be read: there is no such list.`)
  return (rows.data[list] ?? []).map((row, index) => {
    const read = shape.safeParse(row)
    if (read.success) return read.data
    const { path = [], message = '' } = read.error.issues[0] ?? {}
    throw new Error(`${versionOf(answer)}: ${command}'s ${list}[${index}].${path.join('.')} cannot be read: ${message}`)
  })
}

// `Slurm` in 22.05, `slurm` from 23.11 on.
function versionOf(answer: unknown): string {
  const release = z.object({ release: z.string() })
  const meta = z.object({ meta: z.object({ Slurm: release.optional(), slurm: release.optional() }) }).safeParse(answer).data?.meta
  return `Slurm ${(meta?.Slurm ?? meta?.slurm)?.release ?? 'of unknown version'}`
}

/** Jobs are spread evenly, so what is told of the whole job is divided; only GPUs are told by node. */
function placesOf(
  names: string[],
  { gres_detail: gres, cpus, tres_alloc_str: tres }: { gres_detail: string[]; cpus: number; tres_alloc_str: string },
) {
  const [, amount = '0', unit = 'M'] = /(?:^|,)mem=([\d.]+)([KMGTP]?)/.exec(tres) ?? []
  const bytes = Number(amount) * 2 ** (10 * (1 + 'KMGTP'.indexOf(unit || 'M')))
  return names.map((nodeId, index) => ({
    nodeId,
    gpuIndexes: parseGpuGres(gres[index] ?? '').flatMap(({ indexes }) => indexes ?? []),
    cpus: Math.floor(cpus / names.length),
    memoryBytes: Math.floor(bytes / names.length),
  }))
}

/** A node's GPUs, counted as Slurm does. Where it tells only how many are in use, they are the first of their type. */
function gpusOf(gres: string, used: string): SlurmNode['gpus'] {
  const inUse = parseGpuGres(used)
  let next = 0
  return parseGpuGres(gres).flatMap(({ type, count }) => {
    const first = next
    next += count
    const mine = inUse.filter((entry) => entry.type === type)
    return Array.from({ length: count }, (_, i) => {
      const used = mine.some(({ indexes, count }) => (indexes ? indexes.includes(first + i) : i < count))
      return { index: first + i, type, used }
    })
  })
}
