import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Job } from '../../../src/generated/proto/scaimind/v1/Job.js'
import { type ApiUnderTest, eventually, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())
afterEach(() => under.stub.refusals.clear())

const compare = `query ($ids: [ID!]!, $metrics: [String!], $maxPoints: Int) {
  compareJobs(jobIds: $ids, metrics: $metrics, maxPoints: $maxPoints) {
    jobs { name } configs { path values } dataHashes { path values } code { path values } metrics { name steps values }
  }
}`

const base = (learningRate: string, more: Partial<NonNullable<Job['training_config']>> = {}): Partial<Job> => ({
  training_config: {
    training_type: 'LORA',
    base_model: { model_id: 'scaimind/byte-tiny' },
    hyperparameters: { learning_rate: learningRate, max_steps: '10' },
    priority: 5,
    ...more,
  },
  data_config: { sources: [{ path: 'a.jsonl' }], seed: '42' },
  data_hashes: [{ path: 'a.jsonl', content_hash: 'sha256:a', records: '10' }],
  code: { trainer: 'embedded', version: '0.1.0', content_hash: 'sha256:c' },
})
const add = (tenant: TenantUnderTest, name: string, job: Partial<Job>) => under.stub.addJob(tenant.id, { name, ...job }).job_id

describe('compareJobs', () => {
  it('lists only what was submitted, read and run differently, in the order of the jobs', async () => {
    const tenant = await under.tenant()
    const one = add(tenant, 'one', base('0.1'))
    const two = add(tenant, 'two', {
      ...base('0.2', { max_retries: 2, framework: { type: 'DEEPSPEED' } }),
      data_config: { sources: [{ path: 'a.jsonl', columns: ['text'] }, { path: 'b.jsonl' }], seed: '43' },
      data_hashes: [
        { path: 'a.jsonl', content_hash: 'sha256:other', records: '10' },
        { path: 'b.jsonl', records: '4' },
      ],
      code: { trainer: 'embedded', version: '0.2.0', content_hash: 'sha256:c' },
    })
    const { data, errors } = await tenant.graphql(compare, { ids: [two, one] })
    expect(errors).toBeUndefined()
    const { jobs, configs, dataHashes, code } = data.compareJobs
    expect(jobs).toEqual([{ name: 'two' }, { name: 'one' }])
    const values = Object.fromEntries(
      configs.map((difference: { path: string; values: unknown[] }) => [difference.path, difference.values]),
    )
    expect(values).toEqual({
      'trainingConfig.framework.type': ['DEEPSPEED', null],
      'trainingConfig.hyperparameters.learning_rate': ['0.2', '0.1'],
      'trainingConfig.maxRetries': [2, 0],
      'dataConfig.sources[0].columns': [['text'], null],
      'dataConfig.sources[1].path': ['b.jsonl', null],
      'dataConfig.seed': [43, 42],
    })
    expect(dataHashes).toEqual([
      { path: 'dataHashes[0].contentHash', values: ['sha256:other', 'sha256:a'] },
      { path: 'dataHashes[1].path', values: ['b.jsonl', null] },
      { path: 'dataHashes[1].records', values: [4, null] },
    ])
    expect(code).toEqual([{ path: 'code.version', values: ['0.2.0', '0.1.0'] }])
  })

  it('of equal jobs lists nothing', async () => {
    const tenant = await under.tenant()
    const ids = [add(tenant, 'a', base('0.1')), add(tenant, 'b', base('0.1'))]
    const { data } = await tenant.graphql(compare, { ids })
    expect(data.compareJobs).toMatchObject({ configs: [], dataHashes: [], code: [], metrics: [] })
  })

  it('lays their metrics over the same steps', async () => {
    const tenant = await under.tenant()
    const [long, short, none] = [add(tenant, 'long', {}), add(tenant, 'short', {}), add(tenant, 'none', {})]
    under.stub.writeMetrics(long, 3)
    under.stub.writeMetrics(short, 2)
    const { data, errors } = await tenant.graphql(compare, { ids: [short, long, none], metrics: ['loss'] })
    expect(errors).toBeUndefined()
    expect(data.compareJobs.metrics).toEqual([
      {
        name: 'loss',
        steps: [1, 2, 3],
        values: [
          [5, 2.5, null],
          [5, 2.5, 5 / 3],
          [null, null, null],
        ],
      },
    ])
  })

  it('still compares what was submitted while the coordinator is away', async () => {
    const tenant = await under.tenant()
    const ids = [add(tenant, 'a', base('0.1')), add(tenant, 'b', base('0.2'))]
    await eventually(async () => (await tenant.graphql('{ jobs { totalCount } }')).data.jobs.totalCount === 2)
    under.stub.refusals.set('GetJobMetrics', { code: 'COORDINATOR_UNAVAILABLE', message: 'away' })
    const { data, errors } = await tenant.graphql(compare, { ids })
    expect(data.compareJobs).toMatchObject({ configs: [{ values: ['0.1', '0.2'] }], metrics: null })
    expect(errors).toMatchObject([{ path: ['compareJobs', 'metrics'], extensions: { code: 'COORDINATOR_UNAVAILABLE' } }])
  })

  it.each([
    ['one job', (ids: string[]) => ({ ids: ids.slice(0, 1) }), 'jobIds'],
    ['a job twice', (ids: string[]) => ({ ids: [ids[0], ids[0]] }), 'jobIds'],
    ['11 jobs', () => ({ ids: Array.from({ length: 11 }, (_, i) => `job_${i}`) }), 'jobIds'],
    ['49 points', (ids: string[]) => ({ ids, maxPoints: 49 }), 'maxPoints'],
    ['21 metrics', (ids: string[]) => ({ ids, metrics: Array.from({ length: 21 }, (_, i) => `m${i}`) }), 'metrics'],
  ])('with %s is refused, naming the argument', async (_name, variables, path) => {
    const tenant = await under.tenant()
    const ids = [add(tenant, 'a', {}), add(tenant, 'b', {})]
    const { errors } = await tenant.graphql(compare, variables(ids))
    expect(errors?.[0]?.extensions).toMatchObject({ code: 'VALIDATION_ERROR', fields: [{ path }] })
  })

  it('does not find another tenant’s job', async () => {
    const [tenant, other] = [await under.tenant(), await under.tenant()]
    const ids = [add(tenant, 'mine', {}), add(other, 'theirs', {})]
    const { errors, data } = await tenant.graphql(compare, { ids })
    expect(data).toBeNull()
    expect(errors?.[0]?.extensions.code).toBe('JOB_NOT_FOUND')
  })
})
