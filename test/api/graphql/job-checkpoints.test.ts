import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

let under: ApiUnderTest
let tenant: TenantUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
  tenant = await under.tenant()
})
afterAll(() => under?.close())

/** A job with so many checkpoints, newest first. */
function jobWith(count: number): string {
  const { job_id } = under.stub.addJob(tenant.id)
  save(job_id, count)
  return job_id
}
function save(jobId: string, count: number): void {
  const steps = Array.from({ length: count }, (_, i) => count - i)
  const of = (step: number) => ({ checkpoint_id: `ckpt_${jobId}_${step}`, job_id: jobId, attempt: 1, step: String(step) })
  under.stub.checkpoints.set(jobId, steps.map(of))
}

async function read(jobId: string, args: string) {
  const query = `query ($id: ID!) { job(jobId: $id) { checkpoints(${args}) { nodes { step } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }`
  const { data, errors } = await tenant.graphql(query, { id: jobId })
  const page = data?.job?.checkpoints
  return { steps: page?.nodes.map(({ step }: { step: number }) => step), ...page?.pageInfo, error: errors?.[0]?.extensions }
}

describe('Checkpoints', () => {
  it('are paged from the newest on, in step while new ones are saved', async () => {
    const id = jobWith(5)
    const first = await read(id, 'first: 2')
    expect(first).toMatchObject({ steps: [5, 4], hasNextPage: true, hasPreviousPage: false })
    save(id, 7)
    const second = await read(id, `first: 2, after: "${first.endCursor}"`)
    expect(second).toMatchObject({ steps: [3, 2], hasNextPage: true, hasPreviousPage: true })
    expect(await read(id, `first: 2, after: "${second.endCursor}"`)).toMatchObject({ steps: [1], hasNextPage: false })
    expect(await read(id, `last: 2, before: "${second.startCursor}"`)).toMatchObject({ steps: [5, 4], hasPreviousPage: true })
    expect(await read(id, 'last: 1')).toMatchObject({ steps: [1], hasNextPage: false, hasPreviousPage: true })
  })

  it('are the newest 20 where nothing is said', async () => {
    expect(await read(jobWith(30), 'after: null')).toMatchObject({ steps: Array.from({ length: 20 }, (_, i) => 30 - i), hasNextPage: true })
  })

  it.each([
    ['first: 0', { code: 'VALIDATION_ERROR', fields: [{ path: 'first' }] }],
    ['first: 1, last: 1', { code: 'VALIDATION_ERROR', fields: [{ path: 'last' }] }],
    ['after: "ckpt_gone"', { code: 'CURSOR_INVALID' }],
  ])('with %s are refused, naming the argument', async (args, error) => {
    expect((await read(jobWith(3), args)).error).toMatchObject(error)
  })
})
