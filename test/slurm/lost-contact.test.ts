import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { toTimestamp } from '../../src/contract/proto.js'
import type { JobSpec } from '../../src/generated/proto/scaimind/v1/JobSpec.js'
import type { ListCheckpointsResponse__Output } from '../../src/generated/proto/scaimind/v1/ListCheckpointsResponse.js'
import type { MetricEvent__Output } from '../../src/generated/proto/scaimind/v1/MetricEvent.js'
import { obedient } from '../support/checkpointing.js'
import { CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../support/coordinator.js'
import { Service } from '../support/service.js'
import { type SlurmCluster, skipsSlurm, startSlurm } from '../support/slurm-cluster.js'

const skips = skipsSlurm()

// Slurm gives up a node or a controller after seconds that nothing shortens.
vi.setConfig({ testTimeout: 120_000 })

let cluster: SlurmCluster
let coordinator: TestCoordinator
let tenant: CoordinatorTenant

const settings = () => ({ SCAIMIND_ENGINE: 'slurm', SCAIMIND_SLURM_CONF: cluster.conf })

beforeAll(async () => {
  if (skips) return
  // Slurm forgets ended jobs so soon that a coordinator that was away finds only what they left in their folders.
  cluster = await startSlurm({ minJobAgeSeconds: 5 })
  coordinator = await startTestCoordinator(settings(), { process: true })
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await coordinator?.close()
  await cluster?.stop()
})

const trains = (script: string, more: Partial<JobSpec> = {}): JobSpec =>
  tenant.custom(script, { resource_config: { gpu_count: 1 }, ...more })
const untilIt = <Value>(look: () => Promise<Value> | Value, timeout = 60_000) => vi.waitFor(look, { timeout, interval: 100 })
const folderOf = (id: string) => join(coordinator.dataDir, 'jobs', tenant.id, id)
const lines = (id: string, attempt: number, file = 'logs.0.jsonl') => {
  const text = readFileSync(join(folderOf(id), 'attempts', String(attempt), file), 'utf8')
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { text: string; time: string; step?: number })
}
async function lossSteps(id: string): Promise<{ attempt: number; step: number }[]> {
  const seen: { attempt: number; step: number }[] = []
  for await (const event of tenant.stream<MetricEvent__Output>('StreamJobMetrics', { job_id: id })) {
    for (const { attempt, step } of event.batch?.records ?? []) seen.push({ attempt, step: Number(step) })
  }
  return seen
}

describe.skipIf(skips)('A job whose surroundings fail', () => {
  it('runs on while the coordinator is away, and nothing of it is missed, though Slurm has forgotten it', async () => {
    keepOnFailure(coordinator)
    const ids = await Promise.all([1, 2, 3].map(() => tenant.submit(trains(obedient({ steps: 60, everyMs: 20, saveEvery: 20 })))))
    const long = await tenant.submit(trains(obedient({ everyMs: 50 })))
    for (const id of [...ids, long]) await tenant.until(id, 'TRAINING')
    await coordinator.stop()
    await untilIt(async () => expect((await cluster.slurm('squeue', '-h', '--states=all', '-o', '%j')).trim()).toBe(`scaimind-${long}-1`))
    await coordinator.start()
    for (const id of ids) {
      await tenant.until(id, 'COMPLETED')
      expect((await lossSteps(id)).map(({ step }) => step)).toEqual(Array.from({ length: 60 }, (_, index) => index + 1))
      const job = await tenant.job(id)
      expect(job.attempts).toHaveLength(1)
    }
    expect(await tenant.job(long)).toMatchObject({ status: 'TRAINING', attempts: [{ number: 1 }] })
    await tenant.call('CancelJob', { job_id: long })
    await tenant.until(long, 'CANCELLED')
  })

  it('is in Slurm once, though the coordinator is killed while it hands jobs over', async () => {
    keepOnFailure(coordinator)
    const later = { start_after: toTimestamp(new Date('2100-01-01T00:00:00Z')) }
    const spec = trains('console.log(1)', { scheduling_config: later })
    const ids = await Promise.all(Array.from({ length: 12 }, () => tenant.submit(spec)))
    const waiting = async () => (await cluster.slurm('squeue', '-h', '-o', '%j')).split('\n').filter((name) => name !== '')
    await coordinator.stop()
    await coordinator.start()
    await untilIt(async () => expect((await waiting()).length).toBeGreaterThan(2))
    await coordinator.stop()
    await coordinator.start()
    await untilIt(async () => expect(new Set(await waiting()).size).toBe(ids.length))
    for (const id of ids) expect((await tenant.job(id)).blockers).toMatchObject([{ kind: 'START_TIME' }])
    expect((await waiting()).sort()).toEqual(ids.map((id) => `scaimind-${id}-1`).sort())
    for (const job_id of ids) await tenant.call('CancelJob', { job_id })
    for (const id of ids) await tenant.until(id, 'CANCELLED')
    expect(await waiting()).toEqual([])
  })

  it('goes on under the standby where the coordinator is killed while it hands jobs over, and each is in Slurm once', async () => {
    keepOnFailure(coordinator)
    const { dataDir, databaseUrl, secret } = coordinator
    const environment = { ...settings(), SCAIMIND_DATA_DIR: dataDir, COORDINATOR_DATABASE_URL: databaseUrl, SCAIMIND_API_SECRET: secret }
    const standby = new Service('coordinator', { ...environment, SCAIMIND_ALLOW_CUSTOM_CODE: 'true' }, join(dataDir, 'standby.log'))
    await standby.start()
    const there = new CoordinatorTenant(tenant.id, { port: standby.port, secret, dataDir })
    onTestFinished(async () => {
      for (const client of [there.jobs, there.cluster, there.evaluations, there.data]) client.close()
      await coordinator.start()
      await standby.stop()
      await untilIt(() => tenant.call('GetCluster'))
    })

    const running = await tenant.submit(trains(obedient({ everyMs: 50 })))
    await tenant.until(running, 'TRAINING')
    const later = { start_after: toTimestamp(new Date('2100-01-01T00:00:00Z')) }
    const spec = trains('console.log(1)', { scheduling_config: later })
    const ids = await Promise.all(Array.from({ length: 12 }, () => tenant.submit(spec)))
    const held = async () => (await cluster.slurm('squeue', '-h', '-t', 'PD', '-o', '%j')).split('\n').filter((name) => name !== '')
    await untilIt(async () => expect((await held()).length).toBeGreaterThan(0))
    await coordinator.stop()
    await untilIt(() => there.call('GetCluster'))
    await untilIt(async () => expect(new Set(await held()).size).toBe(ids.length))
    for (const id of ids) expect((await there.job(id)).blockers).toMatchObject([{ kind: 'START_TIME' }])
    expect((await held()).sort()).toEqual(ids.map((id) => `scaimind-${id}-1`).sort())

    const seen = lines(running, 1).length
    await untilIt(() => expect(lines(running, 1).length).toBeGreaterThan(seen + 10))
    expect(await there.job(running)).toMatchObject({ status: 'TRAINING', attempts: [{ number: 1 }] })
    for (const job_id of [running, ...ids]) await there.call('CancelJob', { job_id })
    for (const id of [running, ...ids]) await there.until(id, 'CANCELLED')
    expect(await held()).toEqual([])
  })

  it('is UNREACHABLE while nobody can ask Slurm, since when; its trainer goes on, and so does the job', async () => {
    keepOnFailure(coordinator)
    const id = await tenant.submit(trains(obedient({ steps: 800, everyMs: 20 })))
    await tenant.until(id, 'TRAINING')
    // Before its step there is no trainer: srun would wait for Slurm, and long.
    await untilIt(() => expect(lines(id, 1).length).toBeGreaterThan(1))
    const stopped = Date.now()
    await cluster.stopController()
    const away = await tenant.until(id, ({ job }) => job?.unreachable === true)
    expect(Number(away.job?.unreachable_since?.seconds) * 1000).toBeGreaterThan(stopped - 5000)
    expect(away.to_status).toBe('TRAINING')
    await cluster.startController()
    await tenant.until(id, ({ job }) => job?.unreachable === false, away.cursor)
    await tenant.until(id, 'COMPLETED')
    expect((await tenant.job(id)).attempts).toHaveLength(1)
  })

  it('whose node dies is run again by Slurm from its last checkpoint; the copy that goes on there writes nothing more', async () => {
    keepOnFailure(coordinator)
    // Without an end: the old copy must not come to it before Slurm gives up its node.
    const id = await tenant.submit(trains(obedient({ saveEvery: 50 })))
    await tenant.until(id, 'TRAINING')
    await untilIt(() => expect(lines(id, 1).length).toBeGreaterThan(100))
    const [where = ''] = (await tenant.job(id)).nodes
    await cluster.killNode(where)
    const { message } = await tenant.until(id, 'PREEMPTED')
    expect(message).toMatch(/NODE_FAIL|node/i)
    await untilIt(() => expect(lines(id, 2).length).toBeGreaterThan(100))
    await tenant.call('CancelJob', { job_id: id })
    await tenant.until(id, 'CANCELLED')
    await cluster.startNode(where)
    const job = await tenant.job(id)
    expect(job.attempts).toMatchObject([
      { number: 1, cause: 'FIRST', nodes: [where] },
      { number: 2, cause: 'REQUEUE', exit_code: 85 },
    ])
    expect(job.attempts[1]?.nodes).not.toContain(where)
    // One clean journal: what the old copy wrote ends where the new one's begins, and each step is there once.
    const began = lines(id, 2)[0]
    expect(lines(id, 1).every(({ time }) => time <= (began?.time ?? ''))).toBe(true)
    const from = Number(/after step (\d+)/.exec(began?.text ?? '')?.[1])
    expect(from).toBeGreaterThanOrEqual(50)
    const ofSecond = (await lossSteps(id)).filter(({ attempt }) => attempt === 2).map(({ step }) => step)
    expect(ofSecond).toEqual(Array.from(ofSecond, (_, index) => from + index + 1))
    expect(ofSecond.length).toBeGreaterThan(50)
    const { checkpoints } = await tenant.call<ListCheckpointsResponse__Output>('ListCheckpoints', { job_id: id })
    for (const { path } of checkpoints) expect(readdirSync(path).sort()).toEqual(['manifest.json', 'weights'])
    expect(checkpoints.filter(({ attempt, step }) => attempt === 1 && Number(step) > from)).toEqual([])
  })

  it('whose node dies stays PREEMPTED where it is not to be requeued, until somebody retries it', async () => {
    keepOnFailure(coordinator)
    const spec = trains(obedient({ saveEvery: 50 }), { scheduling_config: { requeue_on_preemption: false } })
    const id = await tenant.submit(spec)
    await tenant.until(id, 'TRAINING')
    await untilIt(() => expect(lines(id, 1).length).toBeGreaterThan(60))
    const [where = ''] = (await tenant.job(id)).nodes
    await cluster.killNode(where)
    await tenant.until(id, 'PREEMPTED')
    await cluster.startNode(where)
    await tenant.call('RetryJob', { job_id: id })
    await untilIt(() => expect(lines(id, 2)[0]?.text).toMatch(/^attempt 2 begins after step \d\d/))
    await tenant.call('CancelJob', { job_id: id })
    await tenant.until(id, 'CANCELLED')
    expect((await tenant.job(id)).attempts).toHaveLength(2)
  })
})
