import { createClient } from 'graphql-ws'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { type ApiUnderTest, eventually, startApiUnderTest } from '../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())

const job = 'query ($id: ID!, $how: Consistency) { job(jobId: $id, consistency: $how) { name status stale syncedAt } }'

describe('While the coordinator is away', () => {
  it('reads answer stale copies, writes are refused at once, and streams go on when it is back with nothing lost or twice', async () => {
    const tenant = await under.tenant()
    const { job_id: id } = under.stub.addJob(tenant.id, { name: 'kept' })
    const read = (how?: string) => tenant.graphql(job, { id, how })
    await eventually(async () => (await tenant.graphql('{ jobs { nodes { stale } } }')).data.jobs.nodes[0]?.stale === false)
    await tenant.graphql('{ cluster { nodesTotal } clusterNodes { totalCount } queue { depth } }')
    const client = createClient({
      url: `${under.api.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { apiKey: tenant.key },
      retryAttempts: 0,
    })
    const steps: number[] = []
    const done = (async () => {
      const query = `subscription { jobMetrics(jobId: "${id}") { ... on MetricBatch { records { step } } } }`
      for await (const { data } of client.iterate<{ jobMetrics: { records?: { step: number }[] } }>({ query })) {
        steps.push(...(data?.jobMetrics.records?.map(({ step }) => step) ?? []))
      }
    })()
    const updates: string[] = []
    const watching = (async () => {
      const query = `subscription { jobsUpdated { event { message type } job { message } } }`
      for await (const { data } of client.iterate<{ jobsUpdated: { job: { message: string | null } } }>({ query })) {
        updates.push(data?.jobsUpdated.job.message ?? '')
        if (data?.jobsUpdated.job.message === 'last') break
      }
    })()
    for (let round = 0; round < 3; round++) {
      under.stub.writeMetrics(id, 100)
      under.stub.change(id, { message: `before ${round}` })
      await eventually(() => steps.length === 100 * (2 * round + 1))
      await eventually(() => updates.includes(`before ${round}`))
      under.stub.stop()

      await eventually(read, ({ data }) => data.job.stale === true)
      expect((await read('COORDINATOR')).data.job).toMatchObject({ name: 'kept', stale: true })
      const shown = await tenant.graphql(
        '{ cluster { nodesTotal stale } clusterNodes { totalCount stale } queue { stale } jobs { nodes { stale } } }',
      )
      expect(shown.data).toMatchObject({
        cluster: { nodesTotal: 1, stale: true },
        clusterNodes: { totalCount: 2, stale: true },
        queue: { stale: true },
        jobs: { nodes: [{ stale: true }] },
      })
      const started = Date.now()
      const { data } = await tenant.graphql(
        `mutation ($id: ID!) { pauseJob(jobId: $id) { __typename ... on Error { code } ... on RequestFailed { retryAfterSeconds } } }`,
        { id },
      )
      expect(data.pauseJob).toMatchObject({ __typename: 'RequestFailed', code: 'COORDINATOR_UNAVAILABLE' })
      expect(data.pauseJob.retryAfterSeconds).toBeGreaterThan(0)
      expect(Date.now() - started).toBeLessThan(4500)

      // The trainer runs on meanwhile.
      under.stub.writeMetrics(id, 100)
      under.stub.change(id, { message: `while away ${round}` })
      await under.stub.start()
      await eventually(() => steps.length === 100 * (2 * round + 2))
      await eventually(() => updates.includes(`while away ${round}`))
      await eventually(read, (answer) => answer.data.job.stale === false)
    }
    under.stub.change(id, { message: 'last' })
    under.stub.end(id)
    await Promise.all([done, watching])
    await client.dispose()
    expect(steps).toEqual(Array.from({ length: 600 }, (_, index) => index + 1))
    expect(updates).toEqual(['before 0', 'while away 0', 'before 1', 'while away 1', 'before 2', 'while away 2', 'last'])
  })

  it('an API that starts without it serves its cache', async () => {
    const tenant = await under.tenant()
    const { errors, status } = await tenant.graphql('{ jobs { nodes { stale } } }')
    expect(errors).toBeUndefined()
    expect(status).toBe(200)
    const health = await fetch(`${under.api.url}/health`)
    expect(await health.json()).toMatchObject({ database: 'ok' })
  })

  it('a cursor that the coordinator does not know any more makes the cache load all jobs anew', async () => {
    const tenant = await under.tenant()
    const [kept, gone] = [under.stub.addJob(tenant.id, { name: 'kept' }), under.stub.addJob(tenant.id, { name: 'gone' })]
    const names = async () =>
      (await tenant.graphql('{ jobs { nodes { name } } }')).data.jobs.nodes.map(({ name }: { name: string }) => name)
    await eventually(names, (found) => found.length === 2)
    under.stub.stop()
    under.stub.jobs.delete(gone.job_id)
    under.stub.change(kept.job_id, { name: 'changed' })
    under.stub.expired.set('*', under.stub.events.length)
    await under.stub.start()
    await eventually(names, (found) => JSON.stringify(found) === '["changed"]')
    under.stub.expired.delete('*')
  })
})
