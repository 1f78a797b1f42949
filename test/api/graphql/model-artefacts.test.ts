import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toTimestamp } from '../../../src/contract/proto.js'
import type { Job } from '../../../src/generated/proto/scaimind/v1/Job.js'
import { type ApiUnderTest, eventually, startApiUnderTest } from '../../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())

const trained = (tenantId: string, hour: number, more: Partial<Job> = {}) =>
  under.stub.addJob(tenantId, {
    status: 'COMPLETED',
    finished_at: toTimestamp(new Date(hour * 3_600_000)),
    output: { kind: 'adapter', path: '/out', files: ['adapter.safetensors'], bytes: '9007199254740993', content_hash: 'sha256:o' },
    ...more,
  })
const cached = (jobId: string) => eventually(async () => (await under.database.job.findUnique({ where: { jobId } })) !== null)

describe('A model artefact', () => {
  it('is what a job left behind, found by its own id, its global one and its job’s', async () => {
    const tenant = await under.tenant()
    const { job_id } = trained(tenant.id, 1, { output_config: { register_as: 'devils-lora' } })
    const of = under.stub.nouns.addEvaluation(tenant.id, { job_id })
    under.stub.nouns.addEvaluation(tenant.id, { job_id, checkpoint_id: 'c1' })
    await cached(of.job_id)
    await eventually(
      async () =>
        (await tenant.graphql(`{ job(jobId: "${job_id}") { evaluations { nodes { id } } } }`)).data.job?.evaluations.nodes.length === 2,
    )
    const fields = `id artefactId kind name path files bytes contentHash job { jobId output { artefactId } } baseModel { modelId }
      evaluations { nodes { evaluationId } }`
    const query = `query ($id: ID!) { modelArtefact(id: $id) { ${fields} } }`
    const { data } = await tenant.graphql(query, { id: job_id })
    expect(data.modelArtefact).toMatchObject({
      artefactId: job_id,
      kind: 'adapter',
      name: 'devils-lora',
      path: '/out',
      files: ['adapter.safetensors'],
      bytes: '9007199254740993',
      contentHash: 'sha256:o',
      job: { jobId: job_id, output: { artefactId: job_id } },
      baseModel: { modelId: 'scaimind/byte-tiny' },
      evaluations: { nodes: [{ evaluationId: of.job_id }] },
    })
    expect((await tenant.graphql(query, { id: data.modelArtefact.id })).data.modelArtefact.artefactId).toBe(job_id)
    const node = `query ($id: ID!) { node(id: $id) { ... on ModelArtefact { artefactId } } }`
    expect((await tenant.graphql(node, { id: data.modelArtefact.id })).data.node).toEqual({ artefactId: job_id })
  })

  it('is not found where the job left none, or is another tenant’s', async () => {
    const [tenant, other] = [await under.tenant(), await under.tenant()]
    for (const { job_id } of [under.stub.addJob(tenant.id), trained(other.id, 1)]) {
      const { data, errors } = await tenant.graphql(`{ modelArtefact(id: "${job_id}") { kind } }`)
      expect([data.modelArtefact, errors?.[0]?.extensions.code]).toEqual([null, 'JOB_NOT_FOUND'])
    }
  })
})

it('modelArtefacts lists the latest finished first, by base model and label, both ways, without those of archived jobs', async () => {
  const tenant = await under.tenant()
  const made = [1, 2, 3].map((hour) => trained(tenant.id, hour, { labels: { team: hour === 2 ? 'b' : 'a' } }).job_id).reverse()
  const archived = trained(tenant.id, 4, { archived_at: toTimestamp(new Date()) }).job_id
  const running = under.stub.addJob(tenant.id)
  await cached(running.job_id)
  const list = `query ($filter: ModelArtefactFilter, $first: Int, $after: String, $last: Int) {
    modelArtefacts(filter: $filter, first: $first, after: $after, last: $last) {
      totalCount pageInfo { endCursor hasNextPage } nodes { artefactId }
    }
  }`
  const ask = async (variables: object) => {
    const { data } = await tenant.graphql(list, { ...variables })
    const { nodes, ...rest } = data.modelArtefacts
    return { ids: nodes.map(({ artefactId }: { artefactId: string }) => artefactId), ...rest }
  }
  const first = await ask({ first: 2 })
  expect(first).toMatchObject({ ids: made.slice(0, 2), totalCount: 3, pageInfo: { hasNextPage: true } })
  expect((await ask({ first: 2, after: first.pageInfo.endCursor })).ids).toEqual([made[2]])
  expect((await ask({ last: 1 })).ids).toEqual([made[2]])
  expect((await ask({ filter: { labels: [{ key: 'team', value: 'b' }] } })).ids).toEqual([made[1]])
  expect((await ask({ filter: { baseModel: 'another' } })).totalCount).toBe(0)
  expect((await ask({ filter: { archived: 'ONLY' } })).ids).toEqual([archived])
})
