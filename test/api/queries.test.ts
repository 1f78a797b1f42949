import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, eventually, startApiUnderTest } from '../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())

const submit = `mutation ($input: SubmitJobInput!, $dryRun: Boolean, $key: String) {
  submitJob(input: $input, dryRun: $dryRun, idempotencyKey: $key) {
    __typename
    ... on SubmitJobSuccess { job { id jobId name status stale labels { key value } trainingConfig { trainingType hyperparametersJson } } plan { records totalSteps } estimatedWaitSeconds }
    ... on Error { code message }
    ... on InvalidInput { fields { path message } }
  }
}`
const input = {
  name: 'tiny',
  labels: [{ key: 'team', value: 'nlp' }],
  trainingConfig: {
    trainingType: 'LORA',
    baseModel: { modelId: 'scaimind/byte-tiny' },
    hyperparameters: [{ key: 'max_steps', value: '10' }],
  },
  dataConfig: { sources: [{ path: '/data/a.jsonl' }], seed: '9007199254740993' },
  resourceConfig: { gpuCount: 0 },
}

describe('Queries and submissions', () => {
  it('a submitted job can be read at once, by its own id, by its global one and in the list', async () => {
    const tenant = await under.tenant()
    const { data } = await tenant.graphql(submit, { input })
    const { job, estimatedWaitSeconds } = data.submitJob
    expect(job).toMatchObject({ name: 'tiny', status: 'QUEUED', stale: false, labels: [{ key: 'team', value: 'nlp' }] })
    expect(job.trainingConfig.hyperparametersJson).toEqual({ max_steps: '10' })
    expect(estimatedWaitSeconds).toBe(1.5)
    const read = await tenant.graphql(
      `query ($own: ID!, $global: ID!) {
        own: job(jobId: $own) { id dataConfig { seed } }
        global: job(jobId: $global) { jobId }
        node(id: $global) { __typename ... on Job { name createdAt } }
        nodes(ids: [$global, "Sm9iOmpvYl9ub25l"]) { id }
        jobs { totalCount nodes { name } }
        viewer { tenantId roles permissions }
      }`,
      { own: job.jobId, global: job.id },
    )
    expect(read.errors).toBeUndefined()
    expect(read.data).toMatchObject({
      own: { id: job.id, dataConfig: { seed: '9007199254740993' } },
      global: { jobId: job.jobId },
      node: { __typename: 'Job', name: 'tiny' },
      nodes: [{ id: job.id }, null],
      jobs: { totalCount: 1, nodes: [{ name: 'tiny' }] },
      viewer: { tenantId: tenant.id, roles: ['tenant_admin'] },
    })
    expect(read.data.viewer.permissions).toHaveLength(4)
  })

  it('a dry run answers a plan and stores nothing', async () => {
    const tenant = await under.tenant()
    const { data } = await tenant.graphql(submit, { input, dryRun: true })
    expect(data.submitJob).toMatchObject({ job: null, plan: { records: 3, totalSteps: 10 } })
    expect((await tenant.graphql('{ jobs { totalCount } }')).data.jobs.totalCount).toBe(0)
  })

  it('a change that the coordinator tells comes into the cache at once', async () => {
    const tenant = await under.tenant()
    const { job_id } = under.stub.addJob(tenant.id)
    const read = () => tenant.graphql('{ jobs { nodes { jobId status } } }')
    await eventually(read, ({ data }) => data.jobs.nodes[0]?.jobId === job_id, 3000)
    under.stub.change(job_id, { status: 'TRAINING' })
    await eventually(read, ({ data }) => data.jobs.nodes[0]?.status === 'TRAINING', 3000)
    under.stub.remove(job_id)
    await eventually(read, ({ data }) => data.jobs.nodes.length === 0, 3000)
  })

  it('cluster, machines and queue are answered, and a job’s history', async () => {
    const tenant = await under.tenant()
    const { job_id } = under.stub.addJob(tenant.id, { nodes: ['n1'] })
    under.stub.writeMetrics(job_id, 3)
    under.stub.writeLogs(job_id, ['one', 'two', 'three'])
    await eventually(async () => (await tenant.graphql('{ jobs { totalCount } }')).data.jobs.totalCount === 1)
    const { data, errors } = await tenant.graphql(
      `query ($id: ID!) {
        cluster { nodesTotal engine stale }
        clusterNodes(first: 1) { totalCount nodes { nodeId memoryBytes } pageInfo { hasNextPage } }
        queue { depth entries { jobId job { jobId } } }
        job(jobId: $id, consistency: COORDINATOR) {
          latestMetrics { name value step }
          metrics(names: ["loss"]) { name points { step } }
          logs(first: 2) { nodes { text } pageInfo { hasNextPage endCursor } }
          last: logs(last: 1) { nodes { text } }
          events { type toStatus }
          checkpoints { nodes { checkpointId bytes metrics } }
          nodes { nodeId }
        }
      }`,
      { id: job_id },
    )
    expect(errors).toBeUndefined()
    expect(data).toMatchObject({
      cluster: { nodesTotal: 1, engine: 'stub', stale: false },
      clusterNodes: { totalCount: 2, nodes: [{ nodeId: 'n1', memoryBytes: 8589934592 }], pageInfo: { hasNextPage: true } },
      queue: { depth: 1, entries: [{ jobId: job_id, job: { jobId: job_id } }] },
      job: {
        metrics: [{ name: 'loss', points: [{ step: 1 }, { step: 2 }, { step: 3 }] }],
        logs: { nodes: [{ text: 'one' }, { text: 'two' }], pageInfo: { hasNextPage: true } },
        last: { nodes: [{ text: 'three' }] },
        events: [{ type: 'SUBMITTED', toStatus: 'QUEUED' }],
        checkpoints: { nodes: [{ checkpointId: 'c1', bytes: 99999999999, metrics: { loss: 1 } }] },
        nodes: [{ nodeId: 'n1' }],
      },
    })
    expect(data.job.latestMetrics).toContainEqual({ name: 'loss', value: 5 / 3, step: 3 })
  })

  it('another tenant’s job is not found, by whatever way it is asked for', async () => {
    const [tenant, other] = [await under.tenant(), await under.tenant()]
    const { job } = (await other.graphql(submit, { input })).data.submitJob
    const { data, errors } = await tenant.graphql(
      `query ($id: ID!, $global: ID!) {
        cached: job(jobId: $id) { name }
        asked: job(jobId: $id, consistency: COORDINATOR) { name }
        node(id: $global) { id }
        jobs { totalCount nodes { jobId } }
      }`,
      { id: job.jobId, global: job.id },
    )
    expect(data).toEqual({ cached: null, asked: null, node: null, jobs: { totalCount: 0, nodes: [] } })
    expect(errors?.map(({ path, extensions }) => [path?.[0], extensions.code]).sort()).toEqual([
      ['asked', 'JOB_NOT_FOUND'],
      ['cached', 'JOB_NOT_FOUND'],
    ])
  })

  it('lists are filtered, ordered and paged from either end', async () => {
    const tenant = await under.tenant()
    for (const name of ['c', 'a', 'b']) {
      const labels = [{ key: 'odd', value: String(name !== 'b') }]
      await tenant.graphql(submit, { input: { ...input, name, labels } })
    }
    const { data, errors } = await tenant.graphql(`{
      byName: jobs(orderBy: { field: NAME, direction: ASC }, first: 2) { nodes { name } pageInfo { hasNextPage endCursor } }
      last: jobs(orderBy: { field: NAME, direction: ASC }, last: 1) { nodes { name } pageInfo { hasPreviousPage } }
      labelled: jobs(filter: { labels: [{ key: "odd", value: "true" }], trainingType: [LORA] }) { totalCount nodes { name } }
    }`)
    expect(errors).toBeUndefined()
    expect(data).toMatchObject({
      byName: { nodes: [{ name: 'a' }, { name: 'b' }], pageInfo: { hasNextPage: true } },
      last: { nodes: [{ name: 'c' }], pageInfo: { hasPreviousPage: true } },
      labelled: { totalCount: 2, nodes: [{ name: 'a' }, { name: 'c' }] },
    })
    const next = await tenant.graphql(
      'query ($after: String) { jobs(orderBy: { field: NAME, direction: ASC }, after: $after) { nodes { name } } }',
      {
        after: data.byName.pageInfo.endCursor,
      },
    )
    expect(next.data.jobs.nodes).toEqual([{ name: 'c' }])
  })
})
