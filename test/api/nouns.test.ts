import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Stack, startStack } from '../support/stack.js'
import type { Tenant } from '../support/tenant.js'

let stack: Stack

beforeAll(async () => {
  stack = await startStack()
})
afterAll(() => stack?.close())

const upload = `mutation ($file: Upload!) { it: uploadDataset(file: $file, name: "questions.jsonl") {
  __typename ... on UploadDatasetSuccess { dataset { datasetId name records contentHash } } ... on InvalidInput { fields { path message } } ... on Error { message }
} }`

async function send(tenant: Tenant, content: string) {
  const form = new FormData()
  form.set('operations', JSON.stringify({ query: upload, variables: { file: null } }))
  form.set('map', '{"0": ["variables.file"]}')
  form.set('0', new Blob([content]), 'questions.jsonl')
  const response = await fetch(`http://127.0.0.1:${stack.api.port}/graphql`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tenant.key}` },
    body: form,
  })
  // biome-ignore lint/suspicious/noExplicitAny: read as callers do, by name
  return ((await response.json()) as any).data.it
}

const records = (count: number) =>
  Array.from({ length: count }, (_, i) => JSON.stringify({ prompt: `What is ${i}?`, completion: ` It is ${i}.` })).join('\n')

it('a data set is uploaded, an evaluation runs on it, and two of them are compared', async () => {
  const tenant = await stack.tenant()
  const { dataset } = await send(tenant, records(4))
  expect(dataset).toMatchObject({ name: 'questions.jsonl', records: 4, contentHash: expect.stringMatching(/^sha256:/) })
  expect((await send(tenant, records(4))).dataset.datasetId).toBe(dataset.datasetId)
  expect(await tenant.data('{ datasets { totalCount nodes { datasetId } } }')).toEqual({
    datasets: { totalCount: 1, nodes: [{ datasetId: dataset.datasetId }] },
  })

  const submit = `mutation ($dataset: String!, $samples: Int) { it: submitEvaluation(input: {
    modelUri: "scaimind/byte-tiny", benchmarks: [{ name: "perplexity", dataset: $dataset, numSamples: $samples }]
  }) { ... on SubmitEvaluationSuccess { evaluation { evaluationId status } } ... on Error { message } ... on InvalidInput { fields { path message } } } }`
  const evaluate = async () => {
    const { it } = await tenant.data<{ it: { evaluation: { evaluationId: string } } }>(submit, { dataset: dataset.datasetId })
    expect(it).toMatchObject({ evaluation: { evaluationId: expect.stringMatching(/^eval_/) } })
    const { evaluationId } = it.evaluation
    let last: { status: string; message: string } | undefined
    const query = 'subscription ($id: ID!) { evaluationUpdated(evaluationId: $id) { status message } }'
    for await (const { evaluationUpdated } of tenant.subscribe<{ evaluationUpdated: { status: string; message: string } }>(query, {
      id: evaluationId,
    }))
      last = evaluationUpdated
    expect(last).toMatchObject({ status: 'COMPLETED' })
    return evaluationId
  }
  const ids = await Promise.all([evaluate(), evaluate()])
  const { compareEvaluations } = await tenant.data<{ compareEvaluations: { benchmarks: { scores: { name: string }[] }[] } }>(
    `query ($ids: [ID!]!) { compareEvaluations(evaluationIds: $ids) {
      benchmarks { name contentHash scores { name better bestEvaluationId values { evaluationId value numSamples } } }
    } }`,
    { ids },
  )
  expect(compareEvaluations.benchmarks).toHaveLength(1)
  expect(compareEvaluations.benchmarks[0]?.scores.find(({ name }) => name === 'perplexity')).toMatchObject({
    better: 'LOWER',
    bestEvaluationId: ids[0],
    values: ids.map((evaluationId) => ({ evaluationId, value: expect.any(Number), numSamples: 4 })),
  })
  const { evaluation } = await tenant.data<{ evaluation: { run: { logs: { nodes: unknown[] } } } }>(
    'query ($id: ID!) { evaluation(evaluationId: $id) { run { logs(first: 5) { nodes { text } } } } }',
    { id: ids[0] },
  )
  expect(evaluation.run.logs.nodes.length).toBeGreaterThan(0)
})

it('an upload with a record that is not usable is refused by its line, and leaves nothing', async () => {
  const tenant = await stack.tenant()
  const refused = await send(tenant, `${records(3)}\nnot json\n`)
  expect(refused).toMatchObject({ __typename: 'InvalidInput', fields: [{ message: expect.stringContaining('4') }] })
  expect(await tenant.data('{ datasets { totalCount } }')).toEqual({ datasets: { totalCount: 0 } })
})

it('validateData says what files hold and what is wrong with them, by line', async () => {
  const tenant = await stack.tenant()
  const good = tenant.file('good.jsonl', records(3))
  const bad = tenant.file('bad.jsonl', `${records(1)}\nnot json\n`)
  const { validateData } = await tenant.data<{ validateData: unknown[] }>(
    `query ($sources: [DataSourceInput!]!) { validateData(sources: $sources, trainingType: SFT) {
      path readable records tokensEstimate sample problems { line message }
    } }`,
    { sources: [{ path: good }, { path: bad }, { path: 'nowhere.jsonl' }] },
  )
  expect(validateData).toMatchObject([
    { path: good, readable: true, records: 3, problems: [] },
    { path: bad, readable: true, records: 1, problems: [{ line: 2 }] },
    { path: 'nowhere.jsonl', readable: false, records: 0 },
  ])
})

it('a data set is copied to the node, shown in the data cache, and evicted', async () => {
  const tenant = await stack.tenant()
  const { dataset } = await send(tenant, records(2))
  const id = dataset.datasetId
  const { prefetchDataset } = await tenant.data<{ prefetchDataset: object }>(
    `mutation ($id: ID!) { prefetchDataset(datasetId: $id, pin: true) {
      ... on PrefetchDatasetSuccess { cachedDataset { datasetId pinned nodeIds } } ... on Error { message }
    } }`,
    { id },
  )
  expect(prefetchDataset).toMatchObject({ cachedDataset: { datasetId: id, pinned: true, nodeIds: [expect.any(String)] } })
  expect(await tenant.data('{ dataCache { nodes { datasetId nodes { hostname } } } }')).toMatchObject({
    dataCache: { nodes: [{ datasetId: id, nodes: [{ hostname: expect.any(String) }] }] },
  })
  const { evictDataset } = await tenant.data<{ evictDataset: { bytesFreed: number } }>(
    'mutation ($id: ID!) { evictDataset(datasetId: $id) { ... on EvictDatasetSuccess { bytesFreed } ... on Error { message } } }',
    { id },
  )
  expect(evictDataset.bytesFreed).toBeGreaterThan(0)
  expect(await tenant.data('{ dataCache { totalCount } }')).toEqual({ dataCache: { totalCount: 0 } })
})

it('a node is drained with a reason, and takes work again', async () => {
  const tenant = await stack.tenant()
  const { clusterNodes } = await tenant.data<{ clusterNodes: { nodes: { nodeId: string }[] } }>('{ clusterNodes { nodes { nodeId } } }')
  const id = clusterNodes.nodes[0]?.nodeId
  const drain =
    'mutation ($id: ID!) { it: drainNode(nodeId: $id, reason: "new disks") { ... on DrainNodeSuccess { node { status reason } } } }'
  expect(await tenant.data(drain, { id })).toEqual({ it: { node: { status: 'DRAINING', reason: 'new disks' } } })
  expect(await tenant.data('query ($id: ID!) { clusterNode(nodeId: $id) { status } }', { id })).toEqual({
    clusterNode: { status: 'DRAINING' },
  })
  const enable = 'mutation ($id: ID!) { it: enableNode(nodeId: $id) { ... on EnableNodeSuccess { node { status reason } } } }'
  expect(await tenant.data(enable, { id })).toEqual({ it: { node: { status: 'ONLINE', reason: null } } })
})
