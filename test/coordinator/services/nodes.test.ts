import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { fromTimestamp, toTimestamp } from '../../../src/contract/proto.js'
import { beginAttempt } from '../../../src/coordinator/jobs/attempts/begin.js'
import { jobChanges } from '../../../src/coordinator/jobs/records/changes.js'
import { openDatabase, underLease } from '../../../src/coordinator/jobs/records/database.js'
import { jobStore } from '../../../src/coordinator/jobs/records/store.js'
import type { AllocateGPUsResponse__Output } from '../../../src/generated/proto/scaimind/v1/AllocateGPUsResponse.js'
import type { Cluster__Output } from '../../../src/generated/proto/scaimind/v1/Cluster.js'
import type { ClusterEvent__Output } from '../../../src/generated/proto/scaimind/v1/ClusterEvent.js'
import type { ClusterNode__Output } from '../../../src/generated/proto/scaimind/v1/ClusterNode.js'
import type { DrainForecast__Output } from '../../../src/generated/proto/scaimind/v1/DrainForecast.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'
import { endAttempts } from '../../support/leftovers.js'

const own = hostname()
const forever = 'setInterval(() => {}, 1000)'
const broken = `console.error('GPU 0: uncorrectable ECC error'); process.exit(1)`

let coordinator: TestCoordinator
let database: ReturnType<typeof openDatabase>
let tenant: CoordinatorTenant
let folder: string

// A machine of four GPUs, as its nvidia-smi says; trainers may be silent for a second.
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'scaimind-nodes-'))
  const lines = [0, 1, 2, 3].map((index) => `echo "${index}, NVIDIA A100, 81920, 1024, 50"`)
  writeFileSync(join(folder, 'nvidia-smi'), `#!/bin/sh\n${lines.join('\n')}\n`, { mode: 0o755 })
  const settings = {
    PATH: `${folder}:${process.env.PATH}`,
    SCAIMIND_CPU_SLOTS: '8',
    SCAIMIND_TENANT_SECRETS: 'acme=the secret of acme alone',
    SCAIMIND_SILENT_TRAINER_S: '1',
  }
  coordinator = await startTestCoordinator(settings, { process: true })
  database = openDatabase(coordinator.databaseUrl)
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await database?.$disconnect()
  await coordinator?.close()
  rmSync(folder, { recursive: true, force: true })
})

const gpusOf = (count: number) => Array.from({ length: count }, (_, index) => ({ index, type: 'h200', memory_bytes: '1000' }))
const register = (node_id: string, gpus = gpusOf(4)) =>
  tenant.call<ClusterNode__Output>('RegisterNode', { node_id, hostname: node_id, gpus, cpus: 16, memory_bytes: '64000' })
const nodeOf = (node_id: string, by = tenant) => by.call<ClusterNode__Output>('GetNode', { node_id })
const allocate = async (job_id: string, gpu_count: number, node_id = own) =>
  (await tenant.call<AllocateGPUsResponse__Output>('AllocateGPUs', { node_id, job_id, attempt: 1, gpu_count })).gpu_indexes

async function running(by: CoordinatorTenant, gpu_count = 0, script = forever): Promise<string> {
  const id = await by.submit(by.custom(script, { resource_config: { gpu_count }, scheduling_config: { max_runtime_seconds: '600' } }))
  await by.until(id, 'TRAINING')
  return id
}
/** Begins an attempt on the node, as a pass that decided so does. */
async function begin(jobId: string, place: { gpuIndexes: number[]; cpus: number }) {
  const { epoch } = await database.coordinatorLease.findUniqueOrThrow({ where: { id: 1 } })
  const records = underLease(database, epoch)
  const store = jobStore({ database: records, changes: jobChanges(), clock: () => new Date() })
  return await beginAttempt({ store, database: records, settings: { gpuSampleSeconds: 0 } }, jobId, [
    { nodeId: own, ...place, memoryBytes: 0 },
  ])
}

async function cancel(by: CoordinatorTenant, ...ids: string[]): Promise<void> {
  for (const id of ids) {
    await by.call('CancelJob', { job_id: id })
    await by.until(id, 'CANCELLED')
  }
}

describe('A node that its agent reports', () => {
  it('joins the inventory and is OFFLINE after 30 s without a word, until the next heartbeat; no job is started there', async () => {
    keepOnFailure(coordinator)
    const before = await tenant.call<Cluster__Output>('GetCluster')
    expect(await register('reported-1')).toMatchObject({ status: 'ONLINE', reported_only: true, cpus: 16, gpus: gpusOf(4) })
    expect(await tenant.call('GetCluster')).toMatchObject({
      nodes_total: before.nodes_total + 1,
      gpus_total: before.gpus_total + 4,
      gpu_types: ['A100', 'h200'],
    })
    const events = tenant.streamOf<ClusterEvent__Output>('cluster', 'StreamClusterEvents', {})
    const untilStatus = async (status: string) => {
      for (;;) {
        const { value } = await events.next()
        if (value?.node?.node_id === 'reported-1' && value.node.status === status) return
      }
    }
    await untilStatus('ONLINE')
    await database.nodeAgent.update({ where: { nodeId: 'reported-1' }, data: { lastHeartbeat: new Date(Date.now() - 30_000) } })
    await untilStatus('OFFLINE')
    expect(await tenant.call('Heartbeat', { node_id: 'reported-1' })).toEqual({ interval_seconds: 10 })
    await untilStatus('ONLINE')
    await events.return(undefined)
    const there = tenant.custom(forever, { resource_config: { node_selector: { node_id: 'reported-1' } } })
    expect(await tenant.refused('SubmitJob', { spec: there })).toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('says how its GPUs are used, the engine’s own node too, and may say anew what it has', async () => {
    await register('reported-2')
    const gpus = [{ index: 1, memory_used_bytes: '700', utilization: 0.25 }]
    await tenant.call('Heartbeat', { node_id: 'reported-2', gpus })
    expect((await nodeOf('reported-2')).gpus).toMatchObject([{ allocated: false }, { memory_used_bytes: '700', utilization: 0.25 }, {}, {}])
    const endless = [{ index: 1, power_watts: Number.POSITIVE_INFINITY }]
    expect((await tenant.refused('Heartbeat', { node_id: 'reported-2', gpus: endless })).fields).toMatchObject([
      { path: 'gpus[0].power_watts' },
    ])
    await register('reported-2', gpusOf(2))
    expect((await nodeOf('reported-2')).gpus).toHaveLength(2)
    await register(own)
    await tenant.call('Heartbeat', {
      node_id: own,
      gpus: [{ index: 3, memory_used_bytes: '9', utilization: 1, power_watts: 99.5, temperature_celsius: 40 }],
    })
    const { gpus: ownGpus, reported_only, cpus } = await nodeOf(own)
    expect([reported_only, cpus]).toEqual([false, 8])
    expect(ownGpus[3]).toMatchObject({ type: 'A100', memory_used_bytes: '9', utilization: 1, power_watts: 99.5, temperature_celsius: 40 })
    expect(ownGpus[0]).toMatchObject({ utilization: 0.5 })
  })

  it('is refused where it never registered, is not well-formed, or does not hold the secret for all tenants', async () => {
    expect(await tenant.refused('Heartbeat', { node_id: 'nowhere' })).toMatchObject({ code: 'NODE_NOT_FOUND' })
    expect(await tenant.refused('AllocateGPUs', { node_id: 'nowhere', job_id: 'job_a', attempt: 1 })).toMatchObject({
      code: 'NODE_NOT_FOUND',
    })
    const gpus = [
      { index: 0, type: 'a b', memory_bytes: '1' },
      { index: 0, type: 'x', utilization: 7 },
    ]
    const { fields } = await tenant.refused('RegisterNode', { node_id: 'a b', hostname: 'x', gpus })
    expect(fields.map(({ path }) => path)).toEqual(['node_id', 'gpus[0].type', 'gpus[1].index', 'gpus[1].utilization'])
    const huge = { node_id: 'huge', cpus: 2 ** 31, gpus: [{ index: 2 ** 31, type: 'x' }] }
    expect((await tenant.refused('RegisterNode', huge)).fields.map(({ path }) => path)).toEqual(['cpus', 'gpus[0].index'])
    await register('reported-2', gpusOf(2))
    expect((await tenant.refused('Heartbeat', { node_id: 'reported-2', gpus: [{ index: 5 }] })).fields).toMatchObject([
      { path: 'gpus[0].index' },
    ])
    for (const method of ['RegisterNode', 'Heartbeat', 'AllocateGPUs']) {
      const acme = { 'x-api-secret': 'the secret of acme alone', 'x-tenant-id': 'acme' }
      expect(await tenant.refused(method, {}, acme)).toMatchObject({ code: 'AUTHZ_PERMISSION_DENIED' })
      expect(await tenant.refused(method, {}, { 'x-tenant-id': '*' })).toMatchObject({ code: 'INVALID_ARGUMENT' })
    }
  })
})

describe('GPUs that an agent is given for an attempt', () => {
  it('are the same however often it asks, are nobody else’s, and are given back at 0 or when the attempt ends', async () => {
    keepOnFailure(coordinator)
    await register(own)
    const [first, second] = [await running(tenant), await running(tenant)]
    expect([await allocate(first, 3), await allocate(first, 3)]).toEqual([
      [0, 1, 2],
      [0, 1, 2],
    ])
    const ask = { node_id: own, attempt: 1 }
    expect(await tenant.refused('AllocateGPUs', { ...ask, job_id: first, gpu_count: 2 })).toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' })
    expect(await tenant.refused('AllocateGPUs', { ...ask, job_id: second, gpu_count: 2 })).toMatchObject({
      code: 'RATE_LIMITED',
      message: "2 GPUs are asked for; 1 of the node's 4 are free.",
    })
    expect((await nodeOf(own)).gpus.map(({ job_id }) => job_id)).toEqual([first, first, first, ''])
    // Placement respects it: the job of four GPUs waits for them, and names who holds them.
    const waiting = await tenant.submit(tenant.custom(forever, { resource_config: { gpu_count: 4 } }))
    expect((await tenant.job(waiting)).blockers).toMatchObject([{ kind: 'GPUS', need: 4, have: 1, jobs: [first] }])
    expect(await allocate(first, 0)).toEqual([])
    await tenant.until(waiting, 'TRAINING')
    expect(await tenant.refused('AllocateGPUs', { ...ask, job_id: second, gpu_count: 1 })).toMatchObject({ code: 'RATE_LIMITED' })
    // What was placed on the node has its GPUs already.
    expect(await allocate(waiting, 4)).toEqual([0, 1, 2, 3])
    await cancel(tenant, waiting)
    await tenant.call('DrainNode', { node_id: own })
    expect(await tenant.refused('AllocateGPUs', { ...ask, job_id: second, gpu_count: 4 })).toMatchObject({
      message: expect.stringMatching(/draining/),
    })
    await tenant.call('EnableNode', { node_id: own })
    expect(await allocate(second, 4)).toEqual([0, 1, 2, 3])
    await cancel(tenant, second)
    expect((await nodeOf(own)).gpus.some(({ allocated }) => allocated)).toBe(false)
    expect(await tenant.refused('AllocateGPUs', { ...ask, job_id: second, gpu_count: 4 })).toMatchObject({ code: 'JOB_STATE_CONFLICT' })
    expect(await tenant.refused('AllocateGPUs', { ...ask, job_id: 'job_none', gpu_count: 1 })).toMatchObject({ code: 'JOB_NOT_FOUND' })
    await cancel(tenant, first)
  })

  it('are told as fewer, and not as free, where the node was registered anew without some of them', async () => {
    const holder = await running(tenant)
    await register('reported-3')
    await allocate(holder, 3, 'reported-3')
    const { gpus_allocated: before } = await tenant.call<Cluster__Output>('GetCluster')
    await register('reported-3', gpusOf(1))
    expect((await tenant.call<Cluster__Output>('GetCluster')).gpus_allocated).toBe(before - 2)
    const ask = { node_id: 'reported-3', attempt: 1, job_id: holder, gpu_count: 3 }
    expect(await tenant.refused('AllocateGPUs', ask)).toMatchObject({
      code: 'IDEMPOTENCY_CONFLICT',
      message: expect.stringContaining('has 1 GPUs of the node'),
    })
    await cancel(tenant, holder)
  })

  it('are part of what draining their node means, and of what it evicts', async () => {
    keepOnFailure(coordinator)
    const holder = await running(tenant)
    await register('reported-4')
    await allocate(holder, 3, 'reported-4')
    const { jobs } = await tenant.call<DrainForecast__Output>('ForecastDrain', { node_id: 'reported-4' })
    expect(jobs).toMatchObject([{ job_id: holder, gpu_count: 3 }])
    await tenant.call('DrainNode', { node_id: 'reported-4', evict: true })
    await tenant.until(holder, 'PREEMPTED')
    expect((await nodeOf('reported-4')).job_ids).toEqual([])
    await cancel(tenant, holder)
  })

  it('are not taken by a placement that was decided before they were given', async () => {
    await register(own)
    const holder = await running(tenant)
    const later = { scheduling_config: { start_after: toTimestamp(new Date('2100-01-01')) } }
    const jobId = await tenant.submit(tenant.custom(forever, { resource_config: { gpu_count: 1 }, ...later }))
    await allocate(holder, 1)
    expect(await begin(jobId, { gpuIndexes: [0], cpus: 0 })).toBeNull()
    expect(await tenant.job(jobId)).toMatchObject({ status: 'QUEUED', attempts: [] })
    await cancel(tenant, jobId, holder)
  })

  it('are never given twice, however many ask at once and while jobs are placed', async () => {
    await register(own)
    const asking = await Promise.all([1, 2, 3].map(() => running(tenant)))
    const placed = tenant.submit(tenant.custom(forever, { resource_config: { gpu_count: 2 } }))
    const answers = await Promise.allSettled(asking.map((id) => allocate(id, 2)))
    const placedId = await placed
    const given = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
    const { placement } = (await database.attempt.findFirst({ where: { jobId: placedId } })) ?? { placement: '[]' }
    const all = [...given, ...(JSON.parse(placement) as { gpu_indexes: number[] }[]).flatMap(({ gpu_indexes }) => gpu_indexes)]
    expect(new Set(all).size).toBe(all.length)
    expect(given.length).toBeGreaterThanOrEqual(2)
    await cancel(tenant, placedId, ...asking)
  })
})

it('a node that was drained takes no placement that was decided before', async () => {
  const later = { scheduling_config: { start_after: toTimestamp(new Date('2100-01-01')) } }
  const jobId = await tenant.submit(tenant.custom(forever, later))
  await tenant.call('DrainNode', { node_id: own })
  expect(await begin(jobId, { gpuIndexes: [], cpus: 1 })).toBeNull()
  await tenant.call('EnableNode', { node_id: own })
  expect(await tenant.job(jobId)).toMatchObject({ status: 'QUEUED', attempts: [] })
  await cancel(tenant, jobId)
})

it('draining is forecast: whom it hits, what is lost with and without checkpoints, and when the node is free', async () => {
  keepOnFailure(coordinator)
  const idle = await tenant.call<DrainForecast__Output>('ForecastDrain', { node_id: own })
  expect(idle).toMatchObject({
    jobs: [],
    gpu_minutes_lost_without_checkpoints: 0,
    free_at: idle.free_at_if_evicted,
    node: { node_id: own },
  })
  const stranger = coordinator.tenant()
  const saves = `import { appendFileSync } from 'node:fs'
    appendFileSync('events.jsonl', JSON.stringify({ type: 'ready', time: new Date(), signals: ['USR1', 'TERM'], pid: process.pid }) + '\\n'); ${forever}`
  const mine = await running(tenant, 2)
  const theirs = await running(stranger, 1, saves)
  const forecast = await vi.waitFor(async () => {
    const told = await tenant.call<DrainForecast__Output>('ForecastDrain', { node_id: own })
    expect(told.jobs.find(({ job_id }) => job_id === '')?.gpu_minutes_lost_with_checkpoints).toBe(0)
    return told
  }, 30_000)
  const [ours, others] = [forecast.jobs.find(({ job_id }) => job_id === mine), forecast.jobs.find(({ job_id }) => job_id === '')]
  expect(forecast.jobs).toHaveLength(2)
  expect([ours?.gpu_count, others?.gpu_count]).toEqual([2, 1])
  expect(ours?.gpu_minutes_lost_without_checkpoints).toBeGreaterThan(0)
  expect(ours?.gpu_minutes_lost_with_checkpoints).toBe(ours?.gpu_minutes_lost_without_checkpoints)
  expect(others?.gpu_minutes_lost_without_checkpoints).toBeGreaterThan(0)
  expect(forecast.gpu_minutes_lost_with_checkpoints).toBe(ours?.gpu_minutes_lost_with_checkpoints)
  const inSeconds = (time: typeof forecast.free_at) => ((fromTimestamp(time)?.getTime() ?? 0) - Date.now()) / 1000
  expect(inSeconds(forecast.free_at)).toBeGreaterThan(590)
  expect(inSeconds(forecast.free_at_if_evicted)).toBeLessThanOrEqual(5)
  expect((await nodeOf(own)).status).toBe('ONLINE')
  const all = await tenant.call<DrainForecast__Output>('ForecastDrain', { node_id: own }, { 'x-tenant-id': '*' })
  expect(all.jobs.map(({ job_id }) => job_id).sort()).toEqual([mine, theirs].sort())
  expect(await tenant.refused('ForecastDrain', { node_id: 'nowhere' })).toMatchObject({ code: 'NODE_NOT_FOUND' })
  await cancel(tenant, mine)
  await cancel(stranger, theirs)
})

it('a node blamed for two failures in a row is cordoned, with the evidence; another job’s success between them clears it', async () => {
  keepOnFailure(coordinator)
  const fails = async (by: CoordinatorTenant) => {
    const id = await by.submit(by.custom(broken))
    await by.until(id, 'FAILED')
    return id
  }
  await fails(tenant)
  const works = await tenant.submit(tenant.custom(''))
  await tenant.until(works, 'COMPLETED')
  expect((await nodeOf(own)).evidence).toEqual([])
  const first = await fails(tenant)
  // A failure of the job's own says nothing about the node.
  const careless = await tenant.submit(tenant.custom('throw new Error("mine")'))
  await tenant.until(careless, 'FAILED')
  expect(await nodeOf(own)).toMatchObject({ status: 'ONLINE', cordoned: false, evidence: [{ job_id: first }] })
  const stranger = coordinator.tenant()
  const second = await fails(stranger)
  const cordoned = await nodeOf(own)
  expect(cordoned).toMatchObject({
    status: 'DRAINING',
    cordoned: true,
    reason: expect.stringMatching(/^Cordoned: blamed for 2 failures in a row, at /),
  })
  expect(cordoned.evidence).toMatchObject([
    { job_id: first, attempt: 1, message: expect.stringContaining('uncorrectable ECC') },
    { job_id: '', message: '' },
  ])
  expect((await nodeOf(own, stranger)).evidence).toMatchObject([{ job_id: '' }, { job_id: second }])
  const waiting = await tenant.submit(tenant.custom(''))
  expect((await tenant.job(waiting)).blockers).toMatchObject([{ kind: 'DRAINING', of: own }])
  expect(await tenant.call('EnableNode', { node_id: own })).toMatchObject({ status: 'ONLINE', cordoned: false, reason: '', evidence: [] })
  await tenant.until(waiting, 'COMPLETED')
})

it('the evidence of a cordoned node stays when what ran on there completes', async () => {
  keepOnFailure(coordinator)
  const long = await running(tenant, 0, `import { existsSync } from 'node:fs'\nsetInterval(() => existsSync('end') && process.exit(0), 50)`)
  for (const _ of [1, 2]) await tenant.until(await tenant.submit(tenant.custom(broken)), 'FAILED')
  writeFileSync(join(coordinator.dataDir, 'jobs', tenant.id, long, 'attempts', '1', 'end'), '')
  await tenant.until(long, 'COMPLETED')
  const { cordoned, evidence } = await nodeOf(own)
  expect([cordoned, evidence.length]).toEqual([true, 2])
  await tenant.call('EnableNode', { node_id: own })
})

it('what ends all that runs on a node at once, such as its reboot, is one failure of the node: it takes work again', async () => {
  keepOnFailure(coordinator)
  const ids = [await running(tenant), await running(tenant)]
  await coordinator.stop()
  await endAttempts(coordinator.dataDir)
  await coordinator.start()
  for (const id of ids) await tenant.until(id, ({ to_status, attempt }) => to_status === 'TRAINING' && attempt === 2)
  const { status, evidence } = await nodeOf(own)
  expect([status, evidence.length]).toEqual(['ONLINE', 2])
  await cancel(tenant, ...ids)
  await tenant.call('EnableNode', { node_id: own })
})

it('a trainer that says nothing is unreachable, since when and why, and neither ended nor started again; its next word ends that', async () => {
  keepOnFailure(coordinator)
  const id = await running(
    tenant,
    0,
    `import { existsSync } from 'node:fs'\nsetInterval(() => existsSync('speak') && console.log('here'), 50)`,
  )
  const { job, cursor } = await tenant.until(id, (event) => event.job?.unreachable === true)
  const since = fromTimestamp(job?.unreachable_since)
  expect(job?.unreachable_reason).toBe(`The trainer has said nothing since ${since?.toISOString()}.`)
  writeFileSync(join(coordinator.dataDir, 'jobs', tenant.id, id, 'attempts', '1', 'speak'), '')
  const back = await tenant.until(id, (event) => event.job?.unreachable === false, cursor)
  expect(back.job).toMatchObject({ status: 'TRAINING', unreachable_since: null, unreachable_reason: '', attempts: [{ number: 1 }] })
  await cancel(tenant, id)
})
