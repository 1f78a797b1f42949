import { afterAll, beforeAll, expect, it } from 'vitest'
import { customInput, submit, untilStatus } from './support/jobs.js'
import { keepOnFailure, type Stack, startStack } from './support/stack.js'

// Runs until it is told to stop.
const endless = `process.on('SIGTERM', () => process.exit(85)); setInterval(() => {}, 1000)`

let stack: Stack

beforeAll(async () => {
  stack = await startStack({ SCAIMIND_CPU_SLOTS: '1', SCAIMIND_STOP_GRACE_SECONDS: '2' })
})
afterAll(async () => {
  await stack?.close()
})

it('a full machine queues jobs by priority, then age; each knows its place, and the next starts when a slot is free', async () => {
  keepOnFailure(stack)
  const tenant = await stack.tenant()
  const running = await submit(tenant, customInput(tenant, endless, { name: 'running' }))
  await untilStatus(tenant, running, 'TRAINING')
  const input = customInput(tenant, endless, { name: 'waiting' })
  const older = await submit(tenant, { ...input, name: 'older' })
  const younger = await submit(tenant, { ...input, name: 'younger' })
  const urgent = await submit(tenant, { ...input, name: 'urgent', trainingConfig: { ...input.trainingConfig, priority: 9 } })

  const { queue } = await tenant.data<{ queue: { depth: number; entries: { jobId: string; position: number; waitingFor: string }[] } }>(
    '{ queue { depth entries { jobId position waitingFor } } }',
  )
  expect(queue.entries.map(({ jobId }) => jobId)).toEqual([urgent, older, younger])
  expect(queue.entries[0]?.waitingFor).toMatch(/CPU/)
  const place = async (id: string) =>
    (await tenant.data<{ job: { queuePosition: number | null } }>('query ($id: ID!) { job(jobId: $id) { queuePosition } }', { id })).job
      .queuePosition
  expect([await place(urgent), await place(older), await place(younger), await place(running)]).toEqual([1, 2, 3, null])

  await tenant.data('mutation ($id: ID!) { cancelJob(jobId: $id) { __typename } }', { id: running })
  await untilStatus(tenant, urgent, 'TRAINING')
  expect([await place(urgent), await place(older)]).toEqual([null, 1])
  for (const id of [older, younger, urgent]) await tenant.data('mutation ($id: ID!) { cancelJob(jobId: $id) { __typename } }', { id })
  await untilStatus(tenant, urgent, 'CANCELLED')
})
