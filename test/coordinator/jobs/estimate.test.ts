import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { estimateStarts } from '../../../src/coordinator/jobs/placement/estimate.js'
import { held, inSeconds, machine, now, onGpus, running, waiting as waiter } from '../../support/placement.js'

const slots = (cpus: number) => machine('a', 0, cpus)
const busy = (jobId: string, endsIn: number | null) =>
  running(jobId, 'a', [], {
    endsAt: endsIn === null ? null : inSeconds(endsIn),
    placement: [{ nodeId: 'a', gpuIndexes: [], cpus: 1, memoryBytes: 0 }],
  })
const estimate = (queue: ReturnType<typeof waiter>[], jobs: ReturnType<typeof busy>[], machines = [slots(1)]) =>
  estimateStarts(queue, jobs, held(machines, jobs), now)
const secondsOf = (starts: Map<string, Date>) =>
  Object.fromEntries([...starts].map(([id, at]) => [id, (at.getTime() - now.getTime()) / 1000]))

describe('When a waiting job would start', () => {
  it('is now where there is room, else when enough of what runs has ended, in the order of the queue', () => {
    const queue = [waiter('a', { runSecondsMax: 30 }), waiter('b', { runSecondsMax: 10 }), waiter('c')]
    expect(secondsOf(estimate(queue, [busy('x', 20)], [slots(2)]))).toEqual({ a: 0, b: 20, c: 30 })
  })

  it('is not known behind a job of which nothing is known', () => {
    expect(secondsOf(estimate([waiter('a'), waiter('b')], [busy('x', 20)]))).toEqual({ a: 20 })
    expect(secondsOf(estimate([waiter('a')], [busy('x', null)]))).toEqual({})
  })

  it('waits for its time and for what it depends on, and lets others pass meanwhile', () => {
    const later = waiter('later', { notBefore: inSeconds(100), priority: 9 })
    const dependent = waiter('dependent', { dependencies: [{ jobId: 'x', status: 'TRAINING' }], priority: 8 })
    const lost = waiter('lost', { dependencies: [{ jobId: 'gone', status: 'FAILED' }], priority: 7 })
    expect(secondsOf(estimate([later, dependent, lost, waiter('now')], [busy('x', 20)], [slots(4)]))).toEqual({
      later: 100,
      dependent: 20,
      now: 0,
    })
  })

  it('is not put off by a job that waits for other machines', () => {
    const queue = [onGpus('large', 2, { runSecondsMax: 10 }), onGpus('small', 1)]
    const holding = [running('x', 'b', [0], { endsAt: inSeconds(50) }), running('y', 'c', [0], { endsAt: inSeconds(5) })]
    const machines = held([machine('b', 2), machine('c', 1)], holding)
    expect(secondsOf(estimateStarts(queue, holding, machines, now))).toEqual({ large: 50, small: 5 })
  })

  it('is never in the past', () => {
    const anyJob = fc.record({ priority: fc.nat(10), seconds: fc.option(fc.nat(100)), early: fc.option(fc.nat(100)) })
    fc.assert(
      fc.property(fc.array(anyJob, { maxLength: 8 }), fc.array(fc.option(fc.nat(50)), { maxLength: 3 }), (jobs, ends) => {
        const queue = jobs.map(({ priority, seconds, early }, index) =>
          waiter(`job_${index}`, { priority, runSecondsMax: seconds, notBefore: early === null ? null : inSeconds(early) }),
        )
        const starts = estimate(
          queue,
          ends.map((end, index) => busy(`run_${index}`, end)),
          [slots(3)],
        )
        for (const at of starts.values()) expect(at.getTime()).toBeGreaterThanOrEqual(now.getTime())
      }),
    )
  })
})
