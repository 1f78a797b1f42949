import { createClient } from 'graphql-ws'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { type ApiUnderTest, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'
import {
  completed,
  expectEveryStepOnce,
  knownJob,
  type MetricEvent,
  type MetricVariables,
  metricsDocument,
  type Relay,
  startRelay,
} from './support.js'

let under: ApiUnderTest
let relay: Relay

beforeAll(async () => {
  under = await startApiUnderTest()
  relay = await startRelay(under.api.url)
})
afterAll(async () => {
  relay?.close()
  await under?.close()
})

const clientOf = ({ key }: TenantUnderTest) =>
  createClient({
    url: `${relay.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${key}` },
    // At once; by itself it would wait a second or more.
    retryWait: async () => {},
  })

describe('graphql-ws’s client', () => {
  it('is told every step once: it connects again by itself, with the variables as they are by then', async () => {
    const tenant = await under.tenant()
    const client = clientOf(tenant)
    const others = await expectEveryStepOnce(under, tenant, relay, (jobId, tell) => {
      const variables: MetricVariables = { jobId, after: null }
      return new Promise((resolve, reject) => {
        client.subscribe<{ jobMetrics: MetricEvent }>(
          { query: metricsDocument, variables: variables as unknown as Record<string, unknown> },
          {
            next({ data }) {
              if (!data) return
              variables.after = data.jobMetrics.cursor
              tell(data.jobMetrics)
            },
            error: reject,
            complete: resolve,
          },
        )
      })
    })
    expect(others).toMatchObject([completed])
    await client.dispose()
  })

  it('runs queries and mutations, too, and has our code in their errors', async () => {
    const tenant = await under.tenant()
    const jobId = await knownJob(under, tenant, { status: 'TRAINING' })
    const client = clientOf(tenant)
    const answer = async (query: string) => (await client.iterate({ query }).next()).value
    const pause = `mutation { pauseJob(jobId: "${jobId}") { ... on PauseJobSuccess { job { status } } } }`
    expect(await answer(pause)).toEqual({ data: { pauseJob: { job: { status: 'PAUSED' } } } })
    expect(await answer('{ job(jobId: "job_unknown") { id } }')).toMatchObject({ errors: [{ extensions: { code: 'JOB_NOT_FOUND' } }] })
    await client.dispose()
  })
})
