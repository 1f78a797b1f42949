import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toTimestamp } from '../../../src/contract/proto.js'
import { type ApiUnderTest, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())

const day = 86_400_000
const ago = (days: number) => toTimestamp(new Date(Date.now() - days * day))
const plan = `query ($policy: RetentionPolicyInput!) { retentionPlan(policy: $policy) {
  planId scope bytes hasMore items { jobId name status finishedAt bytes checkpoints kept } } }`
const apply = `mutation ($id: ID!) { it: applyRetention(planId: $id) {
  __typename ... on ApplyRetentionSuccess { bytes items { jobId kept } } ... on InvalidInput { fields { path } } ... on Error { code } } }`

function jobsOf(tenant: TenantUnderTest) {
  const add = (name: string, days: number, more = {}) =>
    under.stub.addJob(tenant.id, { name, status: 'COMPLETED', finished_at: ago(days), archived_at: ago(1), ...more }).job_id
  return { old: add('old', 40), changing: add('changing', 50), recent: add('recent', 3), shown: add('shown', 60, { archived_at: null }) }
}

describe('Retention', () => {
  it('says what it will delete before it does, and keeps what changed in between', async () => {
    const tenant = await under.tenant()
    const jobs = jobsOf(tenant)
    const { data, errors } = await tenant.graphql(plan, { policy: { scope: 'JOBS', olderThanDays: 30 } })
    expect(errors).toBeUndefined()
    const { planId, ...planned } = data.retentionPlan
    expect(planned).toMatchObject({ scope: 'JOBS', bytes: 2000, hasMore: false })
    expect(planned.items.map(({ jobId, kept }: { jobId: string; kept: null }) => ({ jobId, kept }))).toEqual([
      { jobId: jobs.old, kept: null },
      { jobId: jobs.changing, kept: null },
    ])
    under.stub.change(jobs.changing, { archived_at: null })
    const applied = (await tenant.graphql(apply, { id: planId })).data.it
    expect(applied).toEqual({
      __typename: 'ApplyRetentionSuccess',
      bytes: 1000,
      items: [
        { jobId: jobs.old, kept: null },
        { jobId: jobs.changing, kept: 'It changed since.' },
      ],
    })
    const { errors: gone } = await tenant.graphql('query ($id: ID!) { job(jobId: $id) { jobId } }', { id: jobs.old })
    expect(gone?.[0]?.extensions.code).toBe('JOB_NOT_FOUND')
  })

  it('takes a day, states, and jobs that are not archived, where it is told so', async () => {
    const tenant = await under.tenant()
    const { shown } = jobsOf(tenant)
    const finishedBefore = new Date(Date.now() - 55 * day).toISOString()
    await tenant.graphql(plan, { policy: { scope: 'CHECKPOINTS', finishedBefore, statuses: ['COMPLETED'], archivedOnly: false } })
    const request = under.stub.requests.findLast(({ method }) => method === 'PlanRetention')?.request
    expect(request).toMatchObject({
      scope: 'CHECKPOINTS',
      finished_before: toTimestamp(new Date(finishedBefore)),
      statuses: ['COMPLETED'],
      archived_only: false,
    })
    const { data } = await tenant.graphql(plan, { policy: { scope: 'CHECKPOINTS', finishedBefore, archivedOnly: false } })
    expect(data.retentionPlan.items).toMatchObject([{ jobId: shown, name: 'shown', status: 'COMPLETED' }])
  })

  it.each([
    [{ scope: 'JOBS' }, 'policy.finishedBefore'],
    [{ scope: 'JOBS', olderThanDays: 1, finishedBefore: '2026-01-01T00:00:00Z' }, 'policy.finishedBefore'],
    [{ scope: 'JOBS', olderThanDays: -1 }, 'policy.olderThanDays'],
    [{ scope: 'JOBS', olderThanDays: 1, statuses: ['TRAINING'] }, 'policy.statuses[0]'],
  ])('refuses %j, naming %s', async (policy, path) => {
    const tenant = await under.tenant()
    const { errors } = await tenant.graphql(plan, { policy })
    expect(errors?.[0]?.extensions).toMatchObject({ code: 'VALIDATION_ERROR', fields: [{ path }] })
  })

  it('a plan is its tenant’s alone, and retention needs scaimind:manage', async () => {
    const [tenant, other, viewer] = [await under.tenant(), await under.tenant(), await under.tenant(['tenant_viewer'])]
    const policy = { scope: 'JOBS', olderThanDays: 30 }
    const { planId } = (await tenant.graphql(plan, { policy })).data.retentionPlan
    expect((await other.graphql(apply, { id: planId })).data.it).toEqual({
      __typename: 'InvalidInput',
      code: 'INVALID_ARGUMENT',
      fields: [{ path: 'planId' }],
    })
    expect((await viewer.graphql(apply, { id: planId })).data.it).toMatchObject({ code: 'AUTHZ_PERMISSION_DENIED' })
    expect((await viewer.graphql(plan, { policy })).errors?.[0]?.extensions.code).toBe('AUTHZ_PERMISSION_DENIED')
  })
})
