import { Client, type CombinedError, cacheExchange, fetchExchange, subscriptionExchange } from '@urql/core'
import { createClient } from 'graphql-ws'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { onEnd, pipe, subscribe } from 'wonka'
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
  resubscribing,
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

const jobQuery = 'query ($jobId: ID!) { job(jobId: $jobId) { id status } }'
const pauseJob = `mutation ($jobId: ID!) {
  pauseJob(jobId: $jobId) { __typename ... on PauseJobSuccess { job { id status } } ... on Error { code message } }
}`

/** A client that subscribes over WebSocket, as https://nearform.com/open-source/urql/docs/advanced/subscriptions/ sets it up. */
function overWebSocket(tenant: TenantUnderTest): Client {
  const headers = { authorization: `Bearer ${tenant.key}` }
  const socket = createClient({
    url: `${relay.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: headers,
    // A retry of its own would send the same `after` again.
    retryAttempts: 0,
  })
  return new Client({
    url: `${relay.url}/graphql`,
    fetchOptions: { headers },
    exchanges: [
      cacheExchange,
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: (request) => ({
          subscribe: (sink) => ({ unsubscribe: socket.subscribe({ ...request, query: request.query ?? '' }, sink) }),
        }),
      }),
    ],
  })
}

/** A client that needs nothing but fetch: subscriptions come as server-sent events. */
function overFetch(tenant: TenantUnderTest): Client {
  return new Client({
    url: `${relay.url}/graphql`,
    fetchOptions: { headers: { authorization: `Bearer ${tenant.key}` } },
    fetchSubscriptions: true,
    exchanges: [cacheExchange, fetchExchange],
  })
}

describe.each([
  ['WebSocket', overWebSocket],
  ['fetch', overFetch],
])('urql over %s', (_name, clientOf) => {
  it('is told every step once, though its connection breaks', async () => {
    const tenant = await under.tenant()
    const client = clientOf(tenant)
    const follow = resubscribing(
      (variables, tell) =>
        new Promise((resolve, reject) => {
          let failure: CombinedError | undefined
          pipe(
            client.subscription<{ jobMetrics: MetricEvent }, MetricVariables>(metricsDocument, variables),
            onEnd(() => (failure ? reject(failure) : resolve())),
            subscribe(({ data, error, hasNext }) => {
              if (error) failure = error
              else if (data && hasNext) tell(data.jobMetrics)
            }),
          )
        }),
      (error) => (error as CombinedError).networkError !== undefined,
    )
    expect(await expectEveryStepOnce(under, tenant, relay, follow)).toMatchObject([completed])
  })

  it('runs a mutation, and asks anew for what it changed', async () => {
    const tenant = await under.tenant()
    const jobId = await knownJob(under, tenant, { status: 'TRAINING' })
    const client = clientOf(tenant)
    const statuses: string[] = []
    await new Promise<void>((resolve) => {
      client.query(jobQuery, { jobId }).subscribe(({ data }) => {
        statuses.push(data?.job.status)
        if (data?.job.status === 'TRAINING') void client.mutation(pauseJob, { jobId }).toPromise()
        if (data?.job.status === 'PAUSED') resolve()
      })
    })
    expect(statuses.at(-1)).toBe('PAUSED')
    const { data } = await client.mutation(pauseJob, { jobId: 'job_unknown' }).toPromise()
    expect(data).toMatchObject({ pauseJob: { __typename: 'RequestFailed', code: 'JOB_NOT_FOUND' } })
  })

  it('has our code in the CombinedError of a query and of a subscription', async () => {
    const tenant = await under.tenant()
    const client = clientOf(tenant)
    const codes = (error: CombinedError | undefined) => error?.graphQLErrors.map(({ extensions }) => extensions.code)
    const { error } = await client.query(jobQuery, { jobId: 'job_unknown' }).toPromise()
    expect(codes(error)).toEqual(['JOB_NOT_FOUND'])
    const told = new Promise<CombinedError | undefined>((resolve) => {
      client.subscription(metricsDocument, { jobId: 'job_unknown' }).subscribe(({ error }) => resolve(error))
    })
    expect(codes(await told)).toEqual(['JOB_NOT_FOUND'])
  })
})
