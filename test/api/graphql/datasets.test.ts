import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, startApiUnderTest } from '../../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())
afterEach(() => under.stub.refusals.clear())

const list = `query ($first: Int, $after: String, $hash: String) { datasets(first: $first, after: $after, contentHash: $hash) {
  totalCount pageInfo { hasNextPage hasPreviousPage endCursor } edges { cursor node { datasetId } }
} }`
interface Page {
  totalCount: number
  pageInfo: { hasNextPage: boolean; endCursor: string }
  edges: { cursor: string; node: { datasetId: string } }[]
}

describe('A data set', () => {
  it('is found by its own id and its global one, in its tenant only', async () => {
    const [tenant, other] = [await under.tenant(), await under.tenant()]
    const { dataset_id } = under.stub.nouns.addDataset(tenant.id)
    const query = `query ($id: ID!) { dataset(datasetId: $id) {
      id datasetId name format bytes records tokensEstimate sample contentHash userId createdAt
    } }`
    const { data } = await tenant.graphql(query, { id: dataset_id })
    expect(data.dataset).toMatchObject({ datasetId: dataset_id, format: 'jsonl', bytes: 12, records: 2, tokensEstimate: 7, userId: 'user' })
    expect((await tenant.graphql(query, { id: data.dataset.id })).data.dataset.datasetId).toBe(dataset_id)
    const node = 'query ($id: ID!) { node(id: $id) { ... on Dataset { datasetId } } }'
    expect((await tenant.graphql(node, { id: data.dataset.id })).data.node).toEqual({ datasetId: dataset_id })
    expect((await other.graphql(node, { id: data.dataset.id })).data.node).toBeNull()
    for (const id of [dataset_id, 'nonsense', 'a b']) {
      const refused = await other.graphql(query, { id })
      expect([refused.data.dataset, refused.errors?.[0]?.extensions.code]).toEqual([null, 'DATASET_NOT_FOUND'])
    }
  })

  it('is copied to nodes and evicted from them; a data set or node that is not there is named', async () => {
    const tenant = await under.tenant()
    const { dataset_id } = under.stub.nouns.addDataset(tenant.id)
    const prefetch = `mutation ($id: ID!, $nodes: [ID!]) { it: prefetchDataset(datasetId: $id, nodes: $nodes, pin: true) {
      ... on PrefetchDatasetSuccess { cachedDataset { datasetId nodeIds nodes { hostname } pinned bytes } } ... on Error { code }
    } }`
    expect((await tenant.graphql(prefetch, { id: dataset_id, nodes: ['n2'] })).data.it.cachedDataset).toEqual({
      datasetId: dataset_id,
      nodeIds: ['n2'],
      nodes: [{ hostname: 'n2' }],
      pinned: true,
      bytes: 12,
    })
    expect((await tenant.graphql(prefetch, { id: dataset_id, nodes: ['nowhere'] })).data.it).toEqual({ code: 'NODE_NOT_FOUND' })
    expect((await tenant.graphql(prefetch, { id: 'data_x' })).data.it).toEqual({ code: 'DATASET_NOT_FOUND' })
    const evict =
      'mutation ($id: ID!) { it: evictDataset(datasetId: $id) { ... on EvictDatasetSuccess { bytesFreed } ... on Error { code } } }'
    expect((await tenant.graphql(evict, { id: dataset_id })).data.it).toEqual({ bytesFreed: '9007199254740993' })
    expect((await tenant.graphql(evict, { id: 'data_x' })).data.it).toEqual({ code: 'DATASET_NOT_FOUND' })
    const engineer = await under.tenant(['scaimind:manage'])
    expect((await engineer.graphql(evict, { id: dataset_id })).data.it).toEqual({ code: 'AUTHZ_PERMISSION_DENIED' })
  })
})

describe('datasets', () => {
  it('are read page by page, newest first, from any cursor, while others are added', async () => {
    const tenant = await under.tenant()
    const made = Array.from({ length: 7 }, () => under.stub.nouns.addDataset(tenant.id).dataset_id).reverse()
    const page = async (variables: object): Promise<Page> => (await tenant.graphql(list, { ...variables })).data.datasets
    const ids = ({ edges }: Page) => edges.map(({ node }) => node.datasetId)

    const first = await page({ first: 3 })
    expect([ids(first), first.totalCount, first.pageInfo.hasNextPage]).toEqual([made.slice(0, 3), 7, true])
    under.stub.nouns.addDataset(tenant.id)
    const second = await page({ first: 3, after: first.pageInfo.endCursor })
    expect(ids(second)).toEqual(made.slice(3, 6))
    const third = await page({ first: 3, after: second.pageInfo.endCursor })
    expect([ids(third), third.pageInfo.hasNextPage]).toEqual([made.slice(6), false])
    const fromWithin = await page({ first: 2, after: first.edges[0]?.cursor })
    expect([ids(fromWithin), fromWithin.pageInfo.hasNextPage]).toEqual([made.slice(1, 3), true])
    expect(ids(await page({ first: 2, after: fromWithin.pageInfo.endCursor }))).toEqual(made.slice(3, 5))
  })

  it('are found by their contents', async () => {
    const tenant = await under.tenant()
    under.stub.nouns.addDataset(tenant.id)
    const { dataset_id } = under.stub.nouns.addDataset(tenant.id, { content_hash: 'sha256:this' })
    const { data } = await tenant.graphql(list, { hash: 'sha256:this' })
    expect(data.datasets.edges).toMatchObject([{ node: { datasetId: dataset_id } }])
  })

  it('cannot be read backwards, nor after a cursor of another list', async () => {
    const tenant = await under.tenant()
    const refusal = async (args: string) => (await tenant.graphql(`{ datasets(${args}) { totalCount } }`)).errors?.[0]?.extensions
    expect(await refusal('last: 3')).toMatchObject({ code: 'VALIDATION_ERROR', fields: [{ path: 'last' }] })
    expect(await refusal('before: "x"')).toMatchObject({ code: 'VALIDATION_ERROR', fields: [{ path: 'before' }] })
    expect(await refusal('after: "x"')).toMatchObject({ code: 'CURSOR_INVALID' })
    expect(await refusal('first: 0')).toMatchObject({ code: 'VALIDATION_ERROR', fields: [{ path: 'first' }] })
  })

  it('are not there while the coordinator is away', async () => {
    const tenant = await under.tenant()
    under.stub.refusals.set('ListDatasets', { code: 'COORDINATOR_UNAVAILABLE', message: 'away' })
    expect((await tenant.graphql(list)).errors?.[0]?.extensions).toMatchObject({ code: 'COORDINATOR_UNAVAILABLE', retryAfterSeconds: 2 })
  })
})

it('dataCache lists the copies with their nodes', async () => {
  const tenant = await under.tenant()
  under.stub.nouns.cachedDatasets.push({
    dataset_id: 'd1',
    path: '/cache/d1',
    content_hash: 'sha256:d',
    bytes: '5',
    nodes: ['n1', 'gone'],
    pinned: false,
  })
  const { data } = await tenant.graphql('{ dataCache { totalCount nodes { datasetId path nodeIds nodes { nodeId } lastUsed pinned } } }')
  expect(data.dataCache).toEqual({
    totalCount: 1,
    nodes: [{ datasetId: 'd1', path: '/cache/d1', nodeIds: ['n1', 'gone'], nodes: [{ nodeId: 'n1' }], lastUsed: null, pinned: false }],
  })
})

describe('validateData', () => {
  const query = `query ($sources: [DataSourceInput!]!, $preprocess: PreprocessConfigInput, $type: TrainingType) {
    validateData(sources: $sources, preprocess: $preprocess, trainingType: $type) { path readable records problems { line message } }
  }`

  it('says for each source what it holds and what is wrong with it, by line', async () => {
    const tenant = await under.tenant()
    under.stub.nouns.reports = [
      { path: 'a.jsonl', readable: true, records: '2', problems: [{ line: '3', message: 'This is not JSON.' }] },
      { path: 'b.jsonl', readable: false, problems: [{ line: '0', message: 'There is no such file.' }] },
    ]
    const { data } = await tenant.graphql(query, {
      sources: [{ path: 'a.jsonl', filters: [{ key: 'lang', value: 'en' }] }, { path: 'b.jsonl' }],
      preprocess: { fieldMapping: [{ key: 'text', value: 'body' }] },
      type: 'SFT',
    })
    expect(data.validateData).toEqual([
      { path: 'a.jsonl', readable: true, records: 2, problems: [{ line: 3, message: 'This is not JSON.' }] },
      { path: 'b.jsonl', readable: false, records: 0, problems: [{ line: null, message: 'There is no such file.' }] },
    ])
    expect(under.stub.requests.findLast(({ method }) => method === 'ValidateSources')?.request).toMatchObject({
      sources: [{ path: 'a.jsonl', filters: { lang: 'en' } }, { path: 'b.jsonl' }],
      preprocess: { field_mapping: { text: 'body' } },
      training_type: 'SFT',
    })
  })

  it('refuses no sources and sources without a path', async () => {
    const tenant = await under.tenant()
    expect((await tenant.graphql(query, { sources: [] })).errors?.[0]?.extensions).toMatchObject({ fields: [{ path: 'sources' }] })
    expect((await tenant.graphql(query, { sources: [{ path: '' }] })).errors?.[0]?.extensions).toMatchObject({
      code: 'VALIDATION_ERROR',
      fields: [{ path: 'sources[0].path' }],
    })
  })
})
