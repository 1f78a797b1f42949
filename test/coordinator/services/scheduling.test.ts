import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { waitingJobs } from '../../../src/coordinator/jobs/placement/waiting.js'
import { jobChanges } from '../../../src/coordinator/jobs/records/changes.js'
import { openDatabase, underLease } from '../../../src/coordinator/jobs/records/database.js'
import type { ListCheckpointsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListCheckpointsResponse.js'
import type { Queue__Output } from '../../../src/generated/proto/scaimind/v1/Queue.js'
import type { SubmitJobResponse__Output } from '../../../src/generated/proto/scaimind/v1/SubmitJobResponse.js'
import { checkpointing } from '../../support/checkpointing.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'
import { pathWithGpus } from '../../support/gpus.js'

const forever = 'setInterval(() => {}, 1000)'
/** Saves once more when it is asked to stop. */
const saving = `${checkpointing([3])}
process.on('SIGTERM', () => {
  appendFileSync('events.jsonl', JSON.stringify({ type: 'checkpoint', time: new Date().toISOString(), checkpoint_id: 'last', step: 7, path: 'checkpoints/step-3', bytes: 1002, metrics: {} }) + '\\n')
  process.exit(85)
})
${forever}`
const minRuntimeSeconds = 2

let coordinator: TestCoordinator
let database: ReturnType<typeof openDatabase>

// A machine of four GPUs.
beforeAll(async () => {
  const tenants = join(mkdtempSync(join(tmpdir(), 'scaimind-tenants-')), 'tenants.json')
  writeFileSync(
    tenants,
    JSON.stringify({
      '*': { gpus: 4 },
      refused: { gpus: 2, over_quota: 'refuse' },
      metered: { gpu_hours_month: 0.0001 },
      exhausted: { gpu_hours_month: 0.0001, over_quota: 'refuse' },
      short: { queued: 1 },
    }),
  )
  const settings = {
    PATH: pathWithGpus(4),
    SCAIMIND_TENANTS_FILE: tenants,
    SCAIMIND_PREEMPTION_MIN_RUNTIME_SECONDS: String(minRuntimeSeconds),
  }
  coordinator = await startTestCoordinator(settings, { process: true })
  database = openDatabase(coordinator.databaseUrl)
})
afterAll(async () => {
  await database?.$disconnect()
  await coordinator?.close()
})

/** Attempts that are on record as having given way to a job that waits. */
const gaveWayFor = (evictedFor: string): Promise<number> => database.attempt.count({ where: { evictedFor } })

interface Wish {
  script?: string
  gpus?: number
  priority?: number
  seconds?: number
  preemptible?: boolean
}

const wish = (tenant: CoordinatorTenant, { script = forever, gpus = 4, priority = 5, seconds = 0, preemptible = false }: Wish) =>
  tenant.custom(script, {
    training: { priority },
    resource_config: { gpu_count: gpus },
    scheduling_config: { max_runtime_seconds: String(seconds), preemptible },
  })

async function cancel(tenant: CoordinatorTenant, ...ids: string[]): Promise<void> {
  for (const job_id of ids) await tenant.call('CancelJob', { job_id })
  for (const id of ids) await tenant.until(id, 'CANCELLED')
}

describe('A job of higher priority', () => {
  it('takes the place of a preemptible one, which saves first, is left alone at first, and goes on from there later', async () => {
    keepOnFailure(coordinator)
    const [owner, rival] = [coordinator.tenant(), coordinator.tenant()]
    const victim = await owner.submit(wish(owner, { script: saving, priority: 2, preemptible: true }))
    await owner.until(victim, 'TRAINING')
    const urgent = await rival.submit(wish(rival, { priority: 8 }))
    const preempted = await owner.until(victim, 'PREEMPTED')
    expect(preempted.message).toBe('Preempted: Gives way to a job of higher priority.')
    await rival.until(urgent, 'TRAINING')
    const { attempts, status } = await owner.job(victim)
    const [first] = attempts
    const seconds = Number(first?.finished_at?.seconds) - Number(first?.started_at?.seconds)
    expect([status, seconds >= minRuntimeSeconds]).toEqual(['QUEUED', true])
    await cancel(rival, urgent)
    await owner.until(victim, ({ to_status, attempt }) => to_status === 'TRAINING' && attempt === 2)
    const { checkpoints } = await owner.call<ListCheckpointsResponse__Output>('ListCheckpoints', { job_id: victim })
    const newest = checkpoints.find(({ step }) => step === '7')
    expect((await owner.job(victim)).attempts[1]).toMatchObject({ cause: 'REQUEUE', from_checkpoint: newest?.checkpoint_id })
    await cancel(owner, victim)
  })

  it('has the place kept that others leave for it, whoever comes meanwhile, over a restart of the coordinator', async () => {
    keepOnFailure(coordinator)
    const [owner, rival, fresh] = [coordinator.tenant(), coordinator.tenant(), coordinator.tenant()]
    const slow = `process.on('SIGTERM', () => setTimeout(() => process.exit(85), 3000)); ${forever}`
    const victim = await owner.submit(wish(owner, { script: slow, priority: 2, preemptible: true }))
    await owner.until(victim, 'TRAINING')
    const urgent = await rival.submit(wish(rival, { priority: 8 }))
    await owner.until(victim, ({ message }) => message.endsWith('Saves and gives its place back.'))
    await coordinator.restart()
    const rush = await fresh.submit(wish(fresh, { gpus: 1, priority: 10 }))
    await rival.until(urgent, 'TRAINING')
    expect((await fresh.job(rush)).status).toBe('QUEUED')
    await cancel(fresh, rush)
    await cancel(owner, victim)
    await cancel(rival, urgent)
  })

  it('that is cancelled while others leave for it, and tried again, waits its turn', async () => {
    keepOnFailure(coordinator)
    const [owner, rival] = [coordinator.tenant(), coordinator.tenant()]
    const victim = await owner.submit(wish(owner, { script: saving, priority: 2, preemptible: true }))
    await owner.until(victim, 'TRAINING')
    const asked = owner.until(victim, ({ message }) => message.endsWith('Saves and gives its place back.'))
    const urgent = await rival.submit(wish(rival, { priority: 8 }))
    await asked
    await rival.call('CancelJob', { job_id: urgent })
    await owner.until(victim, ({ to_status, attempt }) => to_status === 'TRAINING' && attempt === 2)
    await rival.call('RetryJob', { job_id: urgent })
    expect((await rival.job(urgent)).status).toBe('QUEUED')
    expect(await gaveWayFor(urgent)).toBe(0)
    await cancel(rival, urgent)
    await cancel(owner, victim)
  })

  it('is told beforehand how many would give way to it', async () => {
    const [owner, rival] = [coordinator.tenant(), coordinator.tenant()]
    const victim = await owner.submit(wish(owner, { priority: 2, preemptible: true }))
    await owner.until(victim, 'TRAINING')
    await new Promise((later) => setTimeout(later, minRuntimeSeconds * 1000 + 100))
    const { message, plan } = await rival.call<SubmitJobResponse__Output>('SubmitJob', {
      spec: wish(rival, { priority: 8 }),
      dry_run: true,
    })
    expect(message).toBe('The job would be accepted. 1 preemptible job of lower priority would give way to it.')
    expect(plan).toMatchObject({ starts_now: false, jobs_preempted: 1, blockers: [{ kind: 'GPUS', need: 4, have: 0, jobs: [] }] })
    expect((await owner.job(victim)).status).toBe('TRAINING')
    await cancel(owner, victim)
  })
})

describe('Jobs that wait', () => {
  it('take turns by tenant: one that comes late waits for one of another, not for all of them', async () => {
    keepOnFailure(coordinator)
    const [many, one] = [coordinator.tenant(), coordinator.tenant()]
    const running = await many.submit(wish(many, {}))
    await many.until(running, 'TRAINING')
    const ids = await Promise.all(Array.from({ length: 20 }, () => many.submit(wish(many, {}))))
    const late = await one.submit(wish(one, {}))
    const { entries, depth } = await one.call<Queue__Output>('GetQueue')
    expect([depth, entries.findIndex(({ job_id: id }) => id === late)]).toEqual([21, 0])
    await cancel(many, running)
    await one.until(late, 'TRAINING')
    await cancel(many, ...ids)
    await cancel(one, late)
  })

  it('wait for what they depend on, however many look at the queue at once', async () => {
    const tenant = coordinator.tenant()
    const first = await tenant.submit(wish(tenant, { gpus: 0 }))
    const second = await tenant.submit({ ...wish(tenant, { gpus: 0 }), scheduling_config: { depends_on: [first] } })
    const { epoch } = await database.coordinatorLease.findUniqueOrThrow({ where: { id: 1 } })
    const jobs = waitingJobs({ database: underLease(database, epoch), changes: jobChanges(), clock: () => new Date() })
    for (const list of await Promise.all([jobs.list(), jobs.list(), jobs.list()])) {
      expect(list.find(({ jobId }) => jobId === second)?.dependencies.map(({ jobId }) => jobId)).toEqual([first])
    }
    await cancel(tenant, second, first)
  })

  it('pass a large one that has no room only where they end before its place is free', async () => {
    keepOnFailure(coordinator)
    const tenant = coordinator.tenant()
    const other = coordinator.tenant()
    const busy = await tenant.submit(wish(tenant, { gpus: 2, seconds: 600 }))
    await tenant.until(busy, 'TRAINING')
    const large = await other.submit(wish(other, { gpus: 4, priority: 9 }))
    const endless = await tenant.submit(wish(tenant, { gpus: 1 }))
    const short = await tenant.submit(wish(tenant, { gpus: 1, seconds: 300 }))
    await tenant.until(short, 'TRAINING')
    expect((await tenant.job(endless)).blockers).toMatchObject([{ kind: 'JOBS_AHEAD', jobs: [] }])
    const start = Number((await other.job(large)).estimated_start?.seconds) - Date.now() / 1000
    expect([start > 500, start <= 600]).toEqual([true, true])
    await cancel(other, large)
    await cancel(tenant, busy, short, endless)
  })
})

describe('A tenant with limits of its own', () => {
  it('is refused what is beyond them, where the operator wants it so', async () => {
    const tenant = coordinator.tenant('refused')
    const running = await tenant.submit(wish(tenant, { gpus: 1 }))
    await tenant.until(running, 'TRAINING')
    expect(await tenant.refused('SubmitJob', { spec: wish(tenant, { gpus: 2 }) })).toMatchObject({
      code: 'RATE_LIMITED',
      message: "The tenant's jobs hold 1 GPUs, and 2 at once are allowed: 2 more are too many now.",
      fields: [{ path: 'limit', message: '2' }],
    })
    await cancel(tenant, running)
  })

  it('has so many jobs wait, and no more', async () => {
    const tenant = coordinator.tenant('short')
    const running = await tenant.submit(wish(tenant, {}))
    await tenant.until(running, 'TRAINING')
    const waiting = await tenant.submit(wish(tenant, {}))
    const isFull = /^The tenant has 1 jobs that wait/
    expect((await tenant.refused('SubmitJob', { spec: wish(tenant, {}) })).message).toMatch(isFull)
    expect((await tenant.refused('SubmitJob', { spec: wish(tenant, {}), dry_run: true })).message).toMatch(isFull)
    await cancel(tenant, waiting)
    const other = await tenant.submit(wish(tenant, {}))
    // A retry is no way around it.
    expect((await tenant.refused('RetryJob', { job_id: waiting })).message).toMatch(isFull)
    await cancel(tenant, other)
    expect(await tenant.call('RetryJob', { job_id: waiting })).toMatchObject({ status: 'QUEUED' })
    await cancel(tenant, waiting, running)
  })

  it('runs no more in a month than its GPU hours: further jobs wait for the next, or are refused', async () => {
    keepOnFailure(coordinator)
    const tenants = [coordinator.tenant('metered'), coordinator.tenant('exhausted')] as const
    for (const tenant of tenants) {
      const id = await tenant.submit(wish(tenant, { gpus: 1, script: 'setTimeout(() => {}, 800)' }))
      await tenant.until(id, 'COMPLETED')
    }
    const [metered, exhausted] = tenants
    const waiting = await metered.submit(wish(metered, { gpus: 1 }))
    const { blockers, estimated_start: start } = await metered.job(waiting)
    const now = new Date()
    const next = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1) / 1000
    expect(blockers).toMatchObject([{ kind: 'QUOTA', of: 'gpu_hours', have: 0, until: { seconds: String(next) } }])
    expect(start).toBeNull()
    const refusal = await exhausted.refused('SubmitJob', { spec: wish(exhausted, { gpus: 1 }) })
    expect(refusal).toMatchObject({ code: 'RATE_LIMITED', message: expect.stringMatching(/GPU hours of this month/) })
    // Jobs without GPUs use none.
    const cpu = await exhausted.submit(wish(exhausted, { gpus: 0, script: '' }))
    await exhausted.until(cpu, 'COMPLETED')
    await cancel(metered, waiting)
  })
})
