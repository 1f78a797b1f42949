import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { estimateStarts, type Waiter } from '../../../src/coordinator/jobs/placement/estimate.js'
import type { Machine } from '../../../src/coordinator/jobs/placement/place.js'

const now = new Date('2030-01-01T00:00:00Z')
const inSeconds = (seconds: number) => new Date(now.getTime() + seconds * 1000)
const machine = (cpus: number, free: number): Machine => ({
  nodeId: 'a',
  hostname: 'a',
  takesWork: true,
  draining: false,
  gpus: [],
  cpus,
  cpusFree: free,
  memoryBytes: 1e9,
  memoryBytesFree: 1e9,
  holders: [],
})
const waiter = (jobId: string, some: Partial<Waiter> = {}): Waiter => ({
  jobId,
  tenantId: 'acme',
  priority: 5,
  queuedAt: now,
  notBefore: null,
  dependencies: [],
  needs: { gpuCount: 0, gpuType: '', nodes: 1, gpuMemoryBytesMin: 0, cpusPerNode: 1, memoryBytesPerNode: 0, nodeSelector: {} },
  runSecondsMax: null,
  ...some,
})
const running = (jobId: string, endsIn: number | null) => ({
  jobId,
  placement: [{ nodeId: 'a', gpuIndexes: [], cpus: 1, memoryBytes: 0 }],
  endsAt: endsIn === null ? null : inSeconds(endsIn),
})
const secondsOf = (starts: Map<string, Date>) =>
  Object.fromEntries([...starts].map(([id, at]) => [id, (at.getTime() - now.getTime()) / 1000]))

describe('When a waiting job would start', () => {
  it('is now where there is room, else when enough of what runs has ended, in the order of the queue', () => {
    const queue = [waiter('a', { runSecondsMax: 30 }), waiter('b', { runSecondsMax: 10 }), waiter('c')]
    expect(secondsOf(estimateStarts(queue, [running('x', 20)], [machine(2, 1)], now))).toEqual({ a: 0, b: 20, c: 30 })
  })

  it('is not known behind a job of which nothing is known', () => {
    expect(secondsOf(estimateStarts([waiter('a'), waiter('b')], [running('x', 20)], [machine(1, 0)], now))).toEqual({ a: 20 })
    expect(secondsOf(estimateStarts([waiter('a')], [running('x', null)], [machine(1, 0)], now))).toEqual({})
  })

  it('waits for its time and for what it depends on, and lets others pass meanwhile', () => {
    const later = waiter('later', { notBefore: inSeconds(100), priority: 9 })
    const dependent = waiter('dependent', { dependencies: [{ jobId: 'x', status: 'TRAINING' }], priority: 8 })
    const lost = waiter('lost', { dependencies: [{ jobId: 'gone', status: 'FAILED' }], priority: 7 })
    expect(secondsOf(estimateStarts([later, dependent, lost, waiter('now')], [running('x', 20)], [machine(4, 3)], now))).toEqual({
      later: 100,
      dependent: 20,
      now: 0,
    })
  })

  it('is never in the past', () => {
    const anyJob = fc.record({ priority: fc.nat(10), seconds: fc.option(fc.nat(100)), early: fc.option(fc.nat(100)) })
    fc.assert(
      fc.property(fc.array(anyJob, { maxLength: 8 }), fc.array(fc.option(fc.nat(50)), { maxLength: 3 }), (jobs, ends) => {
        const queue = jobs.map(({ priority, seconds, early }, index) =>
          waiter(`job_${index}`, { priority, runSecondsMax: seconds, notBefore: early === null ? null : inSeconds(early) }),
        )
        const starts = estimateStarts(
          queue,
          ends.map((end, index) => running(`run_${index}`, end)),
          [machine(3, 3 - ends.length)],
          now,
        )
        for (const at of starts.values()) expect(at.getTime()).toBeGreaterThanOrEqual(now.getTime())
      }),
    )
  })
})
