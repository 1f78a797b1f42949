import type { Needs, Placement } from '../../src/coordinator/engines/engine.js'
import {
  type Decision,
  type Machine,
  placeJobs,
  type Running,
  type Situation,
  type Waiting,
} from '../../src/coordinator/jobs/placement/place.js'
import type { TenantLimits, TenantUsage } from '../../src/coordinator/jobs/placement/quota.js'

/** What a pass looks at, made by hand: each thing with what most tests want. */
export const now = new Date('2030-01-01T00:00:00Z')
export const inSeconds = (seconds: number): Date => new Date(now.getTime() + seconds * 1000)

export const needs = (some: Partial<Needs> = {}): Needs => ({
  gpuCount: 0,
  gpuType: '',
  nodes: 1,
  gpuMemoryBytesMin: 0,
  cpusPerNode: 1,
  memoryBytesPerNode: 0,
  nodeSelector: {},
  ...some,
})

export const waiting = (jobId: string, some: Partial<Waiting> = {}): Waiting => ({
  jobId,
  tenantId: 'acme',
  name: jobId,
  queue: 'default',
  priority: 5,
  queuedAt: now,
  notBefore: null,
  dependencies: [],
  needs: needs(),
  runSecondsMax: null,
  ...some,
})

/** A job of so many GPUs. */
export const onGpus = (jobId: string, gpuCount: number, some: Partial<Waiting> = {}): Waiting =>
  waiting(jobId, { needs: needs({ gpuCount }), ...some })

export const machine = (nodeId: string, gpus: number, cpus = 4): Machine => ({
  nodeId,
  hostname: nodeId,
  features: [],
  takesWork: true,
  draining: false,
  gpus: Array.from({ length: gpus }, (_, index) => ({ index, type: 'a100', memoryBytes: 80e9, free: true })),
  cpus,
  cpusFree: cpus,
  memoryBytes: 64e9,
  memoryBytesFree: 64e9,
  holders: [],
})

/** A job that holds GPUs of a machine, for ten minutes already unless told otherwise. */
export const running = (jobId: string, nodeId: string, gpuIndexes: number[], some: Partial<Running> = {}): Running => ({
  jobId,
  tenantId: 'rival',
  priority: 5,
  preemptible: false,
  placement: [{ nodeId, gpuIndexes, cpus: 0, memoryBytes: 0 }],
  share: gpuIndexes.length,
  gpuCount: gpuIndexes.length,
  startedAt: inSeconds(-600),
  endsAt: null,
  savedAt: null,
  leaving: false,
  evictionsLately: 0,
  ...some,
})

/** Machines with what jobs hold of them. */
export function held(machines: readonly Machine[], jobs: readonly Pick<Running, 'jobId' | 'tenantId' | 'placement'>[]): Machine[] {
  return machines.map((each) => {
    const holders = jobs.flatMap(({ jobId, tenantId, placement }) =>
      placement
        .filter(({ nodeId }) => nodeId === each.nodeId)
        .map(({ gpuIndexes, cpus, memoryBytes }) => ({ jobId, tenantId, gpuIndexes, cpus, memoryBytes })),
    )
    const sum = (of: 'cpus' | 'memoryBytes') => holders.reduce((total, holder) => total + holder[of], 0)
    return {
      ...each,
      gpus: each.gpus.map((gpu) => ({ ...gpu, free: !holders.some(({ gpuIndexes }) => gpuIndexes.includes(gpu.index)) })),
      cpusFree: each.cpus - sum('cpus'),
      memoryBytesFree: each.memoryBytes - sum('memoryBytes'),
      holders,
    }
  })
}

export const unlimited: TenantLimits = { jobs: 0, queued: 0, gpus: 0, gpuHoursMonth: 0, weight: 1, overQuota: 'wait' }
export const used = (some: Partial<TenantUsage> = {}): TenantUsage => ({
  gpusHeld: 0,
  holders: [],
  gpuHoursMonth: 0,
  shareSeconds: 0,
  ...some,
})

/** One pass; the machines hold what runs. */
export function pass(queue: readonly Waiting[], machines: readonly Machine[], some: Partial<Situation> = {}): Decision[] {
  return placeJobs({
    queue,
    machines: held(machines, some.running ?? []),
    running: [],
    now,
    limitsOf: () => unlimited,
    usage: new Map(),
    preemption: { minRuntimeMs: 120_000, evictionsMax: 2 },
    promised: new Set(),
    ...some,
  })
}

/** Which jobs start, in the order that they were decided. */
export const started = (decisions: readonly Decision[]): string[] => decisions.flatMap(({ jobId, placement }) => (placement ? [jobId] : []))

/** A place on one machine. */
export const slot = (nodeId: string, gpuIndexes: number[], cpus = 0): Placement => ({ nodeId, gpuIndexes, cpus, memoryBytes: 0 })
