import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toTimestamp } from '../../../src/contract/proto.js'
import { type ApiUnderTest, eventually, startApiUnderTest } from '../../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())

const read = `query ($id: ID!) { job(jobId: $id, consistency: COORDINATOR) {
  status queuePosition estimatedStart blockers { kind need have of until jobs }
} }`

describe('A job that waits', () => {
  it('says its place, when it would start, and each thing that it lacks', async () => {
    const tenant = await under.tenant()
    const at = new Date('2026-11-21T09:00:00Z')
    const first = under.stub.addJob(tenant.id)
    const second = under.stub.addJob(tenant.id, { estimated_start: toTimestamp(at) })
    under.stub.blockers.set(second.job_id, [
      { kind: 'GPUS', of: 'h100', need: 8, have: 2 },
      { kind: 'JOBS_AHEAD', need: 0, have: 0, jobs: [first.job_id], until: toTimestamp(at) },
    ])
    const { data, errors } = await tenant.graphql(read, { id: second.job_id })
    expect(errors).toBeUndefined()
    expect(data.job).toEqual({
      status: 'QUEUED',
      queuePosition: 2,
      estimatedStart: at.toISOString(),
      blockers: [
        { kind: 'GPUS', of: 'h100', need: 8, have: 2, until: null, jobs: [] },
        { kind: 'JOBS_AHEAD', of: null, need: 0, have: 0, until: at.toISOString(), jobs: [first.job_id] },
      ],
    })
  })

  it('shows the same in the queue', async () => {
    const tenant = await under.tenant()
    const { job_id } = under.stub.addJob(tenant.id)
    under.stub.blockers.set(job_id, [{ kind: 'QUOTA', of: 'gpus', need: 4, have: 0 }])
    const { data } = await tenant.graphql('{ queue { entries { jobId blockers { kind of } } } }')
    expect(data.queue.entries).toEqual([{ jobId: job_id, blockers: [{ kind: 'QUOTA', of: 'gpus' }] }])
  })

  it('lacks nothing once it runs, and the coordinator is not asked', async () => {
    const tenant = await under.tenant()
    const { job_id } = under.stub.addJob(tenant.id, { status: 'TRAINING' })
    const before = under.stub.calls.get('GetQueue')
    const { data } = await tenant.graphql(read, { id: job_id })
    expect(data.job).toEqual({ status: 'TRAINING', queuePosition: null, estimatedStart: null, blockers: [] })
    expect(under.stub.calls.get('GetQueue')).toBe(before)
  })

  it('is still shown while the queue cannot be asked', async () => {
    const tenant = await under.tenant()
    const { job_id } = under.stub.addJob(tenant.id)
    await eventually(async () => (await tenant.graphql('{ jobs { totalCount } }')).data.jobs.totalCount === 1)
    under.stub.refusals.set('GetQueue', { code: 'INTERNAL_ERROR', message: 'broken' })
    const { data, errors } = await tenant.graphql('query ($id: ID!) { job(jobId: $id) { jobId blockers { kind } } }', { id: job_id })
    under.stub.refusals.clear()
    expect(data.job).toEqual({ jobId: job_id, blockers: null })
    expect(errors?.[0]).toMatchObject({ path: ['job', 'blockers'], extensions: { code: 'INTERNAL_ERROR' } })
  })
})

describe('A job that failed', () => {
  it('says what kind of failure it was, where, with which evidence, and what would help', async () => {
    const tenant = await under.tenant()
    const told = { rank: 3, node: 'n2', message: 'The loss is NaN.', evidence: ['step 41', 'loss nan'], hint: 'Lower the learning rate.' }
    const { job_id: id } = under.stub.addJob(tenant.id, {
      status: 'FAILED',
      failure: { class: 'NAN_LOSS', ...told, first_bad_step: '41', exit_code: 1 },
    })
    const { job_id: bare } = under.stub.addJob(tenant.id, { status: 'FAILED', failure: { message: 'It ended.' } })
    const fields = 'failure { class rank node message evidence firstBadStep hint exitCode }'
    const { data, errors } = await tenant.graphql(
      `query ($id: ID!, $bare: ID!) { full: job(jobId: $id) { ${fields} } bare: job(jobId: $bare) { ${fields} } }`,
      { id, bare },
    )
    expect(errors).toBeUndefined()
    expect(data.full.failure).toEqual({ class: 'NAN_LOSS', ...told, firstBadStep: 41, exitCode: 1 })
    const unknown = { class: 'UNKNOWN', rank: null, node: null, evidence: [], firstBadStep: null, hint: null, exitCode: null }
    expect(data.bare.failure).toEqual({ message: 'It ended.', ...unknown })
  })
})

describe('A job’s content', () => {
  it('is its data by hash, and the code that ran', async () => {
    const tenant = await under.tenant()
    const { job_id } = under.stub.addJob(tenant.id, {
      data_hashes: [
        { path: 'a.jsonl', content_hash: 'sha256:a', records: '7' },
        { path: 'dset_1', records: '0', dataset_id: 'dset_1' },
      ],
      code: { trainer: 'embedded', version: '0.1.0', content_hash: 'sha256:t' },
    })
    const { data, errors } = await tenant.graphql(
      'query ($id: ID!) { job(jobId: $id) { dataHashes { path contentHash records datasetId } code { trainer version contentHash } } }',
      { id: job_id },
    )
    expect(errors).toBeUndefined()
    expect(data.job).toEqual({
      dataHashes: [
        { path: 'a.jsonl', contentHash: 'sha256:a', records: 7, datasetId: null },
        { path: 'dset_1', contentHash: null, records: 0, datasetId: 'dset_1' },
      ],
      code: { trainer: 'embedded', version: '0.1.0', contentHash: 'sha256:t' },
    })
  })
})

describe('archiveJob', () => {
  const archive = `mutation ($id: ID!, $archived: Boolean) { it: archiveJob(jobId: $id, archived: $archived) {
    __typename ... on ArchiveJobSuccess { job { archivedAt } } ... on JobStateConflict { state allowedFrom } ... on Error { code }
  } }`

  it('puts a terminal job away, says since when, and puts it back', async () => {
    const tenant = await under.tenant()
    const { job_id: id } = under.stub.addJob(tenant.id, { status: 'COMPLETED' })
    const { data } = await tenant.graphql(archive, { id })
    expect(data.it.job.archivedAt).toMatch(/^\d{4}-/)
    expect((await tenant.graphql(archive, { id })).data).toEqual(data)
    expect((await tenant.graphql(archive, { id, archived: false })).data.it.job).toEqual({ archivedAt: null })
  })

  it('refuses a job that is not terminal, saying from where it is possible', async () => {
    const tenant = await under.tenant()
    const { job_id: id } = under.stub.addJob(tenant.id, { status: 'TRAINING' })
    expect((await tenant.graphql(archive, { id })).data.it).toEqual({
      __typename: 'JobStateConflict',
      code: 'JOB_STATE_CONFLICT',
      state: 'TRAINING',
      allowedFrom: ['COMPLETED', 'FAILED', 'CANCELLED'],
    })
  })

  it('does not find another tenant’s job, and needs scaimind:manage', async () => {
    const [tenant, viewer, other] = [await under.tenant(), await under.tenant(['tenant_viewer']), await under.tenant()]
    const { job_id: id } = under.stub.addJob(other.id, { status: 'COMPLETED' })
    expect((await tenant.graphql(archive, { id })).data.it).toMatchObject({ __typename: 'RequestFailed', code: 'JOB_NOT_FOUND' })
    expect((await viewer.graphql(archive, { id })).data.it).toMatchObject({ code: 'AUTHZ_PERMISSION_DENIED' })
  })
})

it('A job that cannot be reached says since when, for how long and why, and keeps its status', async () => {
  const tenant = await under.tenant()
  const since = new Date(Date.now() - 90_000)
  const away = { unreachable: true, unreachable_since: toTimestamp(since), unreachable_reason: 'Node n1 does not respond.' }
  const ids = [away, {}].map((fields) => under.stub.addJob(tenant.id, { status: 'TRAINING', ...fields }).job_id)
  const [lost, found] = await Promise.all(
    ids.map(async (id) => {
      const query = `query ($id: ID!) { job(jobId: $id, consistency: COORDINATOR) { status unreachable unreachableSince unreachableSeconds unreachableReason } }`
      return (await tenant.graphql(query, { id })).data.job
    }),
  )
  expect(lost).toMatchObject({ status: 'TRAINING', unreachable: true, unreachableSince: since.toISOString() })
  expect(lost).toMatchObject({ unreachableSeconds: expect.any(Number), unreachableReason: 'Node n1 does not respond.' })
  expect(lost.unreachableSeconds).toBeGreaterThanOrEqual(90)
  expect(found).toEqual({
    status: 'TRAINING',
    unreachable: false,
    unreachableSince: null,
    unreachableSeconds: null,
    unreachableReason: null,
  })
})
