import { once } from 'node:events'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, startApiUnderTest } from '../../support/api.js'
import { Service } from '../../support/service.js'
import { type Ending, type LiveDoor, linesOf, liveDoorNames, liveDoors, numbers, stepsOf } from './readers.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())

describe.each(liveDoorNames)('A stream over %s', (door) => {
  it('tells what is left of a job that has ended, and completes', async () => {
    const { id, key } = await under.tenant()
    const { job_id: jobId } = under.stub.addJob(id)
    const reader = liveDoors[door]({ url: under.api.url, key, jobId })
    under.stub.writeMetrics(jobId, 20)
    await reader.until((told) => stepsOf(told).includes(20))
    under.stub.writeMetrics(jobId, 70)
    under.stub.end(jobId, 'FAILED')
    expect(await reader.ended).toEqual({ how: 'complete', failure: undefined })
    expect(stepsOf(reader.told)).toEqual(numbers(1, 90))
    if (door !== 'REST over SSE') expect(reader.told.at(-1)).toMatchObject({ type: 'StreamEnd', status: 'FAILED' })
  })

  it.each([
    ['is revoked', { revokedAt: new Date() }],
    ['is granted something else', { grants: 'scaimind:evaluate' }],
  ])('ends within a second or so when its key %s', async (_name, data) => {
    const { id, key, keyId } = await under.tenant()
    const { job_id: jobId } = under.stub.addJob(id)
    under.stub.writeMetrics(jobId, 1)
    const reader = liveDoors[door]({ url: under.api.url, key, jobId })
    await reader.until((told) => told.length > 0)
    await under.database.apiKey.updateMany({ where: { keyId }, data })
    const at = performance.now()
    const ending = await reader.ended
    expect(performance.now() - at).toBeLessThan(6000)
    expect(ending).toEqual({ how: door === 'graphql-ws' ? 4401 : 'complete', failure: 'AUTH_TOKEN_INVALID' })
  })
})

/** What each door says when the process stops: that it is not over. */
const closings: Record<LiveDoor, Ending> = {
  'graphql-ws': { how: 1001, failure: undefined },
  'GraphQL over SSE': { how: 'cut', failure: undefined },
  'REST over SSE': { how: 'complete', failure: 'COORDINATOR_UNAVAILABLE' },
}

/** Readers through every door, and others who stopped to read, of so much that they are waited for. */
async function readersOfAll(url: string, of: ApiUnderTest) {
  const { id, key } = await of.tenant()
  const open = (jobId: string) => liveDoorNames.map((door) => liveDoors[door]({ url, key, jobId, kind: 'logs' }))
  const [small, large] = [of.stub.addJob(id).job_id, of.stub.addJob(id).job_id]
  const [readers, stuck] = [open(small), open(large)]
  for (const jobId of [small, large]) of.stub.writeLogs(jobId, ['line 0'])
  for (const reader of [...readers, ...stuck]) await reader.until((told) => told.length > 0)
  for (const reader of stuck) reader.pause()
  const lines = numbers(1, 2500).map((number) => `line ${number} ${'x'.repeat(4000)}`)
  of.stub.writeLogs(large, lines)
  // One who reads says when it has come.
  const moving = liveDoors['graphql-ws']({ url, key, jobId: large, kind: 'logs' })
  await moving.until((told) => linesOf(told).length > lines.length)
  moving.leave()
  return { readers, stuck }
}

const endingsOf = (readers: { ended: Promise<Ending> }[]) => Promise.all(readers.map(({ ended }) => ended))
const expected = liveDoorNames.map((door) => closings[door])

describe('An API that is closed', () => {
  it('sends its readers on to another instance, and is gone within 10 s though some of them read nothing', async () => {
    const own = await startApiUnderTest()
    const { readers, stuck } = await readersOfAll(own.api.url, own)
    const idle = connect(own.api.port, '127.0.0.1').on('error', () => {})
    await once(idle, 'connect')
    const at = performance.now()
    const closed = own.api.close()
    expect(await endingsOf(readers)).toEqual(expected)
    expect(performance.now() - at).toBeLessThan(6000)
    await closed
    expect(performance.now() - at).toBeLessThan(10_000)
    for (const reader of stuck) reader.resume()
    for (const { how } of await endingsOf(stuck)) expect(how).not.toBe('complete')
    await own.close()
  })

  it('is gone within 10 s though the coordinator, asked for all jobs, does not answer', async () => {
    const own = await startApiUnderTest({ SCAIMIND_GRPC_TIMEOUT_S: '30' })
    own.stub.addJob((await own.tenant()).id)
    await own.stub.until(() => own.stub.openStreams('StreamJobEvents') === 1)
    own.stub.silent.add('ListJobs')
    own.stub.expired.set('*', 1000)
    const asked = own.stub.calls.get('ListJobs') ?? 0
    own.stub.breakStreams('StreamJobEvents')
    await own.stub.until(() => (own.stub.calls.get('ListJobs') ?? 0) > asked)
    const at = performance.now()
    await own.api.close()
    expect(performance.now() - at).toBeLessThan(10_000)
    await own.close()
  })

  it('does the same at SIGTERM, and ends with 0', async () => {
    const { databaseUrl, stub } = under
    const settings = { DATABASE_URL: databaseUrl, SCAIMIND_API_SECRET: stub.secret, SCAIMIND_GRPC_PORT: String(stub.port) }
    const service = new Service('api', settings, join(tmpdir(), 'endings-api.log'))
    await service.start()
    const { readers, stuck } = await readersOfAll(`http://127.0.0.1:${service.port}`, under)
    const at = performance.now()
    const exitCode = service.stop()
    expect(await endingsOf(readers)).toEqual(expected)
    expect(await exitCode).toBe(0)
    expect(performance.now() - at).toBeLessThan(10_000)
    for (const reader of stuck) reader.resume()
    for (const { how } of await endingsOf(stuck)) expect(how).not.toBe('complete')
  })
})
