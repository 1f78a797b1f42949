import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { toTimestamp } from '../../../src/contract/proto.js'
import { type ApiUnderTest, eventually, startApiUnderTest } from '../../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())
afterEach(() => under.stub.refusals.clear())

const fields = `id registeredModelId name contentHash kind path files bytes baseModel { modelId } job { jobId } checkpointStep isCurrent registeredAt
  serveCommands { server command }`
const one = `query ($id: ID!) { registeredModel(registeredModelId: $id) { ${fields} } }`

describe('A registered model', () => {
  it('is found by its own id and its global one, with its job and the commands that serve it, in its tenant only', async () => {
    const [tenant, other] = [await under.tenant(), await under.tenant()]
    const { job_id } = under.stub.addJob(tenant.id)
    const { registered_model_id: id, path } = under.stub.nouns.addModel(tenant.id, { job_id, step: '40' })
    await eventually(async () => (await under.database.job.findUnique({ where: { jobId: job_id } })) !== null)
    const { data } = await tenant.graphql(one, { id })
    expect(data.registeredModel).toMatchObject({
      registeredModelId: id,
      name: 'tuned',
      kind: 'adapter',
      bytes: 12,
      baseModel: { modelId: 'org/base' },
      job: { jobId: job_id },
      checkpointStep: 40,
      isCurrent: true,
    })
    expect(data.registeredModel.serveCommands).toContainEqual({
      server: 'VLLM',
      command: `vllm serve org/base --enable-lora --lora-modules tuned=${path}`,
    })
    const globalId = data.registeredModel.id
    expect((await tenant.graphql(one, { id: globalId })).data.registeredModel.registeredModelId).toBe(id)
    const node = 'query ($id: ID!) { node(id: $id) { ... on RegisteredModel { name job { jobId } } } }'
    expect((await tenant.graphql(node, { id: globalId })).data.node.name).toBe('tuned')
    expect((await other.graphql(node, { id: globalId })).data.node).toBeNull()
    const refused = await other.graphql(one, { id })
    expect([refused.data.registeredModel, refused.errors?.[0]?.extensions.code]).toEqual([null, 'MODEL_NOT_FOUND'])
  })

  it('stands beside its job’s output, for as long as it is not deleted', async () => {
    const tenant = await under.tenant()
    const made = under.stub.nouns.addModel(tenant.id)
    const output = { kind: 'adapter', path: '/out', files: [], registered_model_id: made.registered_model_id, registered_path: '/m' }
    const ids = [output, { kind: 'model', path: '/out' }].map(
      (left) => under.stub.addJob(tenant.id, { status: 'COMPLETED', output: left, finished_at: toTimestamp(new Date()) }).job_id,
    )
    const query = '{ modelArtefacts { nodes { artefactId registeredPath registered { name } } } }'
    const nodes = () =>
      eventually(
        async () => (await tenant.graphql(query)).data.modelArtefacts.nodes,
        (found) => found.length === 2,
      )
    expect(await nodes()).toEqual(
      expect.arrayContaining([
        { artefactId: ids[0], registeredPath: '/m', registered: { name: 'tuned' } },
        { artefactId: ids[1], registeredPath: null, registered: null },
      ]),
    )
    const remove = `mutation ($id: ID!) { it: deleteRegisteredModel(registeredModelId: $id) {
      ... on DeleteRegisteredModelSuccess { registeredModelId } ... on Error { code }
    } }`
    const id = made.registered_model_id
    const viewer = await under.tenant(['tenant_viewer'])
    expect((await viewer.graphql(remove, { id })).data.it).toEqual({ code: 'AUTHZ_PERMISSION_DENIED' })
    expect((await (await under.tenant()).graphql(remove, { id })).data.it).toEqual({ code: 'MODEL_NOT_FOUND' })
    expect((await tenant.graphql(remove, { id })).data.it).toEqual({ registeredModelId: id })
    expect((await tenant.graphql(remove, { id })).data.it).toEqual({ code: 'MODEL_NOT_FOUND' })
    expect((await nodes()).map(({ registered }: { registered: unknown }) => registered)).toEqual([null, null])
  })
})

describe('registeredModels', () => {
  it('are the tenant’s, counted, by name, job and whether they are current', async () => {
    const tenant = await under.tenant()
    under.stub.nouns.addModel(await under.tenant().then(({ id }) => id))
    const ids = [{ name: 'a' }, { name: 'b', job_id: 'job_b' }, { name: 'b', current: false }]
      .map((more) => under.stub.nouns.addModel(tenant.id, more).registered_model_id)
      .reverse()
    const list = async (filter: object) => {
      const { data } = await tenant.graphql(
        `query ($filter: RegisteredModelFilter) { registeredModels(filter: $filter) { totalCount nodes { registeredModelId } } }`,
        { filter },
      )
      const { nodes, totalCount } = data.registeredModels
      expect(totalCount).toBe(nodes.length)
      return nodes.map(({ registeredModelId }: { registeredModelId: string }) => registeredModelId)
    }
    expect(await list({})).toEqual(ids)
    expect(await list({ name: 'b' })).toEqual(ids.slice(0, 2))
    expect(await list({ jobId: 'job_b' })).toEqual([ids[1]])
    expect(await list({ name: 'b', currentOnly: true })).toEqual([ids[1]])
  })

  it('are refused backwards, and by a cursor of another list', async () => {
    const tenant = await under.tenant()
    const codeOf = async (page: string) =>
      (await tenant.graphql(`{ registeredModels(${page}) { totalCount } }`)).errors?.[0]?.extensions.code
    expect([await codeOf('last: 1'), await codeOf('after: "x"')]).toEqual(['VALIDATION_ERROR', 'CURSOR_INVALID'])
  })
})
