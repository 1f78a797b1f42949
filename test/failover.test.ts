import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase } from '../src/coordinator/jobs/records/database.js'
import { eventually } from './support/api.js'
import { CoordinatorTenant, type Refusal, toRefusal } from './support/coordinator.js'
import { freshDatabase } from './support/database.js'
import { customInput, submit, untilStatus } from './support/jobs.js'
import { endAttempts } from './support/leftovers.js'
import { Service } from './support/service.js'
import { Tenant } from './support/tenant.js'

const dataDir = mkdtempSync(join(tmpdir(), 'scaimind-failover-'))
const secret = randomBytes(24).toString('hex')
let active: Service
let standby: Service
let api: Service
let tenant: Tenant
let records: ReturnType<typeof openDatabase>
const clients: CoordinatorTenant[] = []

beforeAll(async () => {
  const databases = { api: await freshDatabase('api'), coordinator: await freshDatabase('coordinator') }
  const shared = {
    SCAIMIND_DATA_DIR: dataDir,
    SCAIMIND_API_SECRET: secret,
    DATABASE_URL: databases.api,
    COORDINATOR_DATABASE_URL: databases.coordinator,
    SCAIMIND_ALLOW_CUSTOM_CODE: 'true',
    SCAIMIND_CPU_SLOTS: '1',
  }
  active = new Service('coordinator', shared, join(dataDir, 'one.log'))
  standby = new Service('coordinator', shared, join(dataDir, 'two.log'))
  await active.start()
  await standby.start()
  const hosts = `127.0.0.1:${standby.port},127.0.0.1`
  const settings = { ...shared, SCAIMIND_GRPC_HOST: hosts, SCAIMIND_GRPC_PORT: String(active.port) }
  api = new Service('api', settings, join(dataDir, 'api.log'))
  await api.start()
  tenant = await Tenant.create({ dataDir, databaseUrl: databases.api, origin: () => `127.0.0.1:${api.port}` })
  records = openDatabase(databases.coordinator)
})
afterAll(async () => {
  for (const { jobs, cluster, evaluations, data } of clients) for (const client of [jobs, cluster, evaluations, data]) client.close()
  active?.thaw()
  await tenant?.close()
  await records?.$disconnect()
  await Promise.all([api, active, standby].map((service) => service?.stop()))
  await endAttempts(dataDir)
  rmSync(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
})

/** The tenant as a client of one coordinator. */
function at({ port }: Service): CoordinatorTenant {
  const client = new CoordinatorTenant(tenant.id, { port, secret, dataDir })
  clients.push(client)
  return client
}

const call = (service: Service, method: string, request: object = {}, more: Record<string, string> = {}): Promise<Refusal | null> =>
  at(service)
    .call(method, request, more)
    .then(() => null, toRefusal)

/** Waits until the other one is the active one; answers after how many milliseconds it was. */
async function takenOver(): Promise<number> {
  const since = performance.now()
  await eventually(
    () => call(standby, 'GetCluster'),
    (refusal) => refusal === null,
    60_000,
  )
  ;[active, standby] = [standby, active]
  return Math.round(performance.now() - since)
}

/** Tells that it was started, then counts to `steps`. */
const counting = (name: string, steps: number) => `
import { appendFileSync } from 'node:fs'
appendFileSync(${JSON.stringify(join(dataDir, 'started'))}, '${name}\\n')
for (let step = 1; step <= ${steps}; step++) {
  console.log(JSON.stringify({ step, loss: 1 / step }))
  await new Promise((later) => setTimeout(later, 50))
}`

describe('Of two coordinators', () => {
  it('the standby refuses every call and says who is active; it says nothing to strangers', async () => {
    expect(await call(standby, 'SubmitJob')).toMatchObject({
      code: 'COORDINATOR_UNAVAILABLE',
      message: `This coordinator is the standby; the active one was last seen at 127.0.0.1:${active.port}.`,
    })
    expect(await call(standby, 'SubmitJob', {}, { 'x-api-secret': 'not the secret' })).toMatchObject({ code: 'AUTH_TOKEN_INVALID' })
  })

  it('the standby takes over within 10 s of a kill -9: the API follows it, streams go on, and no job runs twice', async () => {
    const names = ['first', 'second', 'third']
    const jobs: string[] = []
    for (const name of names) jobs.push(await submit(tenant, customInput(tenant, counting(name, name === 'first' ? 300 : 3), { name })))
    const [running = ''] = jobs
    const metrics = tenant.subscribe<{ jobMetrics: { records?: { step: number }[] } }>(
      'subscription ($id: ID!) { jobMetrics(jobId: $id) { ... on MetricBatch { records { step } } } }',
      { id: running },
    )
    const seen: number[] = []
    let afterMs: Promise<number> | undefined
    for await (const { jobMetrics } of metrics) {
      seen.push(...(jobMetrics.records ?? []).map(({ step }) => step))
      if (!afterMs && seen.length > 5) {
        // As on a machine that the standby cannot look at: it has to wait until the lease has run out.
        await records.coordinatorLease.update({ where: { id: 1 }, data: { holder: '' } })
        await active.kill()
        afterMs = takenOver()
      }
    }
    const ms = (await afterMs) ?? Number.POSITIVE_INFINITY
    process.stderr.write(`The standby was active ${ms} ms after the kill.\n`)
    expect(ms).toBeLessThan(10_000)
    expect(seen).toEqual(Array.from({ length: 300 }, (_, index) => index + 1))

    jobs.push(await submit(tenant, customInput(tenant, counting('fourth', 3), { name: 'fourth' })))
    for (const job of jobs) {
      await untilStatus(tenant, job, 'COMPLETED')
      expect(await records.attempt.count({ where: { jobId: job } })).toBe(1)
    }
    expect(readFileSync(join(dataDir, 'started'), 'utf8').trim().split('\n')).toEqual([...names, 'fourth'])
    await standby.start()
    expect(await call(standby, 'GetCluster')).toMatchObject({ code: 'COORDINATOR_UNAVAILABLE' })
  })

  it('the active one hands over at once when it is stopped in order', async () => {
    const since = performance.now()
    const stopped = active.stop()
    await takenOver()
    expect(performance.now() - since).toBeLessThan(5000)
    expect(await stopped).toBe(0)
    await standby.start()
  })

  it('one that hung for as long as a lease writes nothing when it goes on, and becomes the standby', async () => {
    const former = active
    const spec = at(former).custom(counting('never', 1), { resource_config: { gpu_count: 0 } })
    await call(former, 'GetCluster')
    const before = await records.job.count()
    former.freeze()
    // On its way: it lies in the connection until the other has taken over.
    const late = call(former, 'SubmitJob', { spec })
    process.stderr.write(`The standby was active ${await takenOver()} ms after the active one hung.\n`)
    const jobId = await submit(tenant, customInput(tenant, counting('fifth', 1), { name: 'fifth' }))
    former.thaw()
    expect(await late).toMatchObject({ code: 'COORDINATOR_UNAVAILABLE' })
    await eventually(
      () => call(former, 'GetCluster'),
      (refusal) => /is the standby/.test(refusal?.message ?? ''),
    )
    await untilStatus(tenant, jobId, 'COMPLETED')
    expect(await records.job.count()).toBe(before + 1)
  })
})
