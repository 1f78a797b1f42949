import { status } from '@grpc/grpc-js'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type ApiUnderTest, graphql, startApiUnderTest, type TenantUnderTest } from '../support/api.js'
import type { Refusal } from '../support/stub-coordinator.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())
afterEach(() => under.stub.refusals.clear())

const answer =
  '__typename ... on Error { code message } ... on InvalidInput { fields { path message } } ... on JobStateConflict { state allowedFrom } ... on QuotaExceeded { limit retryAfterSeconds } ... on RequestFailed { retryAfterSeconds }'

const actions: Record<string, { method: string; run: (tenant: TenantUnderTest, id: string) => Promise<Record<string, unknown>> }> = {
  cancelJob: one('CancelJob', 'cancelJob(jobId: $id, reason: "enough")'),
  pauseJob: one('PauseJob', 'pauseJob(jobId: $id)'),
  resumeJob: one('ResumeJob', 'resumeJob(jobId: $id)'),
  retryJob: one('RetryJob', 'retryJob(jobId: $id)'),
  updateJob: one('UpdateJob', 'updateJob(jobId: $id, labels: [{ key: "a", value: "b" }])'),
  submitJob: {
    method: 'SubmitJob',
    run: async (tenant) =>
      (await tenant.graphql(`mutation ($input: SubmitJobInput!) { it: submitJob(input: $input) { ${answer} } }`, { input })).data.it,
  },
}

function one(method: string, call: string) {
  return {
    method,
    run: async (tenant: TenantUnderTest, id: string) =>
      (await tenant.graphql(`mutation ($id: ID!) { it: ${call} { ${answer} } }`, { id })).data.it as Record<string, unknown>,
  }
}

const input = {
  name: 'tiny',
  trainingConfig: { trainingType: 'LORA', baseModel: { modelId: 'scaimind/byte-tiny' } },
  dataConfig: { sources: [{ path: '/a' }] },
  resourceConfig: {},
}

describe.each(Object.entries(actions))('%s', (name, { method, run }) => {
  const refusedWith = async (refusal: Refusal) => {
    const tenant = await under.tenant()
    const { job_id } = under.stub.addJob(tenant.id)
    under.stub.refusals.set(method, refusal)
    return run(tenant, job_id)
  }

  it('works, and its job is in the cache when it answers', async () => {
    const tenant = await under.tenant()
    const { job_id } = under.stub.addJob(tenant.id)
    expect(await run(tenant, job_id)).toMatchObject({ __typename: `${name[0]?.toUpperCase()}${name.slice(1)}Success` })
    const rows = await under.database.job.findMany({ where: { tenantId: tenant.id } })
    expect(rows.length).toBeGreaterThan(0)
  })

  it('a refused input names the fields in camelCase', async () => {
    const fields = [{ path: 'training_config.base_model.model_id', message: 'There is no such model.' }]
    expect(await refusedWith({ code: 'INVALID_ARGUMENT', message: 'no such model', fields })).toMatchObject({
      __typename: 'InvalidInput',
      code: 'INVALID_ARGUMENT',
      fields: [{ path: 'trainingConfig.baseModel.modelId', message: 'There is no such model.' }],
    })
  })

  it('a wrong state says which it is and which would be right', async () => {
    const fields = [
      { path: 'state', message: 'COMPLETED' },
      { path: 'allowed_from', message: 'TRAINING CHECKPOINTING' },
    ]
    expect(await refusedWith({ code: 'JOB_STATE_CONFLICT', message: 'The job is done.', fields })).toMatchObject({
      __typename: 'JobStateConflict',
      message: 'The job is done.',
      state: 'COMPLETED',
      allowedFrom: ['TRAINING', 'CHECKPOINTING'],
    })
  })

  it('a quota says its limit and when to try again', async () => {
    const fields = [{ path: 'limit', message: '10' }]
    expect(await refusedWith({ code: 'RATE_LIMITED', message: 'Too many jobs.', fields, retryAfter: 7 })).toMatchObject({
      __typename: 'QuotaExceeded',
      limit: 10,
      retryAfterSeconds: 7,
    })
  })

  it('a fault of the coordinator is hidden', async () => {
    const answered = await refusedWith({ code: 'INTERNAL_ERROR', message: 'secret stack trace', status: status.UNKNOWN })
    expect(answered).toMatchObject({ __typename: 'RequestFailed', code: 'INTERNAL_ERROR' })
    expect(JSON.stringify(answered)).not.toContain('secret')
  })

  it('a method that is not there answers NOT_IMPLEMENTED', async () => {
    expect(await refusedWith({ code: 'NOT_IMPLEMENTED', message: 'Not built yet.', status: status.UNIMPLEMENTED })).toMatchObject({
      code: 'NOT_IMPLEMENTED',
    })
  })

  it('a viewer may not, and nothing reaches the coordinator', async () => {
    const tenant = await under.tenant(['tenant_viewer'])
    const { job_id } = under.stub.addJob(tenant.id)
    const calls = under.stub.calls.get(method)
    expect(await run(tenant, job_id)).toMatchObject({ __typename: 'RequestFailed', code: 'AUTHZ_PERMISSION_DENIED' })
    expect(under.stub.calls.get(method)).toBe(calls)
  })

  it.skipIf(name === 'submitJob')('another tenant’s job is not found', async () => {
    const [tenant, other] = [await under.tenant(), await under.tenant()]
    const { job_id } = under.stub.addJob(other.id)
    expect(await run(tenant, job_id)).toMatchObject({ __typename: 'RequestFailed', code: 'JOB_NOT_FOUND' })
    expect(await run(tenant, 'rubbish')).toMatchObject({ code: 'JOB_NOT_FOUND' })
  })
})

describe('Refusals', () => {
  it('without a key only the schema is answered', async () => {
    const { errors, status: http, data } = await graphql(under.api.url, null, '{ viewer { userId } }')
    expect({ http, code: errors?.[0]?.extensions.code, data }).toEqual({ http: 401, code: 'AUTH_TOKEN_MISSING', data: undefined })
    const mutation = await graphql(under.api.url, null, 'mutation { cancelJob(jobId: "job_x") { __typename } }')
    expect(mutation.errors?.[0]?.extensions.code).toBe('AUTH_TOKEN_MISSING')
    expect((await graphql(under.api.url, null, '{ __schema { queryType { name } } }')).data.__schema.queryType.name).toBe('Query')
  })

  it('a key that is not known, or malformed, is refused with 401', async () => {
    for (const key of [`sgk_${'a'.repeat(43)}`, 'nonsense']) {
      const { errors, status: http } = await graphql(under.api.url, key, '{ viewer { userId } }')
      expect({ http, code: errors?.[0]?.extensions.code }).toEqual({ http: 401, code: 'AUTH_TOKEN_INVALID' })
    }
  })

  it('a submission names every wrong field at once', async () => {
    const tenant = await under.tenant()
    const wrong = {
      name: '',
      labels: [{ key: 'type', value: 'evaluation' }],
      trainingConfig: { trainingType: 'LORA', baseModel: { modelId: '' }, priority: 11 },
      dataConfig: { sources: [{ path: '' }], validationSplit: 1.5 },
      resourceConfig: { gpuCount: -1 },
    }
    const { data } = await tenant.graphql(
      'mutation ($input: SubmitJobInput!) { submitJob(input: $input) { __typename ... on InvalidInput { code fields { path } } } }',
      { input: wrong },
    )
    expect(data.submitJob.code).toBe('VALIDATION_ERROR')
    expect(data.submitJob.fields.map(({ path }: { path: string }) => path).sort()).toEqual([
      'dataConfig.sources[0].path',
      'dataConfig.validationSplit',
      'labels',
      'name',
      'resourceConfig.gpuCount',
      'trainingConfig.baseModel.modelId',
      'trainingConfig.priority',
    ])
  })

  it('what graphql-js refuses has a code and the request id', async () => {
    const tenant = await under.tenant()
    const { errors, headers } = await tenant.graphql('{ nothing }')
    expect(errors?.[0]?.extensions).toMatchObject({ code: 'VALIDATION_ERROR', requestId: headers.get('x-request-id') })
    expect(headers.get('x-request-id')).toMatch(/^req_/)
  })

  it('a request id that the caller gives is kept and passed on', async () => {
    const tenant = await under.tenant()
    const response = await fetch(`${under.api.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${tenant.key}`, 'x-request-id': 'mine-1' },
      body: JSON.stringify({ query: '{ cluster { engine } }' }),
    })
    expect(response.headers.get('x-request-id')).toBe('mine-1')
    const call = under.stub.requests.findLast(({ method }) => method === 'GetCluster')
    expect(
      Object.fromEntries(['x-request-id', 'x-tenant-id', 'x-user-id', 'x-api-secret'].map((name) => [name, call?.metadata.get(name)[0]])),
    ).toEqual({
      'x-request-id': 'mine-1',
      'x-tenant-id': tenant.id,
      'x-user-id': `user-of-${tenant.id}`,
      'x-api-secret': under.stub.secret,
    })
  })
})
