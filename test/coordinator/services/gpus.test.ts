import { mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { GetJobMetricsResponse__Output } from '../../../src/generated/proto/scaimind/v1/GetJobMetricsResponse.js'
import type { ListNodesResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListNodesResponse.js'
import type { MetricEvent__Output } from '../../../src/generated/proto/scaimind/v1/MetricEvent.js'
import type { MetricRecord__Output } from '../../../src/generated/proto/scaimind/v1/MetricRecord.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'
import { pathWithGpus } from '../../support/gpus.js'

const forever = 'setInterval(() => {}, 1000)'

let coordinator: TestCoordinator

// A machine of four GPUs, as its nvidia-smi says, of which a tenant may hold two. Its operator has a program for FSDP, with a Python beside which there is a
// starter; both are the shell.
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-fsdp-'))
  const skipsOptions = 'shift; while case "$1" in --*) ;; *) false ;; esac; do echo "$1"; shift; done; exec "$@"'
  writeFileSync(join(folder, 'accelerate'), `#!/bin/sh\n${skipsOptions}\n`, { mode: 0o755 })
  symlinkSync('/bin/sh', join(folder, 'python3'))
  writeFileSync(join(folder, 'train.py'), `echo '{"loss": 0.5}'; while [ ! -e go ]; do sleep 0.02; done`)
  const settings = {
    PATH: pathWithGpus(4),
    SCAIMIND_TENANT_GPUS_MAX: '2',
    SCAIMIND_GPU_SAMPLE_SECONDS: '0.05',
    SCAIMIND_PYTHON: join(folder, 'python3'),
    SCAIMIND_TRAINERS: `FSDP=${join(folder, 'train.py')}`,
  }
  coordinator = await startTestCoordinator(settings, { process: true })
})
afterAll(() => coordinator?.close())

/** Writes a step each time that there is a new sample of its GPUs, until it has seen so many, or for good where it has no GPUs. */
const stepsAsSampled = (samples: number) => `import { appendFileSync, existsSync, readFileSync } from 'node:fs'
let step = 0
setInterval(() => {
  const seen = existsSync('gpu.0.jsonl') ? readFileSync('gpu.0.jsonl', 'utf8').split('\\n').length - 1 : 0
  if (seen < step) return
  appendFileSync('metrics.jsonl', JSON.stringify({ step: ++step, epoch: 0, time: new Date().toISOString(), values: { loss: 1 / step } }) + '\\n')
  if (step > ${samples}) process.exit(0)
}, 5)`

const onGpus = (tenant: CoordinatorTenant, gpu_count: number) =>
  tenant.custom(forever, { resource_config: { gpu_count }, scheduling_config: { max_runtime_seconds: '600' } })

describe('What the GPUs of a job do', () => {
  const use = { gpu_utilization: 0.5, gpu_memory_bytes: 2 ** 30, gpu_power_watts: 501, gpu_temperature_celsius: 61 }

  it('is told with its metrics as they come, in one sequence that a restart of the coordinator neither breaks nor repeats', async () => {
    keepOnFailure(coordinator)
    const tenant = coordinator.tenant()
    const id = await tenant.submit(tenant.custom(stepsAsSampled(20), { resource_config: { gpu_count: 2 } }))
    const told: MetricRecord__Output[] = []
    const readOn = async (until: number) => {
      const after = told.at(-1)?.cursor ?? ''
      for await (const { batch } of tenant.stream<MetricEvent__Output>('StreamJobMetrics', { job_id: id, after })) {
        told.push(...(batch?.records ?? []))
        if (told.length >= until) return
      }
    }
    await readOn(5)
    await coordinator.restart()
    await readOn(Number.POSITIVE_INFINITY)
    expect(told.flatMap(({ step, values }) => ('loss' in values ? [Number(step)] : []))).toEqual(
      Array.from({ length: 21 }, (_, i) => i + 1),
    )
    const ofGpus = told.filter(({ values }) => !('loss' in values))
    expect(ofGpus.length).toBeGreaterThanOrEqual(20)
    for (const { values } of ofGpus) expect(values).toMatchObject({ ...use, 'gpu_power_watts.1': 250.5 })
    // Each at the step that was the newest by then.
    const steps = told.map(({ step }) => Number(step))
    expect(steps).toEqual(steps.toSorted((a, b) => a - b))
    const { series } = await tenant.call<GetJobMetricsResponse__Output>('GetJobMetrics', { job_id: id })
    expect(series.map(({ name }) => name).sort()).toEqual([...Object.keys(use), 'loss'].sort())
    expect(series.find(({ name }) => name === 'gpu_utilization')?.points).toHaveLength(ofGpus.length)
  })

  it('is no metric of a job without GPUs', async () => {
    keepOnFailure(coordinator)
    const tenant = coordinator.tenant()
    const script = `console.log('{"loss": 1}'); setTimeout(() => {}, 200)`
    const id = await tenant.submit(tenant.custom(script))
    await tenant.until(id, 'COMPLETED')
    const { series } = await tenant.call<GetJobMetricsResponse__Output>('GetJobMetrics', { job_id: id })
    expect(series.map(({ name }) => name)).toEqual(['loss'])
  })

  it('is in the inventory of its node', async () => {
    const { nodes } = await coordinator.tenant().call<ListNodesResponse__Output>('ListNodes')
    expect(nodes[0]?.gpus[3]).toMatchObject({
      memory_used_bytes: String(2 ** 30),
      utilization: 0.5,
      power_watts: 250.5,
      temperature_celsius: 61,
    })
  })
})

describe('The GPUs of a machine', () => {
  it('are held by jobs, and a tenant waits at its limit for its own to end', async () => {
    keepOnFailure(coordinator)
    const tenant = coordinator.tenant()
    const running = await tenant.submit(onGpus(tenant, 2))
    await tenant.until(running, 'TRAINING')
    const waiting = await tenant.submit(onGpus(tenant, 1))
    expect(await tenant.job(waiting)).toMatchObject({
      status: 'QUEUED',
      blockers: [{ kind: 'QUOTA', of: 'gpus', need: 1, have: 0, jobs: [running] }],
      estimated_start: null,
    })
    expect((await tenant.refused('SubmitJob', { spec: onGpus(tenant, 3) })).fields).toEqual([
      { path: 'resource_config.gpu_count', message: '3 GPUs are more than a tenant may hold at once: 2.' },
    ])
    await tenant.call('CancelJob', { job_id: running })
    await tenant.until(waiting, 'TRAINING')
    await tenant.call('CancelJob', { job_id: waiting })
    await tenant.until(waiting, 'CANCELLED')
  })

  it("are used by the operator's program for a framework, which its starter runs for any model", async () => {
    keepOnFailure(coordinator)
    const tenant = coordinator.tenant()
    const training = { framework: { type: 'FSDP' }, base_model: { model_id: 'meta-llama/Llama-3.1-8B' } }
    const spec = tenant.custom('', { training, resource_config: { gpu_count: 2 } })
    expect(await tenant.call('SubmitJob', { spec, dry_run: true })).toMatchObject({ plan: { sources: [{ readable: true, problems: [] }] } })
    const id = await tenant.submit(spec)
    await tenant.until(id, 'TRAINING')
    writeFileSync(join(coordinator.dataDir, 'jobs', tenant.id, id, 'attempts/1/go'), '')
    await tenant.until(id, 'COMPLETED')
    expect(await tenant.job(id)).toMatchObject({ code: { trainer: 'program' } })
    const metrics = await tenant.call('GetJobMetrics', { job_id: id, names: ['loss'] })
    expect(metrics).toMatchObject({ series: [{ points: [{ value: 0.5 }] }] })
    const log = readFileSync(join(coordinator.dataDir, 'jobs', tenant.id, id, 'attempts/1/logs.0.jsonl'), 'utf8')
    expect(log).toContain('--num_processes=2')
  })

  it('that are lacking are named with the jobs that hold them, to the tenant that these belong to', async () => {
    keepOnFailure(coordinator)
    const [first, second, third] = [coordinator.tenant(), coordinator.tenant(), coordinator.tenant()]
    const held = [
      { tenant: first, id: await first.submit(onGpus(first, 2)) },
      { tenant: second, id: await second.submit(onGpus(second, 1)) },
      { tenant: third, id: await third.submit(onGpus(third, 1)) },
    ]
    for (const { tenant, id } of held) await tenant.until(id, 'TRAINING')
    const waiting = await third.submit(onGpus(third, 1))
    const [blocker] = (await third.job(waiting)).blockers
    expect(blocker).toMatchObject({ kind: 'GPUS', need: 1, have: 0, jobs: [held[2]?.id] })
    expect(blocker?.until).toEqual((await third.job(waiting)).estimated_start)
    expect(blocker?.until).not.toBeNull()
  })
})
