import { toTimestamp } from '../../../contract/proto.js'
import type { BlockerKind } from '../../../contract/statuses.js'
import type { Blocker__Output } from '../../../generated/proto/scaimind/v1/Blocker.js'
import type { Needs } from '../../engines/engine.js'
import type { Machine, NamedJob, Waiting } from './place.js'
import { isSelected } from './room.js'

/** One thing that a waiting job lacks, with all jobs that are in its way; see the proto message. */
export interface Blocker {
  kind: BlockerKind
  of: string
  need: number
  have: number
  until: Date | null
  jobs: NamedJob[]
}

/** What a tenant may see of it. */
export interface SeenBlocker extends Omit<Blocker, 'jobs'> {
  jobs: string[]
}

/** Of the jobs a tenant sees its own, at most 100; `*` sees all. */
export const seenBy = (tenantId: string, { jobs, ...blocker }: Blocker): SeenBlocker => ({
  ...blocker,
  jobs: [...new Set(jobs.flatMap((job) => (tenantId === '*' || job.tenantId === tenantId ? [job.jobId] : [])))].slice(0, 100),
})

const passesAsItStarts: readonly BlockerKind[] = ['GPUS', 'CPUS', 'MEMORY', 'NODES']

/** The blocker with when it is expected to pass, by when jobs are expected to start. */
export function expected(blocker: Blocker, jobId: string, starts: ReadonlyMap<string, Date>): Blocker {
  const first = passesAsItStarts.includes(blocker.kind) ? jobId : blocker.kind === 'JOBS_AHEAD' ? blocker.jobs[0]?.jobId : undefined
  return { ...blocker, until: blocker.until ?? (first === undefined ? null : (starts.get(first) ?? null)) }
}

/** A blocker of a kind, with what is known of it. */
export const blocker = (kind: BlockerKind, some: Partial<Blocker> = {}): Blocker => ({
  kind,
  of: '',
  need: 0,
  have: 0,
  until: null,
  jobs: [],
  ...some,
})

/** Why a job must not run yet, whatever is free: jobs that it depends on, a time to come. */
export function earlyBlockers(
  { tenantId, notBefore, dependencies }: Pick<Waiting, 'tenantId' | 'notBefore' | 'dependencies'>,
  now: Date,
): Blocker[] {
  const [first] = dependencies
  const jobs = dependencies.map(({ jobId }) => ({ jobId, tenantId }))
  return [
    ...(first ? [blocker('DEPENDENCY', { of: first.status, need: dependencies.length, jobs })] : []),
    ...(notBefore && notBefore > now ? [blocker('START_TIME', { until: notBefore })] : []),
  ]
}

/** Why a tenant's limit (`gpus`, `gpu_hours`) lets no more run. */
export const quotaBlocker = (of: 'gpus' | 'gpu_hours', some: Pick<Blocker, 'need' | 'have'> & Partial<Blocker>): Blocker =>
  blocker('QUOTA', { ...some, of, have: Math.max(0, some.have) })

/** Why a job waits behind others that are ahead and lack the same. */
export const aheadBlocker = (jobs: NamedJob[]): Blocker => blocker('JOBS_AHEAD', { need: jobs.length, jobs })

/** What machines lack for a job: enough of them that could ever hold it, or what is free on those. */
export function roomBlockers(needs: Needs, machines: Machine[]): Blocker[] {
  const able = machines.filter((machine) => couldHold(needs, machine))
  const open = able.filter(({ takesWork }) => takesWork)
  if (open.length < needs.nodes) {
    const draining = able.filter((machine) => machine.draining)
    const lacking = blocker('NODES', { need: needs.nodes, have: open.length })
    return draining.length > 0 && able.length >= needs.nodes
      ? draining.map(({ nodeId }) => blocker('DRAINING', { of: nodeId, need: needs.nodes, have: open.length }))
      : [lacking]
  }
  const fitting = open.filter((machine) => hasFree(needs, machine))
  const withMemory = fitting.filter(({ memoryBytesFree }) => memoryBytesFree >= needs.memoryBytesPerNode)
  const rescue = able.filter((machine) => machine.draining && hasFree(needs, machine)).map(({ nodeId }) => nodeId)
  const draining = rescue.map((nodeId) => blocker('DRAINING', { of: nodeId, need: needs.nodes, have: withMemory.length }))
  if (fitting.length >= needs.nodes) {
    const memory = Math.max(0, ...fitting.map(({ memoryBytesFree }) => memoryBytesFree))
    const jobs = open.flatMap(({ holders }) => holders.filter((holder) => holder.memoryBytes > 0))
    return [blocker('MEMORY', { need: needs.memoryBytesPerNode, have: memory, jobs }), ...draining]
  }
  const [kind, need, have] = lacking(needs, open)
  const jobs = open.flatMap(({ holders }) => holders.filter(({ gpuIndexes, cpus }) => (kind === 'GPUS' ? gpuIndexes.length : cpus) > 0))
  // Enough of it is free, but not together.
  return [
    have >= need
      ? blocker('NODES', { need: needs.nodes, have: fitting.length, jobs })
      : blocker(kind, { of: kind === 'GPUS' ? needs.gpuType : '', need, have, jobs }),
    ...draining,
  ]
}

function lacking(needs: Needs, open: Machine[]): ['GPUS' | 'CPUS', number, number] {
  if (needs.gpuCount > 0) return ['GPUS', needs.gpuCount, open.reduce((sum, machine) => sum + freeGpus(needs, machine), 0)]
  return ['CPUS', needs.cpusPerNode * needs.nodes, open.reduce((sum, { cpusFree }) => sum + Math.max(0, cpusFree), 0)]
}

const freeGpus = (needs: Needs, machine: Machine): number => usableGpus(needs, machine).filter(({ free }) => free).length

/** Whether a machine has the GPUs or CPU slots of the job's part now. */
const hasFree = (needs: Needs, machine: Machine): boolean =>
  needs.gpuCount > 0 ? freeGpus(needs, machine) >= needs.gpuCount / needs.nodes : machine.cpusFree >= needs.cpusPerNode

/** One sentence on all of them; empty where there are none. */
export function sentenceOf(blockers: readonly SeenBlocker[]): string {
  return blockers.map(sentence).join(' ')
}

function sentence({ kind, of, need, have, until, jobs }: SeenBlocker): string {
  switch (kind) {
    case 'DEPENDENCY': {
      const [first = 'another job', ...others] = jobs
      return `Waits for ${first}, which is ${of},${others.length > 0 ? ` and ${count(others.length, 'other job')}` : ''} to be COMPLETED.`
    }
    case 'START_TIME':
      return `Waits until ${until?.toISOString() ?? 'a time to come'}.`
    case 'QUOTA':
      return of === 'gpu_hours'
        ? `Waits until ${until?.toISOString() ?? 'the next month'}: the tenant has used its GPU hours of this month.`
        : `Waits for the tenant's limit of ${of}: it needs ${need}, and ${have} more are allowed now.`
    case 'JOBS_AHEAD':
      return `Waits behind ${jobs[0] ?? 'another job'}${need > 1 ? ` and ${count(need - 1, 'other')}` : ''}.`
    case 'DRAINING':
      return `Waits for node ${of}, which is draining.`
    case 'NODES':
      if (of) return `Waits for nodes: ${of}.`
      return `Waits for ${count(need, 'node')} with enough of it together; ${have} ${have === 1 ? 'has' : 'have'} room.`
    case 'GPUS':
      return `Waits for ${count(need, of ? `${of} GPU` : 'GPU')}; ${have} ${have === 1 ? 'is' : 'are'} free.`
    case 'CPUS':
      return `Waits for ${count(need, 'CPU slot')}; ${have} ${have === 1 ? 'is' : 'are'} free.`
    case 'MEMORY':
      return `Waits for ${gigabytes(need)} GB of memory on a node; ${gigabytes(have)} GB are free.`
  }
}

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`
const gigabytes = (bytes: number): number => Math.floor(bytes / 1e8) / 10

/** The blocker as `scaimind.v1` has it. */
export const toBlockerMessage = ({ until, ...rest }: SeenBlocker): Blocker__Output => ({ ...rest, until: until && toTimestamp(until) })

/** Whether a machine could hold the job's part with nothing else on it, online or not draining apart. */
function couldHold(needs: Needs, machine: Machine): boolean {
  if (!machine.takesWork && !machine.draining) return false
  if (!isSelected(needs, machine) || machine.memoryBytes < needs.memoryBytesPerNode) return false
  return needs.gpuCount > 0 ? usableGpus(needs, machine).length >= needs.gpuCount / needs.nodes : machine.cpus >= needs.cpusPerNode
}

const usableGpus = ({ gpuType, gpuMemoryBytesMin }: Needs, { gpus }: Machine) =>
  gpus.filter(({ type, memoryBytes }) => (gpuType === '' || type === gpuType) && memoryBytes >= gpuMemoryBytesMin)
