import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { toTimestamp } from '../../../src/contract/proto.js'
import { type ApiUnderTest, startApiUnderTest } from '../../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())
afterEach(() => {
  under.stub.refusals.clear()
  under.stub.plan = {}
})

const input = {
  name: 'tiny',
  trainingConfig: { trainingType: 'LORA', baseModel: { modelId: 'scaimind/byte-tiny' } },
  dataConfig: { sources: [{ path: '/data/a.jsonl' }] },
  resourceConfig: { gpuCount: 1, gpuType: 'a100' },
}
const plan = `plan {
  acceptable records tokens totalSteps estimatedRunSeconds gpuHours nodes startsNow estimatedStart jobsAhead jobsPreempted contentHash
  sources { path readable records tokensEstimate bytes sample contentHash problems { line message } }
  memory { gpuType bytesNeeded bytesAvailable fits nodes weightsBytes gradientsBytes optimizerBytes activationsBytes }
  blockers { kind need have of until jobs }
}`
const errors = '... on InvalidInput { fields { path message } } ... on Error { code message }'
const planJob = `query ($input: SubmitJobInput!) { it: planJob(input: $input) { __typename ... on PlanJobSuccess { ${plan} } ${errors} } }`
const dryRun = `mutation ($input: SubmitJobInput!) { it: submitJob(input: $input, dryRun: true) { __typename ... on SubmitJobSuccess { ${plan} } ${errors} } }`

describe.each([
  ['planJob', planJob, 'PlanJobSuccess'],
  ['a dry run', dryRun, 'SubmitJobSuccess'],
])('%s', (_name, operation, success) => {
  it('says what the job would take, what is wrong with its data, and why it would wait', async () => {
    const tenant = await under.tenant()
    const until = new Date('2026-11-21T08:00:00Z')
    under.stub.plan = {
      acceptable: false,
      starts_now: false,
      jobs_ahead: 2,
      jobs_preempted: 1,
      estimated_start: toTimestamp(until),
      estimated_run_seconds: 3600.5,
      gpu_hours: 1.25,
      content_hash: 'sha256:abc',
      sources: [
        {
          path: '/data/a.jsonl',
          readable: true,
          records: '3',
          tokens_estimate: '300',
          bytes: '9007199254740993',
          sample: '{"text": "one"}',
          content_hash: 'sha256:data',
          problems: [
            { line: '2', message: 'This is not JSON.' },
            { line: '0', message: 'The file is cut off.' },
          ],
        },
      ],
      memory: [
        {
          gpu_type: 'a100',
          bytes_needed: '10',
          bytes_available: '8',
          fits: false,
          nodes: ['n1'],
          weights_bytes: '4',
          gradients_bytes: '3',
          optimizer_bytes: '2',
          activations_bytes: '1',
        },
      ],
      blockers: [{ kind: 'GPUS', of: 'a100', need: 1, have: 0, until: toTimestamp(until), jobs: ['job_1'] }],
    }
    const { data, errors: faults } = await tenant.graphql(operation, { input })
    expect(faults).toBeUndefined()
    expect(data.it).toEqual({
      __typename: success,
      plan: {
        acceptable: false,
        records: 3,
        tokens: 300,
        totalSteps: 10,
        estimatedRunSeconds: 3600.5,
        gpuHours: 1.25,
        nodes: ['n1'],
        startsNow: false,
        estimatedStart: until.toISOString(),
        jobsAhead: 2,
        jobsPreempted: 1,
        contentHash: 'sha256:abc',
        sources: [
          {
            path: '/data/a.jsonl',
            readable: true,
            records: 3,
            tokensEstimate: 300,
            bytes: '9007199254740993',
            sample: '{"text": "one"}',
            contentHash: 'sha256:data',
            problems: [
              { line: 2, message: 'This is not JSON.' },
              { line: null, message: 'The file is cut off.' },
            ],
          },
        ],
        memory: [
          {
            gpuType: 'a100',
            bytesNeeded: 10,
            bytesAvailable: 8,
            fits: false,
            nodes: ['n1'],
            weightsBytes: 4,
            gradientsBytes: 3,
            optimizerBytes: 2,
            activationsBytes: 1,
          },
        ],
        blockers: [{ kind: 'GPUS', of: 'a100', need: 1, have: 0, until: until.toISOString(), jobs: ['job_1'] }],
      },
    })
  })

  it('says null where nothing is known', async () => {
    const tenant = await under.tenant()
    const { data } = await tenant.graphql(operation, { input })
    expect(data.it.plan).toMatchObject({ estimatedRunSeconds: null, gpuHours: null, estimatedStart: null, contentHash: null, memory: [] })
  })

  it('names every wrong field in camelCase', async () => {
    const tenant = await under.tenant()
    const wrong = { ...input, name: '', trainingConfig: { ...input.trainingConfig, priority: 11 } }
    const { data } = await tenant.graphql(operation, { input: wrong })
    expect(data.it).toMatchObject({ __typename: 'InvalidInput', code: 'VALIDATION_ERROR' })
    expect(data.it.fields.map(({ path }: { path: string }) => path)).toEqual(['name', 'trainingConfig.priority'])
  })

  it('answers the refusals of the coordinator as data', async () => {
    const tenant = await under.tenant()
    under.stub.refusals.set('SubmitJob', {
      code: 'RATE_LIMITED',
      message: 'Too much.',
      fields: [{ path: 'limit', message: '3' }],
      retryAfter: 1,
    })
    expect((await tenant.graphql(operation, { input })).data.it).toMatchObject({ __typename: 'QuotaExceeded', code: 'RATE_LIMITED' })
  })

  it('needs scaimind:manage', async () => {
    const tenant = await under.tenant(['tenant_viewer'])
    expect((await tenant.graphql(operation, { input })).data.it).toMatchObject({ code: 'AUTHZ_PERMISSION_DENIED' })
  })
})
