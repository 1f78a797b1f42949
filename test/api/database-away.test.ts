import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createClient } from 'graphql-sse'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apiKeyStore } from '../../src/api/auth/api-keys.js'
import { openDatabase } from '../../src/api/cache/database.js'
import { type Api, startApi } from '../../src/api/server.js'
import { readApiConfig } from '../../src/config.js'
import { migrate } from '../../src/database/migrate.js'
import { type PrivateServer, startPrivateServer } from '../../src/database/private-server.js'
import { eventually, graphql, newTenantId } from '../support/api.js'
import { StubCoordinator } from '../support/stub-coordinator.js'

const folder = mkdtempSync(join(tmpdir(), 'scaimind-away-'))
let server: PrivateServer
let stub: StubCoordinator
let api: Api
let key: string
const tenant = newTenantId()

// A server of its own, which is stopped and started again on the same port.
beforeAll(async () => {
  server = await startPrivateServer(folder)
  stub = await new StubCoordinator().start()
  const url = Object.assign(new URL(server.url), { pathname: '/away' }).href
  await migrate({ url, setting: 'the test database', folder: resolve(import.meta.dirname, '../../prisma/api/migrations') })
  const database = openDatabase(url)
  const keys = apiKeyStore(database)
  key = (await keys.create({ tenantId: tenant, userId: 'ada', name: 'test', grants: ['tenant_admin'] })).key
  keys.close()
  await database.$disconnect()
  api = await startApi(
    readApiConfig({
      DATABASE_URL: url,
      SCAIMIND_PORT: '0',
      SCAIMIND_GRPC_PORT: String(stub.port),
      SCAIMIND_API_SECRET: stub.secret,
      SCAIMIND_LOG_LEVEL: 'silent',
    }),
  )
})
afterAll(async () => {
  await api?.close()
  stub?.stop()
  await server?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const ask = (query: string, variables?: Record<string, unknown>) => graphql(api.url, key, query, variables)
const names = async () => (await ask('{ jobs { nodes { name } } }')).data?.jobs?.nodes?.map(({ name }: { name: string }) => name)

describe('When MariaDB goes away', () => {
  it('reads fail at once and say when to come back, writes reach the coordinator, streams go on, and all is made good when it returns', async () => {
    const { job_id: jobId } = stub.addJob(tenant, { name: 'before' })
    await eventually(names, (found) => found?.[0] === 'before')
    stub.writeMetrics(jobId, 1)
    const client = createClient({ url: `${api.url}/graphql`, headers: { authorization: `Bearer ${key}` } })
    const metrics = client.iterate<{ jobMetrics: { records: { step: number }[] } }>({
      query: 'subscription ($id: ID!) { jobMetrics(jobId: $id) { ... on MetricBatch { records { step } } } }',
      variables: { id: jobId },
    })
    const nextSteps = async () => (await metrics.next()).value?.data?.jobMetrics.records.map(({ step }: { step: number }) => step)
    expect(await nextSteps()).toEqual([1])

    // Whatever waited for a connection is told, too: 40 readers at once for a pool of ten.
    const readAll = async (fields: string) => {
      const start = performance.now()
      const answers = await Promise.all(
        Array.from({ length: 40 }, (_, index) => ask(`{ jobs(first: ${index + 1}) { nodes { ${fields} } } }`)),
      )
      return { answers, ms: performance.now() - start }
    }
    const usual = await readAll('jobId name')
    await server.stop()
    const { answers: refused, ms } = await readAll('name')
    expect(ms).toBeLessThan(usual.ms + 2900)
    for (const { errors } of refused) {
      expect(errors?.[0]?.extensions).toMatchObject({ code: 'DATABASE_UNAVAILABLE', retryAfterSeconds: 2 })
    }
    expect((await fetch(`${api.url}/health`)).status).toBe(503)

    const before = performance.now()
    const paused = await ask('mutation ($id: ID!) { pauseJob(jobId: $id) { ... on PauseJobSuccess { job { status } } } }', { id: jobId })
    expect(paused.data.pauseJob.job.status).toBe('PAUSED')
    expect(performance.now() - before).toBeLessThan(2900)
    stub.writeMetrics(jobId, 1)
    expect(await nextSteps()).toEqual([2])
    stub.change(jobId, { name: 'meanwhile' })
    stub.addJob(tenant, { name: 'new meanwhile' })

    const restarted = await startPrivateServer(folder)
    expect(restarted.port).toBe(server.port)
    server = restarted
    await eventually(names, (found) => found?.includes('meanwhile') && found.includes('new meanwhile'))
    // From where it stood: nothing was listed anew.
    expect(stub.calls.get('ListJobs')).toBe(1)
    const { data } = await ask('{ jobs { nodes { status stale } } }')
    expect(data.jobs.nodes).toContainEqual({ status: 'PAUSED', stale: false })
    await metrics.return?.()
  })
})
