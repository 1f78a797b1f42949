import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fairOrder } from '../../../src/coordinator/jobs/placement/fair-order.js'
import type { Waiting } from '../../../src/coordinator/jobs/placement/place.js'
import { inSeconds, machine, onGpus, pass, running, started, unlimited, used } from '../../support/placement.js'

const all = (queue: Waiting[], standings: Record<string, { weight?: number; usage?: number }> = {}) => {
  const order = fairOrder(queue, (tenantId) => ({ weight: 1, usage: 0, ...standings[tenantId] }))
  const jobs: Waiting[] = []
  for (let job = order.next(); job; job = order.next()) {
    order.charge(job)
    jobs.push(job)
  }
  return jobs
}
const of = (tenantId: string, count: number, some: Partial<Waiting> = {}) =>
  Array.from({ length: count }, (_, index) => onGpus(`${tenantId}_${index}`, 1, { tenantId, queuedAt: inSeconds(index), ...some }))
const hour = 3600

describe('The order of the queue', () => {
  it('goes within a tenant by priority, then age, and loses nobody', () => {
    const anyJob = fc.record({ tenant: fc.nat(3), priority: fc.nat(10), age: fc.nat(100), gpus: fc.integer({ min: 1, max: 8 }) })
    fc.assert(
      fc.property(fc.array(anyJob), (rows) => {
        const queue = rows.map(({ tenant, priority, age, gpus }, index) =>
          onGpus(`job_${index}`, gpus, { tenantId: `t${tenant}`, priority, queuedAt: inSeconds(-age) }),
        )
        const jobs = all(queue)
        expect(jobs.map(({ jobId }) => jobId).sort()).toEqual(queue.map(({ jobId }) => jobId).sort())
        for (const tenant of ['t0', 't1', 't2', 't3']) {
          const own = jobs.filter(({ tenantId }) => tenantId === tenant)
          for (const [index, job] of own.slice(1).entries()) {
            const before = own[index] ?? job
            expect(before.priority > job.priority || (before.priority === job.priority && before.queuedAt <= job.queuedAt)).toBe(true)
          }
        }
      }),
    )
  })

  it("lets one tenant's thousand jobs not starve another's one, whatever their priority", () => {
    const place = (priority: number) =>
      all([...of('many', 1000, { priority }), ...of('one', 1, { queuedAt: inSeconds(2000) })]).findIndex(
        ({ tenantId }) => tenantId === 'one',
      )
    expect(place(5)).toBe(1)
    expect(place(10)).toBeLessThan(40)
  })

  it('lets urgent work pass that of others who had as much', () => {
    const urgent = of('late', 1, { priority: 9, queuedAt: inSeconds(100) })
    expect(all([...of('first', 3), ...urgent])[0]?.tenantId).toBe('late')
    expect(all([...of('first', 3), ...urgent], { late: { usage: 100 * hour } })[0]?.tenantId).toBe('first')
  })

  it('shares by weight', () => {
    const first30 = all([...of('a', 100), ...of('b', 100)], { a: { weight: 2 } }).slice(0, 30)
    expect(first30.filter(({ tenantId }) => tenantId === 'a')).toHaveLength(20)
  })

  it('brings tenants that want more than there is to shares by their weights', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 4 }), fc.nat(20), (weight, size, lead) => {
        const machines = [machine('a', 8)]
        const limitsOf = (tenantId: string) => ({ ...unlimited, weight: tenantId === 'a' ? weight : 1 })
        // `a` asks for many GPUs a job, `b` for one; `a` had more before.
        const queue = [...of('b', 150), ...Array.from({ length: 150 }, (_, n) => onGpus(`a_${n}`, size, { tenantId: 'a' }))]
        const had = { a: lead * hour, b: 0 }
        let left = queue
        for (let hours = 0; hours < 24; hours++) {
          const usage = new Map(Object.entries(had).map(([tenantId, shareSeconds]) => [tenantId, used({ shareSeconds })]))
          const names = started(pass(left, machines, { limitsOf, usage }))
          for (const name of names) {
            if (name.startsWith('a')) had.a += size * hour
            else had.b += hour
          }
          left = left.filter(({ jobId }) => !names.includes(jobId))
        }
        expect(Math.abs(had.a / weight - had.b) / hour).toBeLessThanOrEqual(size + 8)
      }),
      { numRuns: 10 },
    )
  })

  it('counts what was just given, and what runs', () => {
    const holding = [running('busy', 'a', [0], { tenantId: 'a' })]
    const usage = new Map([['a', used({ shareSeconds: hour })]])
    expect(started(pass([...of('a', 3), ...of('b', 3)], [machine('a', 4)], { running: holding, usage }))).toEqual(['b_0', 'a_0', 'b_1'])
  })
})
