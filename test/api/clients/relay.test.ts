import { createClient } from 'graphql-ws'
import {
  type ConcreteRequest,
  commitMutation,
  createOperationDescriptor,
  Environment,
  fetchQuery,
  type GraphQLResponse,
  type GraphQLSingularResponse,
  getRequest,
  Network,
  type NormalizationSelection,
  Observable,
  type OperationType,
  type ReaderSelection,
  RecordSource,
  type RelayFieldLogger,
  requestSubscription,
  Store,
  type Variables,
} from 'relay-runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
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
})
afterAll(async () => {
  relay?.close()
  await under?.close()
})

/** An environment as https://relay.dev/docs/guided-tour/updating-data/graphql-subscriptions sets it up. */
function relayEnvironment(tenant: TenantUnderTest, relayFieldLogger: RelayFieldLogger = () => {}) {
  const headers = { authorization: `Bearer ${tenant.key}` }
  const socket = createClient({
    url: `${relay.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: headers,
    // A retry of its own would send the same `after` again.
    retryAttempts: 0,
  })
  const network = Network.create(
    async ({ text }, variables) => {
      const response = await fetch(`${relay.url}/graphql`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify({ query: text, variables }),
      })
      return (await response.json()) as GraphQLResponse
    },
    ({ name, text }, variables) =>
      Observable.create((sink) =>
        socket.subscribe(
          { operationName: name, query: text ?? '', variables },
          { ...sink, next: (message) => sink.next(message as GraphQLSingularResponse) },
        ),
      ),
  )
  return new Environment({ network, store: new Store(new RecordSource()), relayFieldLogger })
}

// What Relay's compiler would make of the operations: for fields without fragments, what is written to the store and what is read from it have one shape.
type Selection = NormalizationSelection & ReaderSelection
const field = (name: string) => ({ kind: 'ScalarField', name, alias: null, args: null, storageKey: null }) as Selection
const linked = (name: string, concreteType: string | null, selections: Selection[], { variables = [] as string[], plural = false } = {}) =>
  ({
    kind: 'LinkedField',
    name,
    alias: null,
    args: variables.map((variable) => ({ kind: 'Variable', name: variable, variableName: variable })),
    storageKey: null,
    concreteType,
    plural,
    selections,
  }) as Selection
const on = (type: string, selections: Selection[], abstractKey: string | null = null) =>
  ({ kind: 'InlineFragment', type, abstractKey, selections }) as Selection

function operation(
  kind: 'query' | 'mutation' | 'subscription',
  text: string,
  variables: string[],
  selections: Selection[],
  metadata: object = {},
): ConcreteRequest {
  const name = /^\w+ (\w+)/.exec(text)?.[1] ?? ''
  const argumentDefinitions = variables.map((variable) => ({ kind: 'LocalArgument', name: variable, defaultValue: null }) as const)
  const type = { query: 'Query', mutation: 'Mutation', subscription: 'Subscription' }[kind]
  return getRequest({
    kind: 'Request',
    fragment: { kind: 'Fragment', name, type, metadata, argumentDefinitions, selections },
    operation: { kind: 'Operation', name, argumentDefinitions, selections },
    params: { cacheID: name, id: null, metadata: {}, name, operationKind: kind, text },
  })
}

const jobMetrics = operation(
  'subscription',
  metricsDocument,
  ['jobId', 'after'],
  [
    linked(
      'jobMetrics',
      null,
      [
        field('__typename'),
        on('MetricBatch', [field('cursor'), linked('records', 'MetricRecord', [field('step')], { plural: true })]),
        on('StreamGap', [field('cursor'), field('reason')]),
        on('StreamEnd', [field('cursor'), field('status')]),
      ],
      { variables: ['jobId', 'after'] },
    ),
  ],
)
const jobText = 'query JobQuery($jobId: ID!) { job(jobId: $jobId) { id status } }'
const jobSelections = [linked('job', 'Job', [field('id'), field('status')], { variables: ['jobId'] })]
const job = operation('query', jobText, ['jobId'], jobSelections)
// `query JobQuery @throwOnFieldError { … }`; the compiler takes its own directives out of the text.
const strictJob = operation('query', jobText, ['jobId'], jobSelections, { throwOnFieldError: true })
const jobUpdated = operation(
  'subscription',
  'subscription JobUpdated($jobId: ID!) { jobUpdated(jobId: $jobId) { cursor job { status id } } }',
  ['jobId'],
  [linked('jobUpdated', 'JobUpdate', [field('cursor'), linked('job', 'Job', [field('id'), field('status')])], { variables: ['jobId'] })],
)
// As the compiler writes it: with a field that says which of the answers are an Error.
const pauseJobText = `mutation PauseJob($jobId: ID!) {
  pauseJob(jobId: $jobId) { __typename ... on PauseJobSuccess { job { status id } } ... on Error { __isError: __typename code message } }
}`
const pauseJob = operation(
  'mutation',
  pauseJobText,
  ['jobId'],
  [
    linked(
      'pauseJob',
      null,
      [
        field('__typename'),
        on('PauseJobSuccess', [linked('job', 'Job', [field('id'), field('status')])]),
        on('Error', [field('code'), field('message')], '__isError'),
      ],
      { variables: ['jobId'] },
    ),
  ],
)

interface Shown {
  job: { id: string; status: string }
}

/** Reads a job into the store, as a page that shows it does; answers how to look at what the store has of it. */
async function showJob(environment: Environment, jobId: string) {
  const shown = createOperationDescriptor(job, { jobId })
  environment.retain(shown)
  await fetchQuery(environment, job, { jobId }).toPromise()
  return { status: () => (environment.lookup(shown.fragment).data as unknown as Shown).job.status }
}

describe('Relay', () => {
  it('is told every step once, though its connection breaks', async () => {
    const tenant = await under.tenant()
    const environment = relayEnvironment(tenant)
    const follow = resubscribing(
      (variables, tell) =>
        new Promise((resolve, reject) => {
          requestSubscription<{ response: { jobMetrics: MetricEvent }; variables: Variables }>(environment, {
            subscription: jobMetrics,
            variables,
            onNext: (response) => response && tell(response.jobMetrics),
            onError: reject,
            onCompleted: resolve,
          })
        }),
      // The event that the socket was closed with.
      (error) => (error as { code?: unknown }).code === 1006,
    )
    expect(await expectEveryStepOnce(under, tenant, relay, follow)).toMatchObject([completed])
  })

  it('has the new status of a job in its store after a message of jobUpdated', async () => {
    const tenant = await under.tenant()
    const jobId = await knownJob(under, tenant)
    const environment = relayEnvironment(tenant)
    const shown = await showJob(environment, jobId)
    expect(shown.status()).toBe('QUEUED')
    await new Promise<void>((resolve) => {
      let messages = 0
      requestSubscription(environment, {
        subscription: jobUpdated,
        variables: { jobId },
        onNext: () => (++messages === 1 ? under.stub.change(jobId, { status: 'COMPLETED' }) : undefined),
        onCompleted: resolve,
      })
    })
    expect(shown.status()).toBe('COMPLETED')
  })

  it('runs a mutation, and reads a refused one as an Error', async () => {
    const tenant = await under.tenant()
    const jobId = await knownJob(under, tenant, { status: 'TRAINING' })
    const environment = relayEnvironment(tenant)
    const shown = await showJob(environment, jobId)
    expect(shown.status()).toBe('TRAINING')
    const pause = (id: string) =>
      new Promise<OperationType['response']>((resolve, reject) => {
        commitMutation(environment, { mutation: pauseJob, variables: { jobId: id }, onCompleted: resolve, onError: reject })
      })
    await pause(jobId)
    expect(shown.status()).toBe('PAUSED')
    expect(await pause('job_unknown')).toMatchObject({ pauseJob: { __typename: 'RequestFailed', code: 'JOB_NOT_FOUND' } })
  })

  it('is told of a job that is not there as a field error, with our code', async () => {
    const tenant = await under.tenant()
    const told: Parameters<RelayFieldLogger>[0][] = []
    const environment = relayEnvironment(tenant, (event) => told.push(event))
    await expect(fetchQuery(environment, strictJob, { jobId: 'job_unknown' }).toPromise()).rejects.toThrow('Unexpected response payload')
    expect(told).toMatchObject([{ kind: 'relay_field_payload.error', error: { extensions: { code: 'JOB_NOT_FOUND' } } }])
  })

  it('finds our code in the source of the error of a subscription', async () => {
    const tenant = await under.tenant()
    const environment = relayEnvironment(tenant)
    const told = new Promise((_resolve, reject) => {
      requestSubscription(environment, { subscription: jobMetrics, variables: { jobId: 'job_unknown' }, onError: reject })
    })
    await expect(told).rejects.toMatchObject({ source: { errors: [{ extensions: { code: 'JOB_NOT_FOUND' } }] } })
  })
})
