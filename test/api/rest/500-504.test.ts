import { describe, expect, it } from 'vitest'
import { type Code, codes } from '../../../src/contract/codes.js'
import { Failure } from '../../../src/contract/failure.js'
import { job, jobsInMemory, openDoor } from './support.js'

const failing = (fault: unknown) =>
  jobsInMemory([], {
    get: async () => {
      throw fault
    },
  })
const path = `/jobs/${job().job_id}`

describe('500', () => {
  it('a bug of ours is logged with its stack under the request id, and the caller learns nothing of it', async () => {
    const door = await openDoor({ jobs: failing(new TypeError('secret is undefined')) })
    const { status, body } = await door.send('GET', path, { headers: { 'x-request-id': 'req_test' } })
    expect({ status, code: body.error.code }).toEqual({ status: 500, code: 'INTERNAL_ERROR' })
    expect(JSON.stringify(body)).not.toContain('secret')
    expect(body.error.message).toContain('req_test')
    expect(door.logged).toMatchObject([
      { level: 50, request_id: 'req_test', err: { message: 'secret is undefined', stack: expect.stringContaining('at ') } },
    ])
  })

  it('a fault of the coordinator is told without its detail', async () => {
    const door = await openDoor({
      jobs: failing(new Failure('INTERNAL_ERROR', 'The coordinator failed.', { cause: new Error('raw detail') })),
    })
    const { status, body } = await door.send('GET', path)
    expect({ status, error: body.error }).toEqual({ status: 500, error: { code: 'INTERNAL_ERROR', message: 'The coordinator failed.' } })
  })
})

describe('501', () => {
  it('says what the coordinator has no method for', async () => {
    const door = await openDoor({ jobs: failing(new Failure('NOT_IMPLEMENTED', 'This coordinator cannot do that.')) })
    expect(await door.send('GET', path)).toMatchObject({ status: 501, body: { error: { code: 'NOT_IMPLEMENTED' } } })
  })
})

describe('503 and 504', () => {
  it.each(['COORDINATOR_UNAVAILABLE', 'DATABASE_UNAVAILABLE', 'BACKEND_TIMEOUT'] as const)(
    '%s says when to come back, in the body and in the header',
    async (code) => {
      const door = await openDoor({ jobs: failing(new Failure(code, 'Away.')) })
      const { status, headers, body } = await door.send('GET', path)
      expect({ status, error: body.error }).toEqual({ status: codes[code].http, error: { code, message: 'Away.', retry_after: 2 } })
      expect(headers.get('retry-after')).toBe('2')
    },
  )

  it('a wait of less than a second is a whole one in the header', async () => {
    const door = await openDoor({ jobs: failing(new Failure('COORDINATOR_UNAVAILABLE', 'Away.', { retryAfterSeconds: 0.4 })) })
    const { headers, body } = await door.send('GET', path)
    expect([body.error.retry_after, headers.get('retry-after')]).toEqual([0.4, '1'])
  })
})

it('every code is answered with the status that the vocabulary gives it', async () => {
  for (const code of Object.keys(codes) as Code[]) {
    const door = await openDoor({ jobs: failing(new Failure(code, 'Because.')) })
    const { status, body } = await door.send('GET', path)
    expect({ code: body.error.code, status }).toEqual({ code, status: codes[code].http })
  }
})
