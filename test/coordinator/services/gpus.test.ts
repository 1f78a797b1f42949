import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'
import { pathWithGpus } from '../../support/gpus.js'

const forever = 'setInterval(() => {}, 1000)'

let coordinator: TestCoordinator

// A machine of four GPUs, as its nvidia-smi says, of which a tenant may hold two.
beforeAll(async () => {
  const settings = { PATH: pathWithGpus(4), SCAIMIND_TENANT_GPUS_MAX: '2' }
  coordinator = await startTestCoordinator(settings, { process: true })
})
afterAll(() => coordinator?.close())

const onGpus = (tenant: CoordinatorTenant, gpu_count: number) =>
  tenant.custom(forever, { resource_config: { gpu_count }, scheduling_config: { max_runtime_seconds: '600' } })

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
