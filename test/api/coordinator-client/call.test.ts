import { status } from '@grpc/grpc-js'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type CoordinatorClient, connectCoordinator } from '../../../src/api/coordinator-client/index.js'
import { type Code, codes } from '../../../src/contract/codes.js'
import { freePort } from '../../../src/database/free-port.js'
import { silent } from '../../support/api.js'
import { StubCoordinator } from '../../support/stub-coordinator.js'

let stub: StubCoordinator
let coordinator: CoordinatorClient
const context = { tenantId: 'acme', requestId: 'req-1' }
const connect = (log = silent, timeoutMs = 5000) =>
  connectCoordinator({ addresses: [{ host: '127.0.0.1', port: stub.port }], secret: stub.secret, timeoutMs, log })

beforeEach(async () => {
  stub = await new StubCoordinator().start()
  coordinator = connect()
})
afterEach(() => {
  coordinator.close()
  stub.stop()
})

describe('Calls of the coordinator', () => {
  it('go to the one of several that is there, also where it tells nothing of its health', async () => {
    const nobody = await freePort()
    const addresses = [nobody, stub.port].map((port) => ({ host: '127.0.0.1', port }))
    const several = connectCoordinator({ addresses, secret: stub.secret, timeoutMs: 5000, log: silent })
    await expect(several.call('GetJob', { job_id: 'x' }, context)).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
    expect(several.isReady()).toBe(true)
    several.close()
  })

  it('are refused at once where none of several is there', async () => {
    const addresses = [await freePort(), await freePort()].map((port) => ({ host: '127.0.0.1', port }))
    const several = connectCoordinator({ addresses, secret: stub.secret, timeoutMs: 5000, log: silent })
    const since = performance.now()
    await expect(several.call('GetJob', { job_id: 'x' }, context)).rejects.toMatchObject({ code: 'COORDINATOR_UNAVAILABLE' })
    expect(performance.now() - since).toBeLessThan(4000)
    several.close()
  })

  it('every code of the vocabulary arrives as it was sent', async () => {
    for (const code of Object.keys(codes) as Code[]) {
      const { grpc } = codes[code]
      if (grpc === null || [status.INTERNAL, status.UNAVAILABLE, status.DEADLINE_EXCEEDED].includes(grpc)) continue
      stub.refusals.set('GetJob', { code, message: `it is ${code}` })
      await expect(coordinator.call('GetJob', { job_id: 'x' }, context)).rejects.toMatchObject({ code, message: `it is ${code}` })
    }
  })

  it('a bare status of another coordinator is given the general code', async () => {
    const general: [status, Code][] = [
      [status.INVALID_ARGUMENT, 'INVALID_ARGUMENT'],
      [status.NOT_FOUND, 'JOB_NOT_FOUND'],
      [status.ABORTED, 'JOB_STATE_CONFLICT'],
      [status.RESOURCE_EXHAUSTED, 'RATE_LIMITED'],
      [status.DATA_LOSS, 'INTERNAL_ERROR'],
    ]
    for (const [raw, code] of general) {
      stub.refusals.set('GetJob', { code: 'INTERNAL_ERROR', message: 'raw', status: raw })
      await expect(coordinator.call('GetJob', { job_id: 'x' }, context)).rejects.toMatchObject({ code })
    }
  })

  it('a fault of its own is logged with its detail and the request id, and told without', async () => {
    const lines: Record<string, unknown>[] = []
    const logged = connect(pino({ level: 'error' }, { write: (line: string) => void lines.push(JSON.parse(line)) }))
    stub.refusals.set('GetJob', { code: 'INTERNAL_ERROR', message: 'a secret path', status: status.INTERNAL })
    const failure = await logged.call('GetJob', { job_id: 'x' }, context).catch((error: Error) => error)
    expect(failure).toMatchObject({ code: 'INTERNAL_ERROR' })
    expect((failure as Error).message).not.toContain('secret')
    expect(lines).toMatchObject([
      { event: 'scaimind_coordinator_error', raw_detail: 'a secret path', request_id: 'req-1', method: 'GetJob' },
    ])
    logged.close()
  })

  it('reads and calls with an idempotency key are sent once more when the connection broke, others are not', async () => {
    for (const method of ['GetJob', 'SubmitJob', 'CancelJob'])
      stub.refusals.set(method, { code: 'COORDINATOR_UNAVAILABLE', message: 'broken' })
    const times = async (method: string, run: () => Promise<unknown>) => {
      const before = stub.calls.get(method) ?? 0
      await expect(run()).rejects.toMatchObject({ code: 'COORDINATOR_UNAVAILABLE', retryAfterSeconds: 2 })
      return (stub.calls.get(method) ?? 0) - before
    }
    expect(await times('GetJob', () => coordinator.call('GetJob', { job_id: 'x' }, context))).toBe(2)
    expect(await times('SubmitJob', () => coordinator.call('SubmitJob', { spec: { name: 'a' } }, context))).toBe(1)
    expect(await times('SubmitJob', () => coordinator.call('SubmitJob', { spec: { name: 'a' }, idempotency_key: 'k' }, context))).toBe(2)
    expect(await times('SubmitJob', () => coordinator.call('SubmitJob', { spec: { name: 'a' }, dry_run: true }, context))).toBe(2)
    expect(await times('CancelJob', () => coordinator.call('CancelJob', { job_id: 'x' }, context))).toBe(1)
  })

  it('a call that gets no answer is given up at the deadline', async () => {
    stub.silent.add('GetJob')
    const hasty = connect(silent, 200)
    await expect(hasty.call('GetJob', { job_id: 'x' }, context)).rejects.toMatchObject({ code: 'BACKEND_TIMEOUT' })
    hasty.close()
  })

  it('without a coordinator it fails at once, and works again as soon as it is back', async () => {
    const { job_id } = stub.addJob('acme')
    await coordinator.call('GetJob', { job_id }, context)
    stub.stop()
    const started = Date.now()
    await expect(coordinator.call('GetJob', { job_id }, context)).rejects.toMatchObject({ code: 'COORDINATOR_UNAVAILABLE' })
    expect(Date.now() - started).toBeLessThan(4000)
    await stub.start()
    const deadline = Date.now() + 30_000
    for (;;) {
      const name = await coordinator.call('GetJob', { job_id }, context).then(
        (job) => job.name,
        () => undefined,
      )
      if (name) break
      expect(Date.now()).toBeLessThan(deadline)
      await new Promise((done) => setTimeout(done, 20))
    }
  })
})
