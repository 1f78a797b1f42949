import { mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { toTimestamp } from '../../src/contract/proto.js'
import type { ClusterNode__Output } from '../../src/generated/proto/scaimind/v1/ClusterNode.js'
import type { Job__Output } from '../../src/generated/proto/scaimind/v1/Job.js'
import type { JobSpec } from '../../src/generated/proto/scaimind/v1/JobSpec.js'
import type { ListCheckpointsResponse__Output } from '../../src/generated/proto/scaimind/v1/ListCheckpointsResponse.js'
import type { ListJobsResponse__Output } from '../../src/generated/proto/scaimind/v1/ListJobsResponse.js'
import type { Queue__Output } from '../../src/generated/proto/scaimind/v1/Queue.js'
import type { ReadJobLogsResponse__Output } from '../../src/generated/proto/scaimind/v1/ReadJobLogsResponse.js'
import type { SubmitJobResponse__Output } from '../../src/generated/proto/scaimind/v1/SubmitJobResponse.js'
import { obedient } from '../support/checkpointing.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../support/coordinator.js'
import { type SlurmCluster, skipsSlurm, startSlurm } from '../support/slurm-cluster.js'

const skips = skipsSlurm()

let cluster: SlurmCluster
let coordinator: TestCoordinator
let tenant: CoordinatorTenant

beforeAll(async () => {
  if (skips) return
  cluster = await startSlurm()
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-operator-'))
  const tenants = join(folder, 'tenants.json')
  writeFileSync(tenants, JSON.stringify({ thrifty: { gpus: 2 } }))
  // An operator's Megatron, beside a Python that has its starter; the starter only says how it was called.
  writeFileSync(join(folder, 'torchrun'), '#!/bin/sh\necho torchrun "$@"\n', { mode: 0o755 })
  symlinkSync('/bin/sh', join(folder, 'python3'))
  writeFileSync(join(folder, 'pretrain.py'), '')
  coordinator = await startTestCoordinator({
    SCAIMIND_ENGINE: 'slurm',
    SCAIMIND_SLURM_CONF: cluster.conf,
    SCAIMIND_TENANTS_FILE: tenants,
    SCAIMIND_PYTHON: join(folder, 'python3'),
    SCAIMIND_TRAINERS: `MEGATRON=${join(folder, 'pretrain.py')}`,
    SCAIMIND_SLURM_PREEMPTIBLE_PARTITION: 'spare',
  })
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await coordinator?.close()
  await cluster?.stop()
})

// What a test that failed left running would be in the way of the next.
afterEach(async ({ task }) => {
  if (skips || task.result?.state !== 'fail') return
  const { jobs } = await tenant.call<ListJobsResponse__Output>('ListJobs', { page_size: 100 })
  await cancel(...jobs.filter(({ available_actions: actions }) => actions.includes('CANCEL')).map(({ job_id }) => job_id))
})

/** A job that trains until it is told otherwise, on so many GPUs of so many nodes. */
const trains = (gpus: number, more: Partial<JobSpec> & { nodes?: number; script?: string; training?: object } = {}): JobSpec => {
  const { nodes = 1, script = obedient(), ...rest } = more
  return tenant.custom(script, { resource_config: { gpu_count: gpus, num_nodes: nodes, gpu_type: 'a100' }, ...rest })
}
const cancel = async (...ids: string[]) => {
  for (const job_id of ids) await tenant.call('CancelJob', { job_id })
  for (const id of ids) await tenant.until(id, 'CANCELLED')
}
const node = (node_id: string) => tenant.call<ClusterNode__Output>('GetNode', { node_id })
/** Slurm's own record of the job's newest attempt. */
async function slurmJob({ job_id: id, attempts }: Job__Output): Promise<string> {
  const name = `scaimind-${id}-${attempts.at(-1)?.number}`
  const slurmId = (await cluster.slurm('squeue', '--noheader', '--format=%A', `--name=${name}`)).trim()
  expect(slurmId).toMatch(/^\d+$/)
  return await cluster.slurm('scontrol', 'show', 'job', slurmId)
}
const checkpointSteps = async (job_id: string) =>
  (await tenant.call<ListCheckpointsResponse__Output>('ListCheckpoints', { job_id })).checkpoints.map(({ step }) => Number(step))
async function logTexts(job_id: string): Promise<string[]> {
  const { records } = await tenant.call<ReadJobLogsResponse__Output>('ReadJobLogs', { job_id, limit: 1000 })
  return records.map(({ text }) => text)
}
const untilIt = <Value>(look: () => Promise<Value>) => vi.waitFor(look, { timeout: 60_000, interval: 100 })

describe.skipIf(skips)('A job on a Slurm cluster', () => {
  it('runs on all its nodes at once, each with its rank, and its logs are one', async () => {
    keepOnFailure(coordinator)
    const script = `console.log(['rank', process.env.RANK, 'of', process.env.WORLD_SIZE, 'GPUs', process.env.CUDA_VISIBLE_DEVICES,
      process.env.MASTER_ADDR === process.env.MASTER_ADDR.trim() && Number(process.env.MASTER_PORT) > 1023].join(' '))`
    const id = await tenant.submit(trains(4, { nodes: 2, script, labels: { team: 'nlp' } }))
    expect(await tenant.statuses(id)).toEqual(['PENDING', 'QUEUED', 'SCHEDULING', 'PREPARING', 'TRAINING', 'COMPLETED'])
    const [attempt] = (await tenant.job(id)).attempts
    expect(attempt).toMatchObject({ number: 1, cause: 'FIRST', exit_code: 0 })
    expect(attempt?.nodes).toHaveLength(2)
    expect((await logTexts(id)).sort()).toEqual(['rank 0 of 2 GPUs 0,1 true', 'rank 1 of 2 GPUs 0,1 true'])
  })

  it('of a framework has that framework’s starter on every node, told of its rank and where they meet', async () => {
    keepOnFailure(coordinator)
    const framework = { type: 'MEGATRON' } as const
    const id = await tenant.submit(trains(4, { nodes: 2, training: { base_model: { model_id: 'acme/base' }, framework } }))
    await tenant.until(id, 'COMPLETED')
    const lines = (await logTexts(id)).sort()
    const master = /--master-addr=\S+ --master-port=\d+/.exec(lines[0] ?? '')?.[0]
    const words = (rank: number) => `torchrun --nnodes=2 --nproc-per-node=2 --node-rank=${rank} ${master} `
    expect(lines).toEqual([expect.stringContaining(words(0)), expect.stringContaining(words(1))])
    expect(lines[1]).toMatch(/\/pretrain\.py$/)
  })

  it('is to Slurm what its submission says', async () => {
    keepOnFailure(coordinator)
    const id = await tenant.submit(
      trains(4, {
        nodes: 2,
        name: 'nightly',
        labels: { team: 'nlp' },
        training: { priority: 7 },
        resource_config: {
          gpu_count: 4,
          num_nodes: 2,
          gpu_type: 'a100',
          cpus_per_node: 2,
          memory_gb_per_node: 1,
          node_selector: { feature: 'left' },
        },
        scheduling_config: { max_runtime_seconds: '600', queue: 'spare', start_after: toTimestamp(new Date('2100-01-01T00:00:00Z')) },
      }),
    )
    const record = await untilIt(async () => slurmJob(await tenant.job(id)))
    expect(record).toMatch(/Partition=spare/)
    expect(record).toMatch(/NumNodes=2/)
    expect(record).toMatch(/TresPerNode=gres:gpu:a100:2/)
    expect(record).toMatch(/Features=left/)
    expect(record).toMatch(/Nice=3000/)
    expect(record).toMatch(/CPUs\/Task=2/)
    expect(record).toMatch(/MinMemoryNode=954M/)
    expect(record).toMatch(/TimeLimit=00:1[12]:00/)
    expect(record).toMatch(/EligibleTime=2100-01-01/)
    expect(record).toContain('"name":"nightly"')
    const job = await tenant.job(id)
    expect(job.status).toBe('QUEUED')
    expect(job.blockers).toMatchObject([{ kind: 'START_TIME' }])
    await cancel(id)
    expect((await tenant.job(id)).gpu_seconds).toBe(0)
  })

  it('that the cluster cannot run is refused by field, before it is a job', async () => {
    const wrong = async (spec: JobSpec) => (await tenant.refused('SubmitJob', { spec })).fields
    expect(await wrong(trains(2, { scheduling_config: { queue: 'nightly' } }))).toEqual([
      { path: 'scheduling_config.queue', message: 'The cluster has no queue nightly; it has main, spare, short.' },
    ])
    expect(await wrong(trains(2, { scheduling_config: { queue: 'short', max_runtime_seconds: '3600' } }))).toEqual([
      { path: 'scheduling_config.max_runtime_seconds', message: 'Jobs in queue short run at most 300 s, not 3600.' },
    ])
    const unknown = { resource_config: { gpu_count: 1, gpu_type: 'h100' } }
    expect(await wrong(trains(1, unknown))).toEqual([
      { path: 'resource_config.gpu_type', message: 'The cluster has no GPU of type "h100"; it has a100.' },
    ])
    const large = { resource_config: { gpu_count: 1, gpu_type: 'a100', min_gpu_memory_gb: 40 } }
    expect(await wrong(trains(1, large))).toEqual([
      { path: 'resource_config.min_gpu_memory_gb', message: 'The cluster does not tell how large its GPUs are; name their type instead.' },
    ])
  })

  it('says in the queue what it waits for, where it stands, and when Slurm expects to start it; a plan says the same beforehand', async () => {
    keepOnFailure(coordinator)
    const limit = { max_runtime_seconds: '600' }
    const holder = await tenant.submit(trains(12, { nodes: 3, scheduling_config: limit }))
    await tenant.until(holder, 'TRAINING')
    const first = await tenant.submit(trains(4, { nodes: 2, scheduling_config: limit, training: { priority: 5 } }))
    const plan = async (spec: JobSpec) => (await tenant.call<SubmitJobResponse__Output>('SubmitJob', { spec, dry_run: true })).plan
    const entry = await untilIt(async () => {
      const { entries } = await tenant.call<Queue__Output>('GetQueue')
      expect(entries[0]).toMatchObject({
        job_id: first,
        position: 1,
        waiting_for: 'Waits for 2 nodes with enough of it together; 1 has room.',
      })
      expect(entries[0]?.estimated_start).not.toBeNull()
      return entries[0]
    })
    expect(Number(entry?.estimated_start?.seconds) * 1000).toBeGreaterThan(Date.now())
    const later = await plan(trains(8, { nodes: 2, scheduling_config: limit }))
    expect(later).toMatchObject({ starts_now: false, acceptable: true })
    expect(Number(later?.estimated_start?.seconds) * 1000).toBeGreaterThan(Date.now())
    expect(later?.blockers.length).toBeGreaterThan(0)
    await cancel(holder, first)
    const now = await untilIt(async () => {
      const found = await plan(trains(8, { nodes: 2, scheduling_config: limit }))
      expect(found).toMatchObject({ starts_now: true, blockers: [] })
      return found
    })
    expect(now?.nodes).toHaveLength(2)
  })

  it('goes ahead of another when its priority is raised, and waits for what it depends on', async () => {
    keepOnFailure(coordinator)
    const holder = await tenant.submit(trains(16, { nodes: 4 }))
    await tenant.until(holder, 'TRAINING')
    const [low, high] = [
      await tenant.submit(trains(16, { nodes: 4, training: { priority: 3 } })),
      await tenant.submit(trains(16, { nodes: 4, training: { priority: 2 } })),
    ]
    const dependent = await tenant.submit(trains(1, { script: 'console.log("after")', scheduling_config: { depends_on: [holder] } }))
    const order = async () => (await tenant.call<Queue__Output>('GetQueue')).entries.map(({ job_id }) => job_id)
    await untilIt(async () => expect((await order()).slice(0, 2)).toEqual([low, high]))
    await tenant.call('UpdateJob', { job_id: high, priority: 9 })
    await untilIt(async () => expect((await order()).slice(0, 2)).toEqual([high, low]))
    expect((await tenant.job(dependent)).blockers).toMatchObject([{ kind: 'DEPENDENCY', jobs: [holder] }])
    await cancel(low, high, holder)
    // It was to be COMPLETED first, and never will be.
    expect((await tenant.job(dependent)).blockers).toMatchObject([{ kind: 'DEPENDENCY', of: 'CANCELLED' }])
    await cancel(dependent)
  })

  it('starts when what it depends on is done, also where that was tried twice', async () => {
    keepOnFailure(coordinator)
    const script = `import { existsSync, writeFileSync } from 'node:fs'
      const mark = '../../tried'
      if (!existsSync(mark)) { writeFileSync(mark, ''); process.exit(1) }`
    const first = await tenant.submit(trains(1, { script, training: { max_retries: 1 } }))
    const second = await tenant.submit(trains(1, { script: 'console.log("after")', scheduling_config: { depends_on: [first] } }))
    await tenant.until(second, 'COMPLETED')
    expect((await tenant.job(first)).attempts.map(({ number, cause }) => `${number} ${cause}`)).toEqual(['1 FIRST', '2 RETRY'])
  })

  it('is paused with a checkpoint and gives its GPUs back; resumed it goes on from there', async () => {
    keepOnFailure(coordinator)
    const id = await tenant.submit(trains(4))
    await tenant.until(id, ({ job }) => Number(job?.attempts[0]?.number) === 1 && job?.status === 'TRAINING')
    const [where = ''] = (await tenant.job(id)).nodes
    await untilIt(async () => expect((await logTexts(id)).length).toBeGreaterThan(5))
    await tenant.call('PauseJob', { job_id: id })
    await tenant.until(id, 'PAUSED')
    const [step = 0] = await checkpointSteps(id)
    expect(step).toBeGreaterThan(0)
    expect((await node(where)).gpus.filter(({ allocated }) => allocated)).toEqual([])
    await tenant.call('ResumeJob', { job_id: id })
    await untilIt(async () => expect(await logTexts(id)).toContain(`attempt 2 begins after step ${step}`))
    await tenant.call('CancelJob', { job_id: id, save_checkpoint: true })
    await tenant.until(id, 'CANCELLED')
    expect((await checkpointSteps(id)).length).toBe(2)
  })

  it('is cancelled without a checkpoint where none is wanted', async () => {
    const id = await tenant.submit(trains(1))
    await untilIt(async () => expect((await logTexts(id)).length).toBeGreaterThan(3))
    await cancel(id)
    expect(await checkpointSteps(id)).toEqual([])
  })

  it('is stopped at its limit with a checkpoint, and says so', async () => {
    // Long enough for its trainer to be up on a busy machine, too: what is not up yet saves nothing.
    const id = await tenant.submit(trains(1, { scheduling_config: { max_runtime_seconds: '8' } }))
    await tenant.until(id, 'FAILED')
    expect((await tenant.job(id)).failure).toMatchObject({ class: 'TIME_LIMIT' })
    expect(await checkpointSteps(id)).toHaveLength(1)
  })

  it('that fails says why, from its own last words', async () => {
    const id = await tenant.submit(trains(1, { script: "throw new RangeError('the batch is empty')" }))
    await tenant.until(id, 'FAILED')
    expect((await tenant.job(id)).failure).toMatchObject({
      class: 'CODE',
      message: expect.stringContaining('the batch is empty'),
      exit_code: 1,
    })
  })

  it('that an administrator cancels is CANCELLED', async () => {
    const id = await tenant.submit(trains(1))
    await tenant.until(id, 'TRAINING')
    await cluster.slurm('scancel', `--name=scaimind-${id}-1`)
    const { message } = await tenant.until(id, 'CANCELLED')
    expect(message).toBe('Cancelled in the cluster: CANCELLED')
  })

  it('moves away from a node that is drained with evict, and goes on elsewhere from its checkpoint', async () => {
    keepOnFailure(coordinator)
    const id = await tenant.submit(trains(4))
    await tenant.until(id, 'TRAINING')
    await untilIt(async () => expect((await logTexts(id)).length).toBeGreaterThan(5))
    const [where = ''] = (await tenant.job(id)).nodes
    const drained = await tenant.call<ClusterNode__Output>('DrainNode', { node_id: where, reason: 'fan', evict: true })
    expect(drained.reason).toContain('fan')
    expect(await cluster.slurm('sinfo', '-h', '-n', where, '-o', '%T')).toMatch(/drain/)
    await tenant.until(id, ({ job, to_status }) => to_status === 'TRAINING' && (job?.attempts.length ?? 0) > 1)
    const moved = await tenant.job(id)
    expect(moved.nodes).not.toContain(where)
    expect(moved.attempts[1]).toMatchObject({ cause: 'REQUEUE', from_checkpoint: expect.stringMatching(/.+/) })
    await tenant.call('EnableNode', { node_id: where })
    expect(await cluster.slurm('sinfo', '-h', '-n', where, '-o', '%T')).not.toMatch(/drain/)
    await cancel(id)
  })

  it('sees a node that an administrator drained as one that was drained here', async () => {
    await cluster.slurm('scontrol', 'update', 'NodeName=gpu03', 'State=DRAIN', 'Reason=dust')
    await untilIt(async () => expect(await node('gpu03')).toMatchObject({ status: 'DRAINING', reason: expect.stringContaining('dust') }))
    await cluster.slurm('scontrol', 'update', 'NodeName=gpu03', 'State=RESUME')
    await untilIt(async () => expect(await node('gpu03')).toMatchObject({ status: 'ONLINE' }))
  })

  it('that is preemptible gives way to Slurm where that takes its place, and runs again', async () => {
    keepOnFailure(coordinator)
    const id = await tenant.submit(trains(16, { nodes: 4, scheduling_config: { preemptible: true } }))
    await tenant.until(id, 'TRAINING')
    const urgent = await tenant.submit(trains(16, { nodes: 4 }))
    await tenant.until(urgent, 'TRAINING')
    const { message } = await tenant.until(id, 'PREEMPTED')
    expect(message).toMatch(/^Preempted/)
    await cancel(urgent)
    await tenant.until(id, ({ job, to_status }) => to_status === 'TRAINING' && (job?.attempts.length ?? 0) > 1)
    await cancel(id)
  })

  it('that Slurm has put back into its queue can be cancelled there, before it runs again', async () => {
    keepOnFailure(coordinator)
    const id = await tenant.submit(trains(1))
    await tenant.until(id, 'TRAINING')
    await cluster.slurm('scontrol', 'requeuehold', /JobId=(\d+)/.exec(await slurmJob(await tenant.job(id)))?.[1] ?? '')
    await tenant.until(id, ({ job }) => (job?.attempts.length ?? 0) > 1)
    await cancel(id)
    expect((await tenant.job(id)).attempts).toMatchObject([{ number: 1 }, { number: 2, started_at: null }])
  })

  it('beyond its tenant’s quota is not handed to Slurm until there is room in it', async () => {
    keepOnFailure(coordinator)
    const thrifty = coordinator.tenant('thrifty')
    const spec = thrifty.custom(obedient(), { resource_config: { gpu_count: 2 } })
    const [first, second] = [await thrifty.submit(spec), await thrifty.submit(spec)]
    await thrifty.until(first, 'TRAINING')
    const waiting = await thrifty.job(second)
    expect(waiting).toMatchObject({ status: 'QUEUED', attempts: [], blockers: [{ kind: 'QUOTA', of: 'gpus', need: 2, have: 0 }] })
    await thrifty.call('CancelJob', { job_id: first })
    await thrifty.until(second, 'TRAINING')
    await thrifty.call('CancelJob', { job_id: second })
    await thrifty.until(second, 'CANCELLED')
  })

  it('that waits for Slurm to come back can be cancelled meanwhile, and does not keep its coordinator from closing', async () => {
    keepOnFailure(coordinator)
    await tenant.call('SubmitJob', { spec: trains(1), dry_run: true })
    await cluster.stopController()
    const [unwanted, wanted] = [await tenant.submit(trains(1)), await tenant.submit(trains(1, { script: 'console.log("at last")' }))]
    await untilIt(async () => {
      for (const id of [unwanted, wanted]) expect((await tenant.job(id)).attempts).toHaveLength(1)
    })
    await untilIt(async () =>
      expect((await tenant.job(wanted)).blockers).toMatchObject([{ kind: 'NODES', of: expect.stringContaining('squeue') }]),
    )
    await cancel(unwanted)
    await coordinator.restart()
    await cluster.startController()
    await tenant.until(wanted, 'COMPLETED')
    expect((await tenant.job(wanted)).attempts).toHaveLength(1)
    expect(await cluster.slurm('squeue', '--noheader', '--states=all', `--name=scaimind-${unwanted}-1`)).toBe('')
  })

  it('leaves the script by which Slurm runs it in its folder, to be read', async () => {
    const id = await tenant.submit(trains(1, { script: 'console.log(1)' }))
    await tenant.until(id, 'COMPLETED')
    const script = readFileSync(join(coordinator.dataDir, 'jobs', tenant.id, id, 'attempts/1/batch.sh'), 'utf8')
    expect(script).toMatch(/^#!\/bin\/bash\n# scaimind-/)
    expect(script).toContain('MASTER_ADDR')
  })

  it('has nodes that are Slurm’s to register', async () => {
    const { status, message } = await tenant.refused('RegisterNode', { node_id: 'gpu09' })
    expect([status, message]).toEqual([12, expect.stringContaining('RegisterNode')])
  })
})
