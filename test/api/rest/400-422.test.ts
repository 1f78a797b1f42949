import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { routes } from '../../../src/api/rest/router.js'
import { Failure, InvalidInput, QuotaExceeded } from '../../../src/contract/failure.js'
import { type Door, job, jobsInMemory, openDoor, submission } from './support.js'

const detailsOf = ({ body }: Awaited<ReturnType<Door['send']>>) =>
  Object.fromEntries((body.error.details ?? []).map(({ field, message }) => [field, message]))

const everyRoute = routes.map(({ method, path }) => [method, path.replace('{id}', job().job_id)] as const)

describe('400', () => {
  it('what the coordinator refuses is told with its fields', async () => {
    const problem = { path: 'resource_config.gpu_count', message: 'The cluster has 4 GPUs, not 64.' }
    const submit = async () => {
      throw new InvalidInput([problem], 'INVALID_ARGUMENT')
    }
    const door = await openDoor({ jobs: jobsInMemory([], { submit }) })
    const { status, body } = await door.send('POST', '/jobs', { body: submission() })
    expect({ status, error: body.error }).toEqual({
      status: 400,
      error: {
        code: 'INVALID_ARGUMENT',
        message: 'resource_config.gpu_count: The cluster has 4 GPUs, not 64.',
        details: [{ field: 'resource_config.gpu_count', message: 'The cluster has 4 GPUs, not 64.' }],
      },
    })
  })

  it('a cursor of another stream is refused before the stream begins', async () => {
    const followMetrics = async () => {
      throw new Failure('CURSOR_INVALID', 'after: this is not a cursor.')
    }
    const door = await openDoor({ jobs: jobsInMemory([], { followMetrics }) })
    const answer = await door.send('GET', `/jobs/${job().job_id}/metrics/stream`, { headers: { 'last-event-id': 'nonsense' } })
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'CURSOR_INVALID' } } })
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8')
  })
})

describe('401', () => {
  it.each(everyRoute)('%s %s wants a key that works', async (method, path) => {
    const door = await openDoor()
    const missing = await door.send(method, path, { key: null })
    expect(missing).toMatchObject({ status: 401, body: { status: 'error', error: { code: 'AUTH_TOKEN_MISSING' } } })
    expect(missing.headers.get('www-authenticate')).toBe('Bearer')
    const wrong = await door.send(method, path, { key: 'sgk_wrong' })
    expect(wrong).toMatchObject({ status: 401, body: { error: { code: 'AUTH_TOKEN_INVALID' } } })
  })
})

describe('403', () => {
  it.each([
    ['GET', '', 'sgk_nobody'],
    ['POST', '', 'sgk_viewer'],
    ['POST', '/{id}/cancel', 'sgk_viewer'],
    ['POST', '/{id}/pause', 'sgk_viewer'],
    ['POST', '/{id}/resume', 'sgk_viewer'],
    ['POST', '/{id}/retry', 'sgk_viewer'],
  ])('%s /jobs%s needs its permission', async (method, path, key) => {
    const one = job()
    const door = await openDoor({ jobs: jobsInMemory([one]) })
    const { status, body } = await door.send(method, `/jobs${path.replace('{id}', one.job_id)}`, { key })
    expect({ status, code: body.error.code }).toEqual({ status: 403, code: 'AUTHZ_PERMISSION_DENIED' })
    expect(body.error.message).toContain('scaimind:')
  })

  it('the tenant that a request is for goes with the credentials', async () => {
    const asked: unknown[] = []
    const identify = async (credentials: unknown) => {
      asked.push(credentials)
      throw new Failure('AUTHZ_PERMISSION_DENIED', 'x-scaigrid-tenant: this key may not act for that tenant.')
    }
    const door = await openDoor({ identify })
    const { status } = await door.send('GET', '/jobs', { headers: { 'x-scaigrid-tenant': 'umbrella' } })
    expect({ status, asked }).toEqual({ status: 403, asked: [{ authorization: 'Bearer sgk_all', tenant: 'umbrella' }] })
  })
})

describe('404', () => {
  it.each([
    ['GET', ''],
    ['POST', '/cancel'],
    ['POST', '/retry'],
  ])("%s of another tenant's job%s answers as if it did not exist", async (method, action) => {
    const one = job()
    const door = await openDoor({ jobs: jobsInMemory([one]) })
    const answer = await door.send(method, `/jobs/${one.job_id}${action}`, { key: 'sgk_other' })
    expect(answer).toMatchObject({ status: 404, body: { error: { code: 'JOB_NOT_FOUND' } } })
  })

  it.each(['/nothing', '/jobs/', '/jobs//metrics', '/jobs/a/b/c/d', '/jobs/%E0%A4%A', '/', '/constructor'])(
    '%s is no path',
    async (path) => {
      const door = await openDoor()
      expect(await door.send('GET', path)).toMatchObject({ status: 404, body: { error: { code: 'ROUTE_NOT_FOUND' } } })
    },
  )
})

describe('405', () => {
  it('a wrong method is answered with those that are right', async () => {
    const door = await openDoor()
    const answer = await door.send('DELETE', '/jobs')
    expect(answer).toMatchObject({ status: 405, body: { error: { code: 'METHOD_NOT_ALLOWED' } } })
    expect(answer.headers.get('allow')).toBe('GET, POST')
    expect((await door.send('GET', `/jobs/${job().job_id}/cancel`)).headers.get('allow')).toBe('POST')
  })
})

describe('409', () => {
  it('names the state and the states that the action is possible from', async () => {
    const done = job({ status: 'COMPLETED' })
    const door = await openDoor({ jobs: jobsInMemory([done]) })
    const { status, body } = await door.send('POST', `/jobs/${done.job_id}/cancel`)
    expect({ status, code: body.error.code, details: body.error.details }).toEqual({
      status: 409,
      code: 'JOB_STATE_CONFLICT',
      details: [
        { field: 'state', message: 'COMPLETED' },
        { field: 'allowed_from', message: 'TRAINING QUEUED' },
      ],
    })
  })
})

describe('413', () => {
  it.each([
    ['of a known length', {}],
    ['of an unknown length', { 'transfer-encoding': 'chunked' }],
  ])('a body %s that is too large is refused without being read, and the refusal arrives', async (_kind, headers) => {
    const door = await openDoor({ bodyBytesMax: 1000 })
    const big = { ...submission(), name: 'x'.repeat(400_000) }
    const answer = await sendRaw(door, JSON.stringify(big), headers)
    expect(answer).toContain('HTTP/1.1 413')
    expect(answer.toLowerCase()).toContain('connection: close')
    expect(answer).toContain('"PAYLOAD_TOO_LARGE"')
  })
})

/** Sends a submission over a plain socket, and answers all that comes back. */
async function sendRaw({ port }: Door, body: string, headers: Record<string, string>): Promise<string> {
  const chunked = 'transfer-encoding' in headers
  const socket = connect(port, '127.0.0.1')
  const lines = [
    'POST /v1/modules/scaimind/jobs HTTP/1.1',
    'host: x',
    'authorization: Bearer sgk_all',
    'content-type: application/json',
    chunked ? 'transfer-encoding: chunked' : `content-length: ${body.length}`,
  ]
  socket.on('error', () => {})
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  socket.write(chunked ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body.slice(0, 2000))
  return text(socket)
}

describe('415', () => {
  it.each([
    ['a form', 'name=a', 'application/x-www-form-urlencoded', /Content-Type: application\/json/],
    ['no type at all', '{}', '', /Content-Type: application\/json/],
    ['text that is not JSON', '{"name": ', 'application/json', /The body is not JSON: /],
    ['another charset', '{}', 'application/json; charset=latin1', /UTF-8/],
  ])('%s is refused', async (_kind, body, type, says) => {
    const door = await openDoor()
    const answer = await door.send('POST', '/jobs', { body, headers: { 'content-type': type } })
    expect(answer).toMatchObject({ status: 415, body: { error: { code: 'UNSUPPORTED_MEDIA_TYPE' } } })
    expect(answer.body.error.message).toMatch(says)
  })

  it('a compressed body is refused', async () => {
    const door = await openDoor()
    const { status, body } = await door.send('POST', '/jobs', { body: '{}', headers: { 'content-encoding': 'br' } })
    expect({ status, message: body.error.message }).toEqual({
      status: 415,
      message: 'Send the body as it is; the encoding br is not read.',
    })
  })
})

describe('422', () => {
  it.each([
    ['lists', `${'['.repeat(50_000)}${']'.repeat(50_000)}`],
    ['objects', `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`],
  ])('a body of %s without end is refused', async (_kind, body) => {
    const door = await openDoor()
    const answer = await door.send('POST', '/jobs', { body })
    expect(answer).toMatchObject({ status: 422, body: { error: { code: 'VALIDATION_ERROR', details: [{ field: 'body' }] } } })
  })

  it('every wrong field of a submission is named at once, by its full path', async () => {
    const door = await openDoor()
    const body = {
      name: '',
      training_config: { training_type: 'MAGIC', base_model: {}, priority: 11, epochs: 3, hyperparameters: { lr: [] } },
      data_config: { sources: [{ pth: 'a' }], validation_split: 1.5 },
      labels: { type: 'evaluation' },
    }
    const details = detailsOf(await door.send('POST', '/jobs', { body }))
    expect(details).toMatchObject({
      name: expect.stringContaining('1 to 255'),
      'training_config.training_type': expect.stringContaining('SFT'),
      'training_config.base_model.model_id': expect.stringContaining('required'),
      'training_config.priority': expect.stringContaining('0 to 10'),
      'training_config.epochs': expect.stringContaining('no such field'),
      'training_config.hyperparameters.lr': expect.stringContaining('text'),
      'data_config.sources[0].path': expect.stringContaining('required'),
      'data_config.sources[0].pth': expect.stringContaining('no such field'),
      'data_config.validation_split': expect.stringContaining('0.0 to 1.0'),
      resource_config: expect.stringContaining('required'),
    })
  })

  it('a submission without a body misses everything that is required', async () => {
    const door = await openDoor()
    const answer = await door.send('POST', '/jobs')
    expect(answer).toMatchObject({ status: 422, body: { error: { code: 'VALIDATION_ERROR' } } })
    expect(Object.keys(detailsOf(answer)).sort()).toEqual(['data_config', 'name', 'resource_config', 'training_config'])
  })

  it.each(['[]', '"job"', '7', 'null'])('a body that is JSON but no object (%s) is refused', async (body) => {
    const door = await openDoor()
    expect(detailsOf(await door.send('POST', '/jobs', { body }))).toEqual({ body: 'The body must be a JSON object.' })
  })

  it.each([
    ['cancel', { reason: 5, save: true }, ['reason', 'save']],
    ['pause', { save_checkpoint: 'yes' }, ['save_checkpoint']],
    ['resume', { from_checkpoint: 'c' }, ['from_checkpoint']],
    ['retry', { checkpoint_id: 'c' }, ['checkpoint_id']],
  ])('%s takes its own fields only', async (action, body, fields) => {
    const one = job()
    const door = await openDoor({ jobs: jobsInMemory([one]) })
    const answer = await door.send('POST', `/jobs/${one.job_id}/${action}`, { body })
    expect(answer.status).toBe(422)
    expect(Object.keys(detailsOf(answer)).sort()).toEqual(fields)
  })

  it('what a route does not know of a query is refused, everywhere', async () => {
    const door = await openDoor()
    const built = everyRoute.filter(([, path]) => !/evaluations|data|drain|enable/.test(path))
    expect(built.length).toBeGreaterThan(15)
    for (const [method, path] of built) {
      const answer = await door.send(method, `${path}?colour=red`)
      expect({ path, status: answer.status, fields: Object.keys(detailsOf(answer)) }).toEqual({ path, status: 422, fields: ['colour'] })
    }
  })

  it.each([
    ['/jobs?page_size=0', 'page_size'],
    ['/jobs?page_size=101', 'page_size'],
    ['/jobs?status=DONE', 'status'],
    ['/jobs?order_by=-size', 'order_by'],
    ['/jobs/{id}/metrics?max_points=1', 'max_points'],
    ['/jobs/{id}/metrics?since_step=-1', 'since_step'],
    ['/jobs/{id}/logs?level=LOUD', 'level'],
    ['/jobs/{id}/logs?tail=1001', 'tail'],
    ['/jobs/{id}/logs?follow=1', 'follow'],
  ])('%s is refused', async (path, field) => {
    const door = await openDoor()
    const answer = await door.send('GET', path.replace('{id}', job().job_id))
    expect(answer).toMatchObject({ status: 422, body: { error: { code: 'VALIDATION_ERROR' } } })
    expect(Object.keys(detailsOf(answer))).toEqual([field])
  })

  it('no JSON is answered with a fault of ours', async () => {
    const door = await openDoor()
    await fc.assert(
      fc.asyncProperty(fc.json(), async (body) => {
        const { status } = await door.send('POST', '/jobs', { body })
        expect([415, 422]).toContain(status)
      }),
      { numRuns: 60 },
    )
  })
})

it('a caller who leaves in the middle of a body is neither answered nor logged', async () => {
  const door = await openDoor()
  const socket = connect(door.port, '127.0.0.1')
  const head = 'POST /v1/modules/scaimind/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sgk_all\r\ncontent-length: 100\r\n\r\n{'
  await new Promise<void>((resolve) => socket.write(head, () => resolve()))
  await door.arrived
  socket.destroy()
  await door.answered()
  expect(door.logged).toEqual([])
})

describe('429', () => {
  it('says when to come back, in the body and in the header', async () => {
    const submit = async () => {
      throw new QuotaExceeded('Your tenant has 100 jobs already.', 100, 7)
    }
    const door = await openDoor({ jobs: jobsInMemory([], { submit }) })
    const answer = await door.send('POST', '/jobs', { body: submission() })
    expect(answer).toMatchObject({ status: 429, body: { error: { code: 'RATE_LIMITED', retry_after: 7 } } })
    expect(answer.headers.get('retry-after')).toBe('7')
  })
})
