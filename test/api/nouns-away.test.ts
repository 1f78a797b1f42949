import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ApiUnderTest, eventually, startApiUnderTest } from '../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())

const errors = '__typename ... on Error { code } ... on RequestFailed { retryAfterSeconds }'

it('while the coordinator is away, evaluations, models and nodes are read as they were, and the rest is refused at once', async () => {
  const tenant = await under.tenant()
  const output = { kind: 'adapter', path: '/out', files: [], bytes: '1' }
  const { job_id } = under.stub.addJob(tenant.id, { status: 'COMPLETED', output })
  const { job_id: evaluationId } = under.stub.nouns.addEvaluation(tenant.id, { job_id })
  const isThere = async (id: string) => (await under.database.job.findUnique({ where: { jobId: id } })) !== null
  await eventually(() => isThere(evaluationId))
  await tenant.graphql('{ clusterNode(nodeId: "n1") { hostname } }')
  await eventually(async () => (await under.database.clusterSnapshot.findMany({ where: { tenantId: tenant.id } })).length > 0)
  under.stub.stop()
  await eventually(async () => {
    const { data } = await tenant.graphql(`{ evaluation(evaluationId: "${evaluationId}") { stale } }`)
    return data.evaluation.stale
  })

  const read = await tenant.graphql(
    `query ($id: ID!, $job: ID!) {
      evaluation(evaluationId: $id, consistency: COORDINATOR) { status stale }
      evaluations { totalCount nodes { stale } }
      modelArtefact(id: $job) { kind evaluations { nodes { stale } } }
      clusterNode(nodeId: "n1") { hostname }
      clusterNodes { stale }
    }`,
    { id: evaluationId, job: job_id },
  )
  expect(read.errors).toBeUndefined()
  expect(read.data).toEqual({
    evaluation: { status: 'QUEUED', stale: true },
    evaluations: { totalCount: 1, nodes: [{ stale: true }] },
    modelArtefact: { kind: 'adapter', evaluations: { nodes: [{ stale: true }] } },
    clusterNode: { hostname: 'n1' },
    clusterNodes: { stale: true },
  })

  const writes = await tenant.graphql(
    `mutation ($id: ID!) {
      a: submitEvaluation(input: { modelUri: "x", benchmarks: [{ name: "perplexity", dataset: "d" }] }) { ${errors} }
      b: cancelEvaluation(evaluationId: $id) { ${errors} }
      c: drainNode(nodeId: "n1") { ${errors} }
      d: enableNode(nodeId: "n1") { ${errors} }
      e: prefetchDataset(datasetId: "data_x") { ${errors} }
      f: evictDataset(datasetId: "data_x") { ${errors} }
    }`,
    { id: evaluationId },
  )
  const refusal = { __typename: 'RequestFailed', code: 'COORDINATOR_UNAVAILABLE', retryAfterSeconds: 2 }
  expect(writes.data).toEqual({ a: refusal, b: refusal, c: refusal, d: refusal, e: refusal, f: refusal })

  for (const query of [
    '{ datasets { totalCount } }',
    '{ dataCache { totalCount } }',
    '{ dataset(datasetId: "data_x") { name } }',
    '{ validateData(sources: [{ path: "x" }]) { path } }',
  ]) {
    const refused = await tenant.graphql(query)
    expect(refused.errors?.[0]?.extensions, query).toMatchObject({ code: 'COORDINATOR_UNAVAILABLE', retryAfterSeconds: 2 })
  }
})
