import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Needs } from '../../../src/coordinator/engines/engine.js'
import { seenBy, sentenceOf } from '../../../src/coordinator/jobs/placement/blockers.js'
import { findRoom, inOrder, type Machine, placeJobs, take, type Waiting } from '../../../src/coordinator/jobs/placement/place.js'

const now = new Date('2030-01-01T00:00:00Z')
const needs = (some: Partial<Needs> = {}): Needs => ({
  gpuCount: 0,
  gpuType: '',
  nodes: 1,
  gpuMemoryBytesMin: 0,
  cpusPerNode: 1,
  memoryBytesPerNode: 0,
  nodeSelector: {},
  ...some,
})
const waiting = (jobId: string, some: Partial<Waiting> = {}): Waiting => ({
  jobId,
  tenantId: 'acme',
  priority: 5,
  queuedAt: now,
  notBefore: null,
  dependencies: [],
  needs: needs(),
  ...some,
})
const machine = (nodeId: string, gpus: number, cpus = 4): Machine => ({
  nodeId,
  hostname: nodeId,
  takesWork: true,
  draining: false,
  gpus: Array.from({ length: gpus }, (_, index) => ({ index, type: 'a100', memoryBytes: 80e9, free: true })),
  cpus,
  cpusFree: cpus,
  memoryBytes: 64e9,
  memoryBytesFree: 64e9,
  holders: [],
})
const placed = (queue: Waiting[], machines: Machine[]) =>
  placeJobs(queue, machines, now).flatMap(({ jobId, placement }) => (placement ? [jobId] : []))

const anyNeeds = fc.record({
  gpuPerNode: fc.nat(4),
  nodes: fc.integer({ min: 1, max: 3 }),
  cpusPerNode: fc.integer({ min: 1, max: 4 }),
  memory: fc.nat(40),
})
const anyQueue = fc
  .array(fc.record({ priority: fc.nat(10), age: fc.nat(1000), early: fc.boolean(), needs: anyNeeds }), { maxLength: 12 })
  .map((rows) =>
    rows.map((row, index) =>
      waiting(`job_${index}`, {
        priority: row.priority,
        queuedAt: new Date(now.getTime() - row.age),
        notBefore: row.early ? new Date(now.getTime() + 1) : null,
        needs: needs({
          gpuCount: row.needs.gpuPerNode * row.needs.nodes,
          nodes: row.needs.nodes,
          cpusPerNode: row.needs.cpusPerNode,
          memoryBytesPerNode: row.needs.memory * 1e9,
        }),
      }),
    ),
  )
const anyMachines = fc
  .array(fc.record({ gpus: fc.nat(4), cpus: fc.integer({ min: 1, max: 4 }), takesWork: fc.boolean() }), { maxLength: 4 })
  .map((rows) => rows.map(({ gpus, cpus, takesWork }, index) => ({ ...machine(`node${index}`, gpus, cpus), takesWork })))

describe('Placing jobs', () => {
  it('gives nothing twice, and never more than there is', () => {
    fc.assert(
      fc.property(anyQueue, anyMachines, (queue, machines) => {
        let left = machines
        for (const { jobId, placement } of placeJobs(queue, machines, now)) {
          if (!placement) continue
          const job = queue.find((candidate) => candidate.jobId === jobId)
          expect(placement).toHaveLength(job?.needs.nodes ?? 0)
          expect(new Set(placement.map(({ nodeId }) => nodeId)).size).toBe(placement.length)
          expect(placement.flatMap(({ gpuIndexes }) => gpuIndexes)).toHaveLength(job?.needs.gpuCount ?? 0)
          for (const { nodeId, gpuIndexes } of placement) {
            const before = left.find((candidate) => candidate.nodeId === nodeId)
            expect(before?.takesWork).toBe(true)
            for (const index of gpuIndexes) expect(before?.gpus[index]?.free).toBe(true)
          }
          left = take(left, placement)
          for (const { cpusFree, memoryBytesFree } of left) expect(Math.min(cpusFree, memoryBytesFree)).toBeGreaterThanOrEqual(0)
        }
      }),
    )
  })

  it('never lets a job pass one that waits for room before it', () => {
    fc.assert(
      fc.property(anyQueue, anyMachines, (queue, machines) => {
        const decisions = placeJobs(queue, machines, now)
        const blocked = decisions.findIndex(({ blockers }) => blockers.some(({ kind }) => kind === 'JOBS_AHEAD'))
        if (blocked >= 0) expect(decisions.slice(blocked).filter(({ placement }) => placement)).toEqual([])
      }),
    )
  })

  it('says of every job that it starts or what it waits for', () => {
    fc.assert(
      fc.property(anyQueue, anyMachines, (queue, machines) => {
        const decisions = placeJobs(queue, machines, now)
        expect(decisions.map(({ jobId }) => jobId).sort()).toEqual(queue.map(({ jobId }) => jobId).sort())
        for (const { placement, blockers } of decisions) {
          expect(placement === null).toBe(blockers.length > 0)
          expect(sentenceOf(blockers.map((blocker) => seenBy('acme', blocker))) === '').toBe(placement !== null)
        }
      }),
    )
  })

  it('goes by priority, then by age', () => {
    const old = waiting('old', { queuedAt: new Date(0) })
    expect(inOrder([waiting('young'), waiting('urgent', { priority: 9 }), old]).map(({ jobId }) => jobId)).toEqual([
      'urgent',
      'old',
      'young',
    ])
  })

  it('a large job is not starved by small ones behind it', () => {
    const machines = take([machine('a', 4)], [{ nodeId: 'a', gpuIndexes: [0], cpus: 0, memoryBytes: 0 }])
    const large = waiting('large', { priority: 6, needs: needs({ gpuCount: 4 }) })
    expect(placed([waiting('small', { needs: needs({ gpuCount: 1 }) }), large], machines)).toEqual([])
    expect(placeJobs([large], machines, now)[0]?.blockers).toMatchObject([{ kind: 'GPUS', of: '', need: 4, have: 3 }])
  })

  it('a job that must not run yet, or has no machine at all, holds back nobody', () => {
    const early = waiting('early', { priority: 9, notBefore: new Date(now.getTime() + 1000) })
    const dependent = waiting('dependent', { priority: 9, dependencies: [{ jobId: 'job_x', status: 'TRAINING' }] })
    const impossible = waiting('impossible', { priority: 9, needs: needs({ gpuCount: 8 }) })
    expect(placed([early, dependent, impossible, waiting('ready')], [machine('a', 1)])).toEqual(['ready'])
  })

  it('places a gang on all its nodes or on none', () => {
    const gang = needs({ gpuCount: 4, nodes: 2 })
    expect(findRoom(gang, [machine('a', 2), machine('b', 1)])).toBeNull()
    expect(findRoom(gang, [machine('a', 2), machine('b', 1), machine('c', 3)])?.map(({ nodeId }) => nodeId)).toEqual(['a', 'c'])
  })

  it('a job without GPUs takes CPU slots, one with GPUs does not', () => {
    expect(findRoom(needs({ cpusPerNode: 2 }), [machine('a', 1)])).toMatchObject([{ cpus: 2, gpuIndexes: [] }])
    expect(findRoom(needs({ gpuCount: 1 }), [machine('a', 1)])).toMatchObject([{ cpus: 0, gpuIndexes: [0] }])
  })
})
