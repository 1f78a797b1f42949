import { existsSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { status as grpc } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase } from '../../../src/coordinator/jobs/records/database.js'
import type { Job__Output } from '../../../src/generated/proto/scaimind/v1/Job.js'
import type { JobEvent__Output } from '../../../src/generated/proto/scaimind/v1/JobEvent.js'
import type { ListCheckpointsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListCheckpointsResponse.js'
import type { ListJobsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListJobsResponse.js'
import type { RetentionPlan__Output } from '../../../src/generated/proto/scaimind/v1/RetentionPlan.js'
import type { RetentionResult__Output } from '../../../src/generated/proto/scaimind/v1/RetentionResult.js'
import { checkpointing } from '../../support/checkpointing.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'

let coordinator: TestCoordinator

beforeAll(async () => {
  coordinator = await startTestCoordinator()
})
afterAll(async () => {
  await coordinator?.close()
})

const tomorrow = () => ({ seconds: Math.floor(Date.now() / 1000) + 86_400 })
const plan = (tenant: CoordinatorTenant, request: object = {}) =>
  tenant.call<RetentionPlan__Output>('PlanRetention', { scope: 'JOBS', finished_before: tomorrow(), archived_only: false, ...request })
const apply = (tenant: CoordinatorTenant, { plan_id }: { plan_id: string }) =>
  tenant.call<RetentionResult__Output>('ApplyRetention', { plan_id })
const folderOf = (tenant: CoordinatorTenant, jobId: string) => join(coordinator.dataDir, 'jobs', tenant.id, jobId)
const checkpointsOf = async (tenant: CoordinatorTenant, jobId: string) =>
  (await tenant.call<ListCheckpointsResponse__Output>('ListCheckpoints', { job_id: jobId })).checkpoints

async function completed(tenant: CoordinatorTenant, steps: number[] = []): Promise<string> {
  const id = await tenant.submit(tenant.custom(checkpointing(steps)))
  await tenant.until(id, 'COMPLETED')
  return id
}
async function failed(tenant: CoordinatorTenant, steps: number[] = []): Promise<string> {
  const id = await tenant.submit(tenant.custom(checkpointing(steps, 'process.exit(1)')))
  await tenant.until(id, 'FAILED')
  return id
}
const waiting = (tenant: CoordinatorTenant, more: object = {}) =>
  tenant.submit(tenant.custom('', { scheduling_config: { start_after: { seconds: 4_000_000_000 }, ...more } }))

describe('Archiving a job', () => {
  it('puts a terminal one away and back, and repeats harmlessly', async () => {
    const tenant = coordinator.tenant()
    const id = await completed(tenant)
    const archived = await tenant.call<Job__Output>('ArchiveJob', { job_id: id, archived: true })
    expect(Number(archived.archived_at?.seconds)).toBeGreaterThan(1_700_000_000)
    expect(await tenant.call('ArchiveJob', { job_id: id, archived: true })).toEqual(archived)
    expect(await tenant.job(id)).toMatchObject({ archived_at: archived.archived_at })
    expect(await tenant.call('ArchiveJob', { job_id: id, archived: false })).toMatchObject({ archived_at: null })
  })

  it('takes it out of lists that do not ask for archived jobs', async () => {
    const tenant = coordinator.tenant()
    const [kept, away] = [await completed(tenant), await completed(tenant)]
    await tenant.call('ArchiveJob', { job_id: away, archived: true })
    const list = async (request: object) => {
      const { jobs, total_count: total } = await tenant.call<ListJobsResponse__Output>('ListJobs', request)
      return { ids: jobs.map(({ job_id }) => job_id).sort(), total: Number(total) }
    }
    expect(await list({})).toEqual({ ids: [kept], total: 1 })
    expect(await list({ include_archived: true })).toEqual({ ids: [kept, away].sort(), total: 2 })
  })

  it('is refused for one that is not terminal, and for other tenants', async () => {
    const tenant = coordinator.tenant()
    const id = await waiting(tenant)
    const refusal = await tenant.refused('ArchiveJob', { job_id: id, archived: true })
    expect(refusal).toMatchObject({ code: 'JOB_STATE_CONFLICT', status: grpc.FAILED_PRECONDITION })
    expect(refusal.fields).toContainEqual({ path: 'allowed_from', message: 'COMPLETED FAILED CANCELLED' })
    expect((await coordinator.tenant().refused('ArchiveJob', { job_id: id, archived: true })).code).toBe('JOB_NOT_FOUND')
  })

  it('ends with a retry', async () => {
    const tenant = coordinator.tenant()
    const id = await failed(tenant)
    await tenant.call('ArchiveJob', { job_id: id, archived: true })
    expect(await tenant.call('RetryJob', { job_id: id })).toMatchObject({ archived_at: null })
  })
})

describe('Retention of jobs', () => {
  it('deletes exactly what its plan said: record, attempts, checkpoints and files, told by an event', async () => {
    keepOnFailure(coordinator)
    const tenant = coordinator.tenant()
    const id = await completed(tenant, [1, 2])
    const running = await waiting(tenant)
    const planned = await plan(tenant)
    expect(planned).toMatchObject({ scope: 'JOBS', has_more: false, items: [{ job_id: id, status: 'COMPLETED', kept: '' }] })
    expect(planned.items[0]?.checkpoints).toHaveLength(2)
    expect(Number(planned.bytes)).toBeGreaterThan(2004)
    // A plan deletes nothing.
    expect(await checkpointsOf(tenant, id)).toHaveLength(2)

    const deleted = (async () => {
      for await (const event of tenant.stream<JobEvent__Output>('StreamJobEvents', {})) if (event.type === 'DELETED') return event
      return null
    })()
    expect(await apply(tenant, planned)).toEqual({ items: planned.items, bytes: planned.bytes })
    expect(await deleted).toMatchObject({ job_id: id, job: null, to_status: 'COMPLETED' })
    expect((await tenant.refused('GetJob', { job_id: id })).code).toBe('JOB_NOT_FOUND')
    expect((await tenant.refused('ListCheckpoints', { job_id: id })).code).toBe('JOB_NOT_FOUND')
    expect(existsSync(folderOf(tenant, id))).toBe(false)
    expect(await tenant.job(running)).toMatchObject({ status: 'QUEUED' })
    expect((await plan(tenant)).items).toEqual([])
  })

  it('means only archived jobs, of the asked statuses, finished before the time', async () => {
    const tenant = coordinator.tenant()
    const [done, broken] = await Promise.all([completed(tenant), failed(tenant)])
    const ids = async (request: object) => (await plan(tenant, request)).items.map(({ job_id }) => job_id)
    expect(await ids({ archived_only: undefined })).toEqual([])
    await tenant.call('ArchiveJob', { job_id: done, archived: true })
    expect(await ids({ archived_only: undefined })).toEqual([done])
    expect(await ids({ statuses: ['FAILED'] })).toEqual([broken])
    expect((await ids({})).sort()).toEqual([done, broken].sort())
    expect(await ids({ finished_before: { seconds: 1_700_000_000 } })).toEqual([])
    expect(await coordinator.tenant().call('PlanRetention', { scope: 'JOBS', finished_before: tomorrow() })).toMatchObject({ items: [] })
  })

  it('names what is wrong with a request', async () => {
    const tenant = coordinator.tenant()
    expect((await tenant.refused('PlanRetention', {})).fields).toMatchObject([{ path: 'finished_before' }])
    const refusal = await tenant.refused('PlanRetention', { finished_before: tomorrow(), statuses: ['FAILED', 'TRAINING'] })
    expect(refusal.fields).toMatchObject([{ path: 'statuses[1]', message: expect.stringContaining('TRAINING') }])
    const planned = await plan(coordinator.tenant())
    for (const plan_id of ['', 'plan_none', planned.plan_id]) {
      expect(await tenant.refused('ApplyRetention', { plan_id })).toMatchObject({ code: 'INVALID_ARGUMENT', fields: [{ path: 'plan_id' }] })
    }
  })

  it('refuses a plan older than an hour', async () => {
    const tenant = coordinator.tenant()
    const { plan_id: planId } = await plan(tenant)
    const database = openDatabase(coordinator.databaseUrl)
    await database.retentionPlan.update({ where: { planId }, data: { createdAt: new Date(Date.now() - 3_700_000) } })
    await database.$disconnect()
    expect((await tenant.refused('ApplyRetention', { plan_id: planId })).fields).toMatchObject([{ path: 'plan_id', message: /hour/ }])
  })

  it('keeps a job that changed since, or that another one depends on', async () => {
    const tenant = coordinator.tenant()
    const [changes, needed, gone] = await Promise.all([completed(tenant), completed(tenant), completed(tenant)])
    const planned = await plan(tenant)
    expect(planned.items).toHaveLength(3)
    await tenant.call('UpdateJob', { job_id: changes, labels: { labels: { keep: 'me' } } })
    const dependent = await waiting(tenant, { depends_on: [needed] })
    const { items, bytes } = await apply(tenant, planned)
    const keptOf = (id: string) => items.find(({ job_id }) => job_id === id)?.kept
    expect(keptOf(changes)).toMatch(/changed/)
    expect(keptOf(needed)).toBe(`Job ${dependent} depends on it.`)
    expect(keptOf(gone)).toBe('')
    expect(bytes).toBe(planned.items.find(({ job_id }) => job_id === gone)?.bytes)
    expect(existsSync(folderOf(tenant, needed))).toBe(true)
    expect((await plan(tenant)).items.map(({ job_id }) => job_id)).toEqual([changes])
  })

  it('keeps a job that an evaluation runs on', async () => {
    const tenant = coordinator.tenant()
    const [id, evaluation] = [await completed(tenant), await waiting(tenant)]
    const database = openDatabase(coordinator.databaseUrl)
    await database.job.update({ where: { jobId: evaluation }, data: { isEvaluation: true, evaluatesJobId: id } })
    expect((await plan(tenant)).items).toEqual([])
    await database.job.update({ where: { jobId: evaluation }, data: { status: 'CANCELLED' } })
    expect((await plan(tenant)).items.map(({ job_id }) => job_id)).toContain(id)
    await database.$disconnect()
  })

  it('is finished at the next start where it was cut short, and answers the same when it is repeated', async () => {
    keepOnFailure(coordinator)
    const tenant = coordinator.tenant()
    const [first, second] = [await completed(tenant), await completed(tenant)]
    const planned = await plan(tenant)
    // As a crash leaves it: the first record is gone, its files and the second job are not.
    const database = openDatabase(coordinator.databaseUrl)
    await database.retentionPlan.update({ where: { planId: planned.plan_id }, data: { state: 'APPLYING' } })
    await database.job.delete({ where: { jobId: first } })
    await database.$disconnect()
    await coordinator.restart()
    for await (const event of tenant.stream<JobEvent__Output>('StreamJobEvents', { from_start: true })) {
      if (event.job_id === second && event.type === 'DELETED') break
    }
    const result = await apply(tenant, planned)
    expect(result.items).toEqual(planned.items)
    expect([first, second].map((id) => existsSync(folderOf(tenant, id)))).toEqual([false, false])
    expect((await tenant.refused('GetJob', { job_id: second })).code).toBe('JOB_NOT_FOUND')
    expect(await apply(tenant, planned)).toEqual(result)
  })
})

describe('Retention of checkpoints', () => {
  it('deletes all but the newest complete one of each job, and nothing else', async () => {
    const tenant = coordinator.tenant()
    const [id, single] = [await failed(tenant, [1, 2, 3]), await completed(tenant, [1])]
    const planned = await plan(tenant, { scope: 'CHECKPOINTS' })
    expect(planned.items).toMatchObject([{ job_id: id, bytes: '2004' }])
    const [newest, ...older] = await checkpointsOf(tenant, id)
    expect(new Set(planned.items[0]?.checkpoints)).toEqual(new Set(older.map(({ checkpoint_id }) => checkpoint_id)))
    expect(await apply(tenant, planned)).toMatchObject({ bytes: '2004' })
    expect(await checkpointsOf(tenant, id)).toEqual([newest])
    expect(older.map(({ path }) => existsSync(path))).toEqual([false, false])
    expect(existsSync(newest?.path ?? '')).toBe(true)
    expect(await checkpointsOf(tenant, single)).toHaveLength(1)
    // The job goes on from the one that is left.
    const retried = await tenant.call<Job__Output>('RetryJob', { job_id: id })
    await tenant.until(id, ({ attempt, to_status }) => attempt === 2 && to_status === 'FAILED')
    expect((await tenant.job(retried.job_id)).attempts[1]?.from_checkpoint).toBe(newest?.checkpoint_id)
  })

  it('keeps one that a waiting job starts from', async () => {
    const tenant = coordinator.tenant()
    const id = await completed(tenant, [1, 2, 3])
    const [, middle, oldest] = await checkpointsOf(tenant, id)
    const training = { resume_from_checkpoint: middle?.checkpoint_id }
    await tenant.submit(tenant.custom('', { training, scheduling_config: { start_after: { seconds: 4_000_000_000 } } }))
    expect((await plan(tenant, { scope: 'CHECKPOINTS' })).items).toMatchObject([{ checkpoints: [oldest?.checkpoint_id] }])
    expect((await plan(tenant)).items).toEqual([])
  })

  it('is not led elsewhere by a link that a trainer left', async () => {
    const tenant = coordinator.tenant()
    const id = await completed(tenant, [1, 2])
    const planned = await plan(tenant, { scope: 'CHECKPOINTS' })
    const elsewhere = join(coordinator.dataDir, `elsewhere-${tenant.id}`)
    mkdirSync(join(elsewhere, 'step-1'), { recursive: true })
    writeFileSync(join(elsewhere, 'step-1', 'precious'), 'x')
    const checkpoints = join(folderOf(tenant, id), 'attempts/1/checkpoints')
    renameSync(checkpoints, `${checkpoints}-moved`)
    symlinkSync(elsewhere, checkpoints)
    await apply(tenant, planned)
    expect(existsSync(join(elsewhere, 'step-1', 'precious'))).toBe(true)
  })
})
