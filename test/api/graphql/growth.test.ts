import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newEvaluationId } from '../../../src/contract/ids.js'
import { toTimestamp } from '../../../src/contract/proto.js'
import { type ApiUnderTest, eventually, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'
import { type CountedDatabase, countedDatabase } from '../../support/counted-database.js'

let counted: CountedDatabase
let under: ApiUnderTest
let tenant: TenantUnderTest

beforeAll(async () => {
  counted = await countedDatabase()
  under = await startApiUnderTest({ DATABASE_URL: counted.url })
  tenant = await under.tenant()
  const begun = Date.now()
  for (let i = 0; i < 60; i++) {
    const created_at = toTimestamp(new Date(begun + i))
    const { job_id } = under.stub.addJob(tenant.id, { created_at, nodes: ['n1'], status: i % 2 ? 'QUEUED' : 'TRAINING' })
    under.stub.writeMetrics(job_id, 2)
    under.stub.blockers.set(job_id, [{ kind: 'GPUS', need: 1, have: 0 }])
    under.stub.addJob(tenant.id, { job_id: newEvaluationId(), labels: { type: 'evaluation' }, evaluation: { job_id }, created_at })
  }
  await eventually(async () => (await tenant.graphql('{ jobs { totalCount } }')).data.jobs.totalCount === 60)
  await eventually(
    async () =>
      (await tenant.graphql('{ jobs(filter: { labels: [{ key: "type", value: "evaluation" }] }) { totalCount } }')).data.jobs.totalCount ===
      60,
  )
})
afterAll(async () => {
  await under?.close()
  counted?.close()
})

const page = `query ($first: Int!) { jobs(first: $first) { nodes {
  jobId queuePosition estimatedStart
  blockers { kind }
  nodes { nodeId }
  latestMetrics { name }
  checkpoints(first: 3) { nodes { checkpointId } }
  evaluations(first: 3) { nodes { evaluationId } }
  lineage { nodes { id } }
} } }`

/** What a page of so many jobs costs: the calls and the statements, by name and number. */
async function costOf(first: number) {
  const calls = under.stub.requests.length
  const statements = counted.statements.length
  const { data, errors } = await tenant.graphql(page, { first })
  expect(errors).toBeUndefined()
  expect(data.jobs.nodes).toHaveLength(first)
  return {
    nodes: data.jobs.nodes,
    calls: under.stub.requests
      .slice(calls)
      .map(({ method }) => method)
      .sort(),
    statements: counted.statements.slice(statements),
  }
}

describe('A page of jobs with all that belongs to them', () => {
  it('costs as many database queries and calls of the coordinator with 50 jobs as with 10', async () => {
    // Another page than those that are counted, for one that is asked for again may be answered from memory.
    await costOf(5)
    const ten = await costOf(10)
    const fifty = await costOf(50)
    expect(fifty.calls).toEqual(ten.calls)
    expect(fifty.calls).toEqual(['BatchGetLatestMetrics', 'BatchListCheckpoints', 'BatchListCheckpoints', 'GetQueue', 'ListNodes'])
    expect(fifty.statements.length).toBe(ten.statements.length)
    expect(fifty.statements.length).toBeGreaterThan(0)
    expect(fifty.statements.length).toBeLessThanOrEqual(4)
    const waiting = fifty.nodes.find(({ queuePosition }: { queuePosition: number | null }) => queuePosition !== null)
    expect(waiting).toMatchObject({
      blockers: [{ kind: 'GPUS' }],
      nodes: [{ nodeId: 'n1' }],
      checkpoints: { nodes: [{ checkpointId: 'c1' }] },
      evaluations: { nodes: [{ evaluationId: expect.stringMatching(/^eval_/) }] },
    })
    expect(waiting.latestMetrics).toHaveLength(2)
  })
})
