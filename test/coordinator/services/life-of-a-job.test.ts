import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'

let coordinator: TestCoordinator
let tenant: CoordinatorTenant

beforeAll(async () => {
  coordinator = await startTestCoordinator()
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await coordinator?.close()
})

describe('A job', () => {
  it('goes from submission to COMPLETED, and its metrics and log lines are delivered', async () => {
    keepOnFailure(coordinator)
    const id = await tenant.submit(
      tenant.custom('for (let step = 1; step <= 3; step++) console.log(JSON.stringify({ step, loss: 1 / step }))'),
    )
    await tenant.until(id, 'COMPLETED')
    expect(await tenant.statuses(id)).toEqual(['PENDING', 'QUEUED', 'SCHEDULING', 'PREPARING', 'TRAINING', 'COMPLETED'])
    const job = await tenant.job(id)
    expect(job).toMatchObject({
      status: 'COMPLETED',
      available_actions: ['UPDATE', 'ARCHIVE'],
      user_id: 'ada',
      attempts: [{ number: 1, cause: 'FIRST', exit_code: 0 }],
    })
  })
})
