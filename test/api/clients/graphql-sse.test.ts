import { type Client, createClient } from 'graphql-sse'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'
import { completed, expectEveryStepOnce, knownJob, type MetricEvent, metricsDocument, type Relay, startRelay } from './support.js'

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

/** A client in distinct connections mode; it asks for its headers whenever it connects. */
const clientOf = ({ key }: TenantUnderTest, headers: () => { 'last-event-id'?: string } = () => ({})): Client =>
  createClient({
    url: `${relay.url}/graphql`,
    headers: () => ({ authorization: `Bearer ${key}`, ...headers() }),
    // At once; by itself it would wait a second or more.
    retry: async () => {},
  })

describe('graphql-sse’s client', () => {
  it('is told every step once: it connects again by itself, and a header says after which message', async () => {
    const tenant = await under.tenant()
    let after: string | undefined
    const client = clientOf(tenant, () => (after ? { 'last-event-id': after } : {}))
    const others = await expectEveryStepOnce(under, tenant, relay, async (jobId, tell) => {
      for await (const { data, errors } of client.iterate<{ jobMetrics: MetricEvent }>({ query: metricsDocument, variables: { jobId } })) {
        expect(errors).toBeUndefined()
        if (!data) continue
        after = data.jobMetrics.cursor
        tell(data.jobMetrics)
      }
    })
    expect(others).toMatchObject([completed])
    client.dispose()
  })

  it('runs queries and mutations, and tells a refused one as its error type', async () => {
    const tenant = await under.tenant()
    const jobId = await knownJob(under, tenant, { status: 'TRAINING' })
    const client = clientOf(tenant)
    const pause = async (id: string) => {
      const query = 'mutation ($id: ID!) { pauseJob(jobId: $id) { ... on PauseJobSuccess { job { status } } ... on Error { code } } }'
      const { value } = await client.iterate({ query, variables: { id } }).next()
      return value.data
    }
    expect(await pause(jobId)).toEqual({ pauseJob: { job: { status: 'PAUSED' } } })
    expect(await pause('job_unknown')).toEqual({ pauseJob: { code: 'JOB_NOT_FOUND' } })
    client.dispose()
  })

  it.each([
    ['a query', 'query ($jobId: ID!) { job(jobId: $jobId) { id } }'],
    ['a subscription', metricsDocument],
  ])('has our code in the errors of %s', async (_kind, query) => {
    const tenant = await under.tenant()
    const client = clientOf(tenant)
    const { value } = await client.iterate({ query, variables: { jobId: 'job_unknown' } }).next()
    expect(value.errors).toMatchObject([{ extensions: { code: 'JOB_NOT_FOUND' } }])
    client.dispose()
  })
})
