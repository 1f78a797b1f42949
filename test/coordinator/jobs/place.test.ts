import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { seenBy, sentenceOf } from '../../../src/coordinator/jobs/placement/blockers.js'
import { Forecast } from '../../../src/coordinator/jobs/placement/forecast.js'
import type { Running, Waiting } from '../../../src/coordinator/jobs/placement/place.js'
import { emptied, findRoom, Room } from '../../../src/coordinator/jobs/placement/room.js'
import {
  held,
  inSeconds,
  machine,
  needs,
  now,
  onGpus,
  pass,
  running,
  slot,
  started,
  unlimited,
  used,
  waiting,
} from '../../support/placement.js'

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

const toRunning = ({ jobId, tenantId, runSecondsMax }: Waiting, placement: Running['placement'], at: Date): Running =>
  running(jobId, '', [], {
    tenantId,
    placement,
    startedAt: at,
    endsAt: runSecondsMax === null ? null : new Date(at.getTime() + runSecondsMax * 1000),
  })

describe('Placing jobs', () => {
  it('gives nothing twice, never more than there is, and a job all of its nodes or none', () => {
    fc.assert(
      fc.property(anyQueue, anyMachines, (queue, machines) => {
        const left = new Room(machines)
        for (const { jobId, placement } of pass(queue, machines)) {
          if (!placement) continue
          const job = queue.find((candidate) => candidate.jobId === jobId)
          expect(new Set(placement.map(({ nodeId }) => nodeId)).size).toBe(job?.needs.nodes)
          expect(placement.flatMap(({ gpuIndexes }) => gpuIndexes)).toHaveLength(job?.needs.gpuCount ?? 0)
          for (const { nodeId, gpuIndexes } of placement) {
            const before = left.machines.find((candidate) => candidate.nodeId === nodeId)
            expect(before?.takesWork).toBe(true)
            for (const index of gpuIndexes) expect(before?.gpus[index]?.free).toBe(true)
          }
          left.take(placement)
          for (const { cpusFree, memoryBytesFree } of left.machines) expect(Math.min(cpusFree, memoryBytesFree)).toBeGreaterThanOrEqual(0)
        }
      }),
    )
  })

  it('says of every job that it starts or what it waits for', () => {
    fc.assert(
      fc.property(anyQueue, anyMachines, (queue, machines) => {
        const decisions = pass(queue, machines)
        expect(decisions.map(({ jobId }) => jobId).sort()).toEqual(queue.map(({ jobId }) => jobId).sort())
        for (const { placement, blockers } of decisions) {
          expect(placement === null).toBe(blockers.length > 0)
          expect(sentenceOf(blockers.map((blocker) => seenBy('acme', blocker))) === '').toBe(placement !== null)
        }
      }),
    )
  })

  it('starts every job that could ever run, however many are smaller or shorter, once nothing new comes', () => {
    const anyRun = fc.record({ limit: fc.option(fc.integer({ min: 1, max: 50 })), takes: fc.integer({ min: 1, max: 50 }) })
    fc.assert(
      fc.property(anyQueue, anyMachines, fc.array(anyRun, { minLength: 12, maxLength: 12 }), (queue, machines, runs) => {
        const takes = new Map<string, number>()
        let left = queue.map((job, index) => {
          const run = runs[index]
          takes.set(job.jobId, Math.min(run?.takes ?? 1, run?.limit ?? 50))
          return { ...job, notBefore: null, tenantId: index % 3 === 0 ? 'rival' : 'acme', runSecondsMax: run?.limit ?? null }
        })
        left = left.filter(({ needs: wanted }) => findRoom(wanted, emptied(machines)))
        let holding: Running[] = []
        // Each pass but the last few ends or starts something.
        for (let second = 0; second <= 51 * queue.length && left.length > 0; second++) {
          const at = inSeconds(second)
          holding = holding.filter(({ jobId, startedAt }) => at.getTime() - (startedAt?.getTime() ?? 0) < (takes.get(jobId) ?? 0) * 1000)
          const decisions = pass(left, machines, { running: holding, now: at })
          for (const { jobId, placement } of decisions) {
            const job = left.find((candidate) => candidate.jobId === jobId)
            if (job && placement) holding.push(toRunning(job, placement, at))
          }
          left = left.filter(({ jobId }) => !holding.some((job) => job.jobId === jobId))
        }
        expect(left.map(({ jobId }) => jobId)).toEqual([])
      }),
      { numRuns: 60 },
    )
  })

  it('lets nobody pass who would delay the head, by what is known', () => {
    const anyLimit = fc.option(fc.integer({ min: 1, max: 50 }))
    fc.assert(
      fc.property(
        anyQueue,
        anyMachines,
        fc.array(anyLimit, { minLength: 12, maxLength: 12 }),
        fc.nat(3),
        (queue, machines, limits, before) => {
          const jobs = queue.map((job, index) => ({ ...job, notBefore: null, runSecondsMax: limits[index] ?? null }))
          const early = pass(jobs.slice(0, before), machines)
          const holding = jobs.slice(0, before).flatMap((job) => {
            const placement = early.find(({ jobId }) => jobId === job.jobId)?.placement
            return placement ? [toRunning(job, placement, now)] : []
          })
          const rest = jobs.slice(before)
          const decisions = pass(rest, machines, { running: holding })
          const ahead = decisions.flatMap(({ blockers }) => blockers.filter(({ kind }) => kind === 'JOBS_AHEAD'))[0]?.jobs[0]?.jobId
          const head = rest.find(({ jobId }) => jobId === ahead)
          if (!head) return
          const starting = decisions.map(({ jobId, placement }) => ({ job: rest.find((each) => each.jobId === jobId), placement }))
          const taking = (those: typeof starting) => [
            ...holding,
            ...those.flatMap(({ job, placement }) => (job && placement ? [toRunning(job, placement, now)] : [])),
          ]
          const startOf = (jobsThen: Running[]) => new Forecast(held(machines, jobsThen), jobsThen).earliest(head.needs)?.at ?? 0
          const inFront = starting.slice(
            0,
            starting.findIndex(({ job }) => job?.jobId === head.jobId),
          )
          expect(startOf(taking(starting))).toBeLessThanOrEqual(startOf(taking(inFront)))
        },
      ),
    )
  })

  it('keeps a place for a large job: small ones behind it start only beside that place, or where they end in time', () => {
    const machines = [machine('a', 4), machine('b', 2)]
    const holding = [running('busy', 'a', [0], { endsAt: inSeconds(100) })]
    const large = onGpus('large', 4, { queuedAt: inSeconds(-1) })
    const behind = [
      onGpus('endless', 2),
      onGpus('late', 1, { queuedAt: inSeconds(1) }),
      onGpus('long', 1, { queuedAt: inSeconds(2), runSecondsMax: 101 }),
      onGpus('short', 1, { queuedAt: inSeconds(3), runSecondsMax: 100 }),
    ]
    const decisions = pass([large, ...behind], machines, { running: holding })
    expect(started(decisions)).toEqual(['endless', 'short'])
    expect(decisions.find(({ jobId }) => jobId === 'late')?.blockers).toMatchObject([{ kind: 'JOBS_AHEAD', jobs: [{ jobId: 'large' }] }])
  })

  it('lets nobody onto the place of a job of whose start nothing is known', () => {
    const holding = [running('busy', 'a', [0])]
    const large = onGpus('large', 4, { queuedAt: inSeconds(-1) })
    const decisions = pass([large, onGpus('short', 1, { runSecondsMax: 1 })], [machine('a', 4)], { running: holding })
    expect(started(decisions)).toEqual([])
    expect(decisions[0]?.blockers).toMatchObject([{ kind: 'GPUS', of: '', need: 4, have: 3 }])
  })

  it('a job that must not run yet, or has no machine at all, holds back nobody', () => {
    const early = waiting('early', { priority: 9, notBefore: new Date(now.getTime() + 1000) })
    const dependent = waiting('dependent', { priority: 9, dependencies: [{ jobId: 'job_x', status: 'TRAINING' }] })
    const impossible = onGpus('impossible', 8, { priority: 9 })
    expect(started(pass([early, dependent, impossible, waiting('ready')], [machine('a', 1)]))).toEqual(['ready'])
  })

  it('places a gang on all its nodes or on none, the fullest first', () => {
    const gang = needs({ gpuCount: 4, nodes: 2 })
    expect(findRoom(gang, [machine('a', 2), machine('b', 1)])).toBeNull()
    expect(findRoom(gang, [machine('c', 3), machine('a', 2), machine('b', 1)])?.map(({ nodeId }) => nodeId)).toEqual(['a', 'c'])
  })

  it('a job without GPUs takes CPU slots, one with GPUs does not', () => {
    expect(findRoom(needs({ cpusPerNode: 2 }), [machine('a', 1)])).toMatchObject([{ cpus: 2, gpuIndexes: [] }])
    expect(findRoom(needs({ gpuCount: 1 }), [machine('a', 1)])).toMatchObject([{ cpus: 0, gpuIndexes: [0] }])
  })
})

describe('Limits of a tenant', () => {
  const limitsOf = () => ({ ...unlimited, gpus: 2, gpuHoursMonth: 10 })

  it('hold back its own jobs, not those behind them', () => {
    const usage = new Map([['acme', used({ gpusHeld: 1, holders: [{ jobId: 'job_x', tenantId: 'acme' }] })]])
    const queue = [onGpus('two', 2, { priority: 9 }), onGpus('one', 1), waiting('cpu'), onGpus('theirs', 2, { tenantId: 'rival' })]
    const decisions = pass(queue, [machine('a', 8)], { limitsOf, usage })
    expect(started(decisions).sort()).toEqual(['cpu', 'one', 'theirs'])
    expect(decisions.find(({ jobId }) => jobId === 'two')?.blockers).toMatchObject([{ kind: 'QUOTA', of: 'gpus', need: 2, have: 1 }])
  })

  it('of GPU hours hold until the month is over, by UTC', () => {
    const usage = new Map([['acme', used({ gpuHoursMonth: 10 })]])
    const [decision] = pass([onGpus('one', 1)], [machine('a', 8)], { limitsOf, usage, now: new Date('2030-12-31T23:59:59Z') })
    const until = new Date('2031-01-01T00:00:00Z')
    expect(decision?.blockers).toMatchObject([{ kind: 'QUOTA', of: 'gpu_hours', have: 0, until }])
    expect(sentenceOf(decision?.blockers.map((blocker) => seenBy('acme', blocker)) ?? [])).toMatch(/^Waits until 2031-01-01.*GPU hours/)
  })
})

describe('Giving way', () => {
  const gpus4 = [machine('a', 4)]
  const victim = (jobId: string, gpuIndexes: number[], some: Partial<Running> = {}) =>
    running(jobId, 'a', gpuIndexes, { preemptible: true, priority: 3, ...some })
  const urgent = onGpus('urgent', 2, { priority: 8 })
  const victims = (jobs: Running[], some = {}) => pass([urgent], gpus4, { running: jobs, ...some }).flatMap((decision) => decision.victims)

  it('is asked of those with the least work since their last checkpoint, and of no more than it takes', () => {
    const jobs = [
      victim('old', [0]),
      victim('saved', [1], { savedAt: inSeconds(-10) }),
      victim('young', [2], { startedAt: inSeconds(-130) }),
      victim('large', [3], { share: 9 }),
    ]
    expect(victims(jobs).sort()).toEqual(['saved', 'young'])
  })

  it('is not asked of jobs that are not preemptible, of equal priority, too young, or that gave way twice lately', () => {
    const spared: Partial<Running>[] = [
      { preemptible: false },
      { priority: 8 },
      { startedAt: inSeconds(-119) },
      { startedAt: null },
      { evictionsLately: 2 },
    ]
    for (const some of spared) expect(victims([victim('one', [0, 1]), victim('other', [2, 3], some)])).toEqual(['one'])
    for (const some of spared) expect(victims([victim('one', [0, 1, 2, 3], some)])).toEqual([])
  })

  it('is asked of nobody while enough is being given back already', () => {
    expect(victims([victim('one', [0, 1], { leaving: true }), victim('other', [2, 3])])).toEqual([])
  })

  it('frees whole nodes for a gang, sparing those whom another makes needless', () => {
    const two = [machine('a', 2), machine('b', 2)]
    const gang = waiting('gang', { priority: 8, needs: needs({ gpuCount: 4, nodes: 2 }) })
    const wide = victim('wide', [0], { placement: [slot('a', [0]), slot('b', [0])], share: 2 })
    const jobs = [wide, victim('one', [1]), victim('other', [1], { placement: [slot('b', [1])] })]
    expect(pass([gang], two, { running: jobs })[0]?.victims.sort()).toEqual(['one', 'other', 'wide'])
  })

  it('keeps the place for the job that asked, until it starts, whoever else is ahead', () => {
    const promised = new Set(['urgent'])
    const rush = onGpus('rush', 1, { tenantId: 'fresh', priority: 10 })
    const one = victim('one', [0, 1, 2], { leaving: true })
    const meanwhile = pass([urgent, rush], gpus4, { running: [one], promised })
    expect(started(meanwhile)).toEqual(['rush'])
    const full = pass([urgent, rush], [machine('a', 2)], { running: [victim('one', [0], { leaving: true })], promised })
    expect(started(full)).toEqual([])
    expect(started(pass([urgent, rush], [machine('a', 2)], { promised }))).toEqual(['urgent'])
  })

  it('asks only those of lower priority that may be asked, and none without need', () => {
    const anyJob = fc.record({
      gpu: fc.nat(7),
      priority: fc.nat(10),
      preemptible: fc.boolean(),
      age: fc.nat(600),
      saved: fc.option(fc.nat(600)),
    })
    fc.assert(
      fc.property(
        fc.uniqueArray(anyJob, { selector: ({ gpu }) => gpu }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(10),
        (rows, count, priority) => {
          const machines = [machine('a', 4), machine('b', 4)]
          const jobs = rows.map(({ gpu, age, saved, ...some }) =>
            running(`job_${gpu}`, gpu < 4 ? 'a' : 'b', [gpu % 4], {
              ...some,
              startedAt: inSeconds(-age),
              savedAt: saved === null ? null : inSeconds(-Math.min(age, saved)),
            }),
          )
          const [decision] = pass([onGpus('job', count, { priority })], machines, { running: jobs })
          const asked = decision?.victims ?? []
          for (const jobId of asked) {
            const job = jobs.find((each) => each.jobId === jobId)
            expect(job?.preemptible && job.priority < priority && (job.startedAt ?? now) <= inSeconds(-120)).toBe(true)
          }
          const without = (gone: string[]) =>
            held(
              machines,
              jobs.filter(({ jobId }) => !gone.includes(jobId)),
            )
          const wanted = needs({ gpuCount: count })
          if (asked.length > 0) expect(findRoom(wanted, without(asked))).not.toBeNull()
          for (const spared of asked) expect(findRoom(wanted, without(asked.filter((jobId) => jobId !== spared)))).toBeNull()
        },
      ),
    )
  })
})
