import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BatchGetLatestMetricsResponse__Output } from '../../../src/generated/proto/scaimind/v1/BatchGetLatestMetricsResponse.js'
import type { BatchListCheckpointsResponse__Output } from '../../../src/generated/proto/scaimind/v1/BatchListCheckpointsResponse.js'
import { checkpointing } from '../../support/checkpointing.js'
import { type CoordinatorTenant, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'

let coordinator: TestCoordinator
let tenant: CoordinatorTenant
let jobs: string[]

beforeAll(async () => {
  coordinator = await startTestCoordinator()
  tenant = coordinator.tenant()
  jobs = await Promise.all([[1, 2, 3], [5], []].map((steps) => tenant.submit(tenant.custom(checkpointing(steps)))))
  await Promise.all(jobs.map((id) => tenant.until(id, 'COMPLETED')))
})
afterAll(async () => {
  await coordinator?.close()
})

describe('For many jobs in one call', () => {
  const checkpoints = (request: object) => tenant.call<BatchListCheckpointsResponse__Output>('BatchListCheckpoints', request)
  const metrics = (job_ids: string[]) => tenant.call<BatchGetLatestMetricsResponse__Output>('BatchGetLatestMetrics', { job_ids })

  it('checkpoints are listed, the newest so many of each', async () => {
    const steps = async (request: object) =>
      Object.fromEntries((await checkpoints(request)).jobs.map((job) => [job.job_id, job.checkpoints.map(({ step }) => Number(step))]))
    const [many = '', one = ''] = jobs
    expect(await steps({ job_ids: [...jobs, many, 'job_none'] })).toEqual({ [many]: [3, 2, 1], [one]: [5] })
    expect(await steps({ job_ids: jobs, limit: 2 })).toEqual({ [many]: [3, 2], [one]: [5] })
    const listed = await tenant.call<{ checkpoints: unknown[] }>('ListCheckpoints', { job_id: many })
    expect((await checkpoints({ job_ids: [many] })).jobs[0]?.checkpoints).toEqual(listed.checkpoints)
    expect(await checkpoints({ job_ids: [] })).toEqual({ jobs: [] })
  })

  it('single checkpoints are found by their ids, with the jobs that they are of', async () => {
    const [many = '', one = ''] = jobs
    const [newest] = (await checkpoints({ job_ids: [many], limit: 1 })).jobs[0]?.checkpoints ?? []
    const [other] = (await checkpoints({ job_ids: [one] })).jobs[0]?.checkpoints ?? []
    const checkpoint_ids = [newest?.checkpoint_id, other?.checkpoint_id, 'ckpt_none']
    expect((await checkpoints({ checkpoint_ids })).jobs).toEqual(
      expect.arrayContaining([
        { job_id: many, checkpoints: [newest] },
        { job_id: one, checkpoints: [other] },
      ]),
    )
    const both = (await checkpoints({ job_ids: [many], limit: 1, checkpoint_ids })).jobs
    expect(both.find(({ job_id }) => job_id === many)?.checkpoints).toEqual([newest])
    expect(await coordinator.tenant().call('BatchListCheckpoints', { checkpoint_ids })).toEqual({ jobs: [] })
  })

  it('the newest metrics are read', async () => {
    const found = await metrics([...jobs, 'job_none'])
    const byJob = Object.fromEntries(found.jobs.map(({ job_id, latest }) => [job_id, latest]))
    expect(Object.keys(byJob).sort()).toEqual(jobs.slice(0, 2).sort())
    expect(byJob[jobs[0] ?? '']).toMatchObject({ step: '3', attempt: 1, values: { loss: 1 / 3 }, cursor: '' })
    expect(await metrics(jobs)).toEqual(await metrics(jobs))
  })

  it("another tenant's jobs are left out", async () => {
    const other = coordinator.tenant()
    expect(await other.call('BatchListCheckpoints', { job_ids: jobs })).toEqual({ jobs: [] })
    expect(await other.call('BatchGetLatestMetrics', { job_ids: jobs })).toEqual({ jobs: [] })
  })

  it('there are limits, each with its name', async () => {
    const ids = Array.from({ length: 501 }, (_, index) => `job_${index}`)
    for (const method of ['BatchListCheckpoints', 'BatchGetLatestMetrics']) {
      expect((await tenant.refused(method, { job_ids: ids })).fields).toMatchObject([{ path: 'job_ids' }])
    }
    expect((await tenant.refused('BatchListCheckpoints', { job_ids: jobs, limit: 1001 })).fields).toMatchObject([{ path: 'limit' }])
    const many = { job_ids: ids.slice(0, 100), limit: 51 }
    expect((await tenant.refused('BatchListCheckpoints', many)).fields).toMatchObject([{ path: 'limit', message: /at most 50 of each/ }])
  })
})
