import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { toTimestamp } from '../../../src/contract/proto.js'
import type { Job } from '../../../src/generated/proto/scaimind/v1/Job.js'
import { type ApiUnderTest, eventually, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())
afterEach(() => under.stub.refusals.clear())

const errors = '... on Error { code message } ... on InvalidInput { fields { path message } }'
const answer = (name: string) => `__typename ${errors} ... on ${name}Success { matched hasMore endCursor
  results { jobId job { status labelsJson trainingConfig { priority } } error { __typename ${errors} ... on JobStateConflict { state allowedFrom } } } }`
const run = async (tenant: TenantUnderTest, call: string, variables: Record<string, unknown> = {}) => {
  const declared = 'after' in variables ? '($after: String) ' : ''
  const { data, errors: faults } = await tenant.graphql(
    `mutation ${declared}{ it: ${call} { ${answer(call.startsWith('cancel') ? 'CancelJobs' : 'UpdateJobs')} } }`,
    variables,
  )
  expect(faults).toBeUndefined()
  return data.it
}

/** A tenant with jobs that are in the cache. */
async function tenantWith(...jobs: Partial<Job>[]) {
  const tenant = await under.tenant()
  const begun = Date.now()
  const ids = jobs.map((job, i) => under.stub.addJob(tenant.id, { created_at: toTimestamp(new Date(begun + i)), ...job }).job_id)
  await eventually(async () => (await tenant.graphql('{ jobs { totalCount } }')).data.jobs.totalCount === jobs.length)
  return { tenant, ids }
}
const callsOf = (method: string, ids: string[]) =>
  under.stub.requests.filter((call) => call.method === method && ids.includes((call.request as { job_id: string }).job_id))

describe('cancelJobs', () => {
  it('ends the jobs that match and are not terminal, answers for each, and leaves the others', async () => {
    const { tenant, ids } = await tenantWith(
      { labels: { sweep: 'a' } },
      { labels: { sweep: 'a' }, status: 'TRAINING' },
      { labels: { sweep: 'a' }, status: 'COMPLETED' },
      { labels: { sweep: 'b' } },
    )
    const call = 'cancelJobs(filter: { labels: [{ key: "sweep", value: "a" }] }, reason: "enough", saveCheckpoint: true)'
    const it = await run(tenant, call)
    expect(it).toMatchObject({ __typename: 'CancelJobsSuccess', matched: 2, hasMore: false })
    expect(it.results).toMatchObject([
      { jobId: ids[1], job: { status: 'CANCELLED' }, error: null },
      { jobId: ids[0], job: { status: 'CANCELLED' }, error: null },
    ])
    expect(callsOf('CancelJob', ids).map(({ request }) => request)).toContainEqual({
      job_id: ids[0],
      reason: 'enough',
      save_checkpoint: true,
    })
    const { data } = await tenant.graphql('{ jobs(orderBy: { field: CREATED_AT, direction: ASC }) { nodes { status } } }')
    expect(data.jobs.nodes.map(({ status }: { status: string }) => status)).toEqual(['CANCELLED', 'CANCELLED', 'COMPLETED', 'QUEUED'])
    expect(await run(tenant, call)).toMatchObject({ matched: 0, results: [] })
  })

  it('answers what one job would: the error stands beside the job that it is about', async () => {
    const { tenant, ids } = await tenantWith({ name: 'x' }, { name: 'x' })
    const fields = [
      { path: 'state', message: 'COMPLETED' },
      { path: 'allowed_from', message: 'QUEUED' },
    ]
    under.stub.refusals.set('CancelJob', { code: 'JOB_STATE_CONFLICT', message: 'The job is done.', fields })
    const { results, matched } = await run(tenant, 'cancelJobs(filter: { nameContains: "x" })')
    expect(matched).toBe(2)
    const state = { state: 'COMPLETED', allowedFrom: ['QUEUED'] }
    const error = { __typename: 'JobStateConflict', code: 'JOB_STATE_CONFLICT', message: 'The job is done.', ...state }
    expect(results).toEqual(ids.toReversed().map((jobId) => ({ jobId, job: null, error })))
  })

  it('takes at most 500 jobs a call, and goes on after them', async () => {
    const tenant = await under.tenant()
    for (let i = 0; i < 503; i++) under.stub.addJob(tenant.id, { labels: { many: 'yes' } })
    await eventually(async () => (await tenant.graphql('{ jobs { totalCount } }')).data.jobs.totalCount === 503)
    const call = 'updateJobs(filter: { labels: [{ key: "many", value: "yes" }] }, priority: 7, after: $after)'
    const first = await run(tenant, call, { after: null })
    expect(first).toMatchObject({ matched: 503, hasMore: true })
    expect(first.results).toHaveLength(500)
    const second = await run(tenant, call, { after: first.endCursor })
    expect(second).toMatchObject({ matched: 503, hasMore: false })
    expect(second.results).toHaveLength(3)
    expect(new Set([...first.results, ...second.results].map(({ jobId }) => jobId)).size).toBe(503)
  })

  it('does not try every job where the coordinator is away', async () => {
    const { tenant, ids } = await tenantWith(...Array.from({ length: 40 }, () => ({ name: 'y' })))
    under.stub.refusals.set('CancelJob', { code: 'COORDINATOR_UNAVAILABLE', message: 'away' })
    const { results } = await run(tenant, 'cancelJobs(filter: { nameContains: "y" })')
    expect(results).toHaveLength(40)
    expect(new Set(results.map(({ error }: { error: { code: string } }) => error.code))).toEqual(new Set(['COORDINATOR_UNAVAILABLE']))
    expect(callsOf('CancelJob', ids).length).toBeLessThan(40)
  })

  it('asked for terminal jobs only means none', async () => {
    const { tenant, ids } = await tenantWith({ status: 'FAILED' })
    expect(await run(tenant, 'cancelJobs(filter: { status: [FAILED] })')).toMatchObject({ matched: 0, results: [], endCursor: null })
    expect(callsOf('CancelJob', ids)).toEqual([])
  })
})

describe('updateJobs', () => {
  it('changes priority and single labels, and writes nothing that is so already', async () => {
    const { tenant, ids } = await tenantWith(
      { labels: { team: 'nlp', old: '1', keep: 'me' } },
      { labels: { team: 'nlp', new: '2' }, training_config: { training_type: 'LORA', priority: 9 } },
    )
    const call = `updateJobs(filter: { labels: [{ key: "team", value: "nlp" }] }, priority: 9,
      addLabels: [{ key: "new", value: "2" }], removeLabels: ["old"])`
    const { results } = await run(tenant, call)
    expect(results).toMatchObject([
      { jobId: ids[1], job: { labelsJson: { team: 'nlp', new: '2' }, trainingConfig: { priority: 9 } }, error: null },
      { jobId: ids[0], job: { labelsJson: { team: 'nlp', keep: 'me', new: '2' }, trainingConfig: { priority: 9 } }, error: null },
    ])
    expect(callsOf('UpdateJob', ids)).toHaveLength(1)
    expect((await run(tenant, call)).results).toEqual(results)
    expect(callsOf('UpdateJob', ids)).toHaveLength(1)
  })

  it('names a job that would have too many labels, and changes the others', async () => {
    const full = Object.fromEntries(Array.from({ length: 63 }, (_, i) => [`l${i}`, 'x']))
    const { tenant } = await tenantWith({ labels: { team: 'full', ...full } }, { labels: { team: 'full' } })
    const { results } = await run(
      tenant,
      'updateJobs(filter: { labels: [{ key: "team", value: "full" }] }, addLabels: [{ key: "a", value: "b" }])',
    )
    expect(results[0]).toMatchObject({ job: { labelsJson: { team: 'full', a: 'b' } }, error: null })
    expect(results[1]).toMatchObject({ job: null, error: { __typename: 'InvalidInput', fields: [{ path: 'addLabels' }] } })
  })
})

describe('A change of many jobs', () => {
  it.each([
    ['cancelJobs(filter: {})', 'filter'],
    ['cancelJobs(filter: { status: [], nameContains: "" })', 'filter'],
    ['cancelJobs(filter: { labels: [{ key: "type", value: "evaluation" }] })', 'filter.labels'],
    ['updateJobs(filter: {}, priority: 1)', 'filter'],
    ['updateJobs(filter: { status: [QUEUED] })', 'priority'],
    ['updateJobs(filter: { status: [QUEUED] }, priority: 11)', 'priority'],
    ['updateJobs(filter: { status: [QUEUED] }, addLabels: [{ key: "a", value: "b" }], removeLabels: ["a"])', 'removeLabels[0]'],
    ['updateJobs(filter: { status: [QUEUED] }, addLabels: [{ key: "type", value: "evaluation" }])', 'addLabels'],
  ])('%s is refused, naming %s', async (call, path) => {
    const tenant = await under.tenant()
    expect(await run(tenant, call)).toMatchObject({ __typename: 'InvalidInput', code: 'VALIDATION_ERROR', fields: [{ path }] })
  })

  it('never touches another tenant’s jobs, and needs scaimind:manage', async () => {
    const { ids } = await tenantWith({ labels: { shared: 'name' } })
    const [other, viewer] = [await under.tenant(), await under.tenant(['tenant_viewer'])]
    const call = 'cancelJobs(filter: { labels: [{ key: "shared", value: "name" }] })'
    expect(await run(other, call)).toMatchObject({ matched: 0 })
    expect(await run(viewer, call)).toMatchObject({ __typename: 'RequestFailed', code: 'AUTHZ_PERMISSION_DENIED' })
    expect(callsOf('CancelJob', ids)).toEqual([])
  })
})
