import { describe, expect, it } from 'vitest'
import { job, jobsInMemory, openDoor, submission } from './support.js'

describe('Submitting a job', () => {
  it('answers 201 with its id, its status, and how long it may wait', async () => {
    const jobs: ReturnType<typeof job>[] = []
    const door = await openDoor({ jobs: jobsInMemory(jobs) })
    const { status, body } = await door.send('POST', '/jobs', { body: submission() })
    expect(status).toBe(201)
    expect(body.data).toEqual({
      job_id: jobs[0]?.job_id,
      status: 'QUEUED',
      message: 'Waits for resources.',
      estimated_wait_seconds: 4.5,
    })
  })

  it('takes numbers and booleans in maps as their text, and null as nothing', async () => {
    const jobs: ReturnType<typeof job>[] = []
    const door = await openDoor({ jobs: jobsInMemory(jobs) })
    const body = { ...submission(), labels: { team: 7, urgent: true }, output_config: null }
    expect((await door.send('POST', '/jobs', { body })).status).toBe(201)
    expect(jobs[0]).toMatchObject({
      labels: { team: '7', urgent: 'true' },
      training_config: { hyperparameters: { max_steps: '60', learning_rate: '0.001' } },
      output_config: null,
    })
  })

  it('hands the idempotency key on', async () => {
    const keys: unknown[] = []
    const one = job()
    const door = await openDoor({
      jobs: jobsInMemory([], {
        async submit(_caller, { idempotencyKey }) {
          keys.push(idempotencyKey)
          return {
            view: { job: one, syncedAt: new Date(), stale: false },
            plan: null,
            message: '',
            reused: false,
            estimatedWaitSeconds: null,
          }
        },
      }),
    })
    await door.send('POST', '/jobs', { body: submission(), headers: { 'idempotency-key': 'monday 1' } })
    const { body } = await door.send('POST', '/jobs', { body: submission() })
    expect(keys).toEqual(['monday 1', null])
    expect(body.data).toMatchObject({ job_id: one.job_id, estimated_wait_seconds: null })
  })

  it.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"', 'application/vnd.api+json'])(
    'takes a body of the type %s',
    async (type) => {
      const door = await openDoor()
      expect((await door.send('POST', '/jobs', { body: submission(), headers: { 'content-type': type } })).status).toBe(201)
    },
  )
})
