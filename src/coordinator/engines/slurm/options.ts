import { basename, dirname, join } from 'node:path'
import type { AttemptName, SchedulingRequest } from '../engine.js'
import type { SlurmPartition } from './parse.js'

/** What of the cluster's ways the options of a submission depend on. */
export interface ClusterWays {
  partitions: Pick<SlurmPartition, 'name' | 'isDefault' | 'runSecondsMax'>[]
  /** Where preemptible jobs go; null where the cluster has no such partition. */
  preemptiblePartition: string | null
  /** Whether tenants are accounts of Slurm's. */
  tenantsAreAccounts: boolean
}

/**
 * What a step of priority is in Slurm's `--nice`: with `priority/multifactor` less than a day's age at usual weights, with `priority/basic` a
 * thousand places in the queue.
 */
const niceStep = 1000
/** Slurm looks at time limits once a minute, so its signal may come that much before it is due. */
const signalEarlySeconds = 60
/** Slurm refuses a submission whose comment is longer. */
const commentBytesMax = 1024

/** Where an attempt's job and its attempts lie: two above `attempts/<number>`. */
export const jobDirectoryOf = (directory: string): string =>
  basename(dirname(directory)) === 'attempts' ? dirname(dirname(directory)) : dirname(directory)

/** The attempt's name in Slurm, by which it is found again. */
export const slurmName = ({ jobId, number }: Pick<AttemptName, 'jobId' | 'number'>): string => `scaimind-${jobId}-${number}`

/** The job and number in a name that `slurmName` made; null for any other. */
export function attemptOfName(name: string): Pick<AttemptName, 'jobId' | 'number'> | null {
  const [, jobId, number] = /^scaimind-(.+)-(\d+)$/.exec(name) ?? []
  return jobId === undefined ? null : { jobId, number: Number(number) }
}

/**
 * A submission as options of `sbatch`, one argument each, never a shell line:
 * - priority 10 is `--nice=0`, each step below adds 1000, since only root may go below 0;
 * - the queue `default` is the cluster's default partition, unless one is called so; preemptible jobs go to `preemptiblePartition` where there is
 *   one, and without one may only be run again;
 * - no limit is the partition's own. At `runSecondsMax` USR2 goes to the batch script, at most a minute late and never early, and the limit is late enough to save a
 *   checkpoint then; where the partition's is earlier, so is the signal;
 * - without memory the partition's default is used. `gpuMemoryBytesMin` has no word in Slurm: the GPU type must say it.
 */
export function sbatchOptions(
  attempt: AttemptName,
  request: SchedulingRequest,
  stopGraceSeconds: number,
  { partitions, preemptiblePartition, tenantsAreAccounts }: ClusterWays,
): string[] {
  const { needs } = request
  const partition = partitionFor(request, partitions, preemptiblePartition)
  const limit = timeLimit(request.runSecondsMax, partition?.runSecondsMax ?? null, stopGraceSeconds)
  const memoryMebibytes = Math.ceil(needs.memoryBytesPerNode / 2 ** 20)
  const { node_id: nodeId, hostname, feature } = needs.nodeSelector
  return [
    `--job-name=${slurmName(attempt)}`,
    `--comment=${commentOf(request)}`,
    `--chdir=${attempt.directory}`,
    // A percent sign is Slurm's own word in names of files.
    `--output=${join(attempt.directory, 'slurm.out').replaceAll('%', '%%')}`,
    '--open-mode=append',
    '--export=NONE',
    `--nodes=${needs.nodes}`,
    '--ntasks-per-node=1',
    `--cpus-per-task=${Math.max(1, needs.cpusPerNode)}`,
    ...(memoryMebibytes > 0 ? [`--mem=${memoryMebibytes}M`] : []),
    ...(needs.gpuCount > 0 ? [`--gres=gpu:${needs.gpuType ? `${needs.gpuType}:` : ''}${needs.gpuCount / needs.nodes}`] : []),
    ...(nodeId || hostname ? [`--nodelist=${nodeId || hostname}`] : []),
    ...(feature ? [`--constraint=${feature}`] : []),
    ...(partition && !partition.isDefault ? [`--partition=${partition.name}`] : []),
    ...(tenantsAreAccounts ? [`--account=${request.tenantId}`] : []),
    `--nice=${niceOf(request.priority)}`,
    ...(request.notBefore ? [`--begin=uts${Math.ceil(request.notBefore.getTime() / 1000)}`] : []),
    ...dependencyOptions(request.dependencies),
    ...limit,
    request.requeue ? '--requeue' : '--no-requeue',
  ]
}

/** A priority of 0 to 10 as Slurm's `nice`: 10 is 0, each step below adds 1000. */
export const niceOf = (priority: number): number => (10 - priority) * niceStep

/** What must end well first, as Slurm's dependency; empty where nothing must. */
export function dependencyOf(handles: SchedulingRequest['dependencies']): string {
  const ids = handles.flatMap(({ slurm_job_id: id }) => (typeof id === 'number' ? [id] : []))
  return ids.length > 0 ? `afterok:${ids.join(':')}` : ''
}

/** Whether Slurm's word on what a job depends on, `afterok:7(unfulfilled),afterok:8(failed)`, names just these. */
export function isDependency(text: string, handles: SchedulingRequest['dependencies']): boolean {
  const told = [...text.matchAll(/afterok:(\d+)/g)].map(([, id]) => Number(id))
  const wanted = handles.flatMap(({ slurm_job_id: id }) => (typeof id === 'number' ? [id] : []))
  return told.length === wanted.length && told.every((id) => wanted.includes(id))
}

function dependencyOptions(handles: SchedulingRequest['dependencies']): string[] {
  const dependency = dependencyOf(handles)
  return dependency ? [`--dependency=${dependency}`, '--kill-on-invalid-dep=no'] : []
}

function partitionFor(
  { queue, preemptible }: SchedulingRequest,
  partitions: ClusterWays['partitions'],
  preemptiblePartition: string | null,
): ClusterWays['partitions'][number] | undefined {
  const wanted = preemptible && preemptiblePartition ? preemptiblePartition : queue
  const found = partitions.find(({ name }) => name === wanted)
  if (found) return found
  if (wanted === 'default' || wanted === '') return partitions.find(({ isDefault }) => isDefault)
  // Slurm itself refuses it, in its own words.
  return { name: wanted, isDefault: false, runSecondsMax: null }
}

function timeLimit(runSecondsMax: number | null, partitionSecondsMax: number | null, stopGraceSeconds: number): string[] {
  const graceSeconds = Math.ceil(stopGraceSeconds)
  if (runSecondsMax === null) {
    if (partitionSecondsMax === null) return ['--time=UNLIMITED']
    return [`--time=${Math.floor(partitionSecondsMax / 60)}`, `--signal=B:USR2@${graceSeconds}`]
  }
  const wanted = Math.ceil((runSecondsMax + graceSeconds + signalEarlySeconds) / 60)
  const allowed = partitionSecondsMax === null ? wanted : Math.floor(partitionSecondsMax / 60)
  // Longer than the partition allows by itself: left to wait there, since it can never run its time.
  const minutes = wanted > allowed && runSecondsMax <= allowed * 60 ? allowed : wanted
  const signalSeconds = Math.max(graceSeconds, minutes * 60 - signalEarlySeconds - runSecondsMax)
  return [`--time=${minutes}`, `--signal=B:USR2@${signalSeconds}`]
}

/** For those who look at Slurm: the job's name, its end left out where it is too long, and as many labels as there is room for, as JSON. */
function commentOf({ name, labels, tenantId }: SchedulingRequest): string {
  const fits = (told: object) => Buffer.byteLength(JSON.stringify(told)) <= commentBytesMax
  const characters = Array.from(name)
  while (characters.length > 0 && !fits({ tenant: tenantId, name: characters.join('') })) characters.pop()
  const told = { tenant: tenantId, name: characters.join('') }
  const kept: Record<string, string> = {}
  for (const [key, value] of Object.entries(labels)) {
    if (fits({ ...told, labels: { ...kept, [key]: value } })) kept[key] = value
  }
  return JSON.stringify(Object.keys(kept).length > 0 ? { ...told, labels: kept } : told)
}
