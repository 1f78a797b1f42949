import { EventEmitter, once } from 'node:events'
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, gql, HttpLink, InMemoryCache } from '@apollo/client'
import { GraphQLWsLink } from '@apollo/client/link/subscriptions'
import { createClient } from 'graphql-ws'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import WebSocket from 'ws'
import { type ApiUnderTest, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'
import {
  completed,
  expectEveryStepOnce,
  knownJob,
  type MetricEvent,
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
  // Every browser has one, and Apollo's link looks at it.
  vi.stubGlobal('WebSocket', WebSocket)
})
afterAll(async () => {
  relay?.close()
  await under?.close()
})

const jobQuery = gql`query ($jobId: ID!) { job(jobId: $jobId) { id status } }`
const pauseJob = gql`mutation ($jobId: ID!) {
  pauseJob(jobId: $jobId) { ... on PauseJobSuccess { job { id status } } ... on Error { code message } }
}`

/** A client as https://www.apollographql.com/docs/react/data/subscriptions sets it up. */
async function apolloClient(tenant: TenantUnderTest) {
  const headers = { authorization: `Bearer ${tenant.key}` }
  const socket = createClient({
    url: `${relay.url.replace('http', 'ws')}/graphql`,
    connectionParams: headers,
    // A retry of its own would send the same `after` again.
    retryAttempts: 0,
  })
  const link = ApolloLink.split(
    ({ operationType }) => operationType === 'subscription',
    new GraphQLWsLink(socket),
    new HttpLink({ uri: `${relay.url}/graphql`, headers }),
  )
  const { data } = await tenant.graphql('{ __schema { types { name possibleTypes { name } } } }')
  const types: { name: string; possibleTypes: { name: string }[] | null }[] = data.__schema.types
  const possibleTypes = Object.fromEntries(types.map(({ name, possibleTypes }) => [name, (possibleTypes ?? []).map(({ name }) => name)]))
  const client = new ApolloClient({ link, cache: new InMemoryCache({ possibleTypes }) })
  return {
    client,
    async close() {
      client.stop()
      await socket.dispose()
    },
  }
}

describe('Apollo Client', () => {
  it('is told every step once, though its connection breaks', async () => {
    const tenant = await under.tenant()
    const { client, close } = await apolloClient(tenant)
    const follow = resubscribing(
      (variables, tell) =>
        new Promise((resolve, reject) => {
          // Messages of a stream have no ids: none of them takes the place of the one before, so they are not for the cache.
          const options = { query: gql(metricsDocument), variables, fetchPolicy: 'no-cache' } as const
          client.subscribe<{ jobMetrics: MetricEvent }>(options).subscribe({
            next: ({ data, error }) => (error ? reject(error) : data && tell(data.jobMetrics)),
            error: reject,
            complete: resolve,
          })
        }),
      (error) => error instanceof Error && error.message.startsWith('Socket closed'),
    )
    expect(await expectEveryStepOnce(under, tenant, relay, follow)).toMatchObject([completed])
    await close()
  })

  it('has the new status of a job in its cache after a message of jobUpdated', async () => {
    const tenant = await under.tenant()
    const jobId = await knownJob(under, tenant)
    const { client, close } = await apolloClient(tenant)
    const statuses: string[] = []
    const seen = new EventEmitter()
    client.watchQuery<{ job: { status: string } }>({ query: jobQuery, variables: { jobId } }).subscribe(({ data }) => {
      if (!data?.job?.status) return
      statuses.push(data.job.status)
      seen.emit(data.job.status)
    })
    await once(seen, 'QUEUED')
    const query = gql`subscription ($jobId: ID!) { jobUpdated(jobId: $jobId) { cursor event { type } job { id status } } }`
    const isTraining = once(seen, 'TRAINING')
    client.subscribe<{ jobUpdated: { event: object | null } }>({ query, variables: { jobId } }).subscribe(({ data }) => {
      // The first message tells the job as it is.
      if (data?.jobUpdated.event === null) under.stub.change(jobId, { status: 'TRAINING' })
    })
    await isTraining
    expect(statuses).toEqual(['QUEUED', 'TRAINING'])
    expect(client.readQuery({ query: jobQuery, variables: { jobId } })).toMatchObject({ job: { status: 'TRAINING' } })
    await close()
  })

  it('has the answer of a mutation in its cache, and tells a refused one as its error type', async () => {
    const tenant = await under.tenant()
    const jobId = await knownJob(under, tenant, { status: 'TRAINING' })
    const { client, close } = await apolloClient(tenant)
    await client.query({ query: jobQuery, variables: { jobId } })
    await client.mutate({ mutation: pauseJob, variables: { jobId } })
    expect(client.readQuery({ query: jobQuery, variables: { jobId } })).toMatchObject({ job: { status: 'PAUSED' } })
    const { data } = await client.mutate({ mutation: pauseJob, variables: { jobId: 'job_unknown' } })
    expect(data).toMatchObject({ pauseJob: { __typename: 'RequestFailed', code: 'JOB_NOT_FOUND' } })
    await close()
  })

  it('throws CombinedGraphQLErrors with our code from a query, and hands it on from a subscription', async () => {
    const tenant = await under.tenant()
    const { client, close } = await apolloClient(tenant)
    const variables = { jobId: 'job_unknown' }
    const codes = (error: unknown) => CombinedGraphQLErrors.is(error) && error.errors.map(({ extensions }) => extensions?.code)
    expect(codes(await client.query({ query: jobQuery, variables }).catch((error: unknown) => error))).toEqual(['JOB_NOT_FOUND'])
    const told = new Promise((resolve) => {
      client.subscribe({ query: gql(metricsDocument), variables }).subscribe(({ error }) => resolve(error))
    })
    expect(codes(await told)).toEqual(['JOB_NOT_FOUND'])
    await close()
  })
})
