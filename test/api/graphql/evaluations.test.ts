import { createClient } from 'graphql-ws'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { toTimestamp } from '../../../src/contract/proto.js'
import type { BenchmarkResult } from '../../../src/generated/proto/scaimind/v1/BenchmarkResult.js'
import { type ApiUnderTest, eventually, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())
afterEach(() => under.stub.refusals.clear())

const result = (scores: Record<string, number>, more: BenchmarkResult = {}): BenchmarkResult => ({
  name: 'perplexity',
  dataset: 'held-out.jsonl',
  content_hash: 'sha256:same',
  num_samples: 20,
  scores,
  standard_errors: { perplexity: 0.25 },
  ...more,
})

/** Waits until the cache has heard of it. */
const cached = (tenant: TenantUnderTest, id: string) =>
  eventually(async () => (await under.database.job.findUnique({ where: { jobId: id } }))?.tenantId === tenant.id)

const read = `query ($id: ID!) { evaluation(evaluationId: $id) {
  id evaluationId name status message jobId job { jobId name } run { jobId } checkpointId checkpoint { step } modelUri userId revision
  benchmarks { name dataset numSamples parameters { key value } parametersJson }
  results { name dataset contentHash numSamples scores { name value standardError better } scoresJson standardErrors
    samples { prompt expected answer score } }
  progress { step totalSteps } failure { class message } availableActions
  createdAt startedAt finishedAt updatedAt syncedAt stale
} }`

describe('An evaluation', () => {
  it('tells what is evaluated and what was found, with the job and the checkpoint that it is of', async () => {
    const tenant = await under.tenant()
    const { job_id } = under.stub.addJob(tenant.id, { name: 'tuned' })
    const { job_id: evaluationId } = under.stub.nouns.addEvaluation(
      tenant.id,
      {
        job_id,
        checkpoint_id: 'c1',
        benchmarks: [{ name: 'perplexity', dataset: 'held-out.jsonl', num_samples: 20, parameters: { batch_size: '4' } }],
        results: [result({ perplexity: 3.5, loss: 1.25 }, { samples: [{ prompt: 'a', expected: 'b', answer: 'c', score: 0 }] })],
      },
      { status: 'COMPLETED', started_at: toTimestamp(new Date(0)), progress: { step: '20', total_steps: '20' } },
    )
    await cached(tenant, evaluationId)
    const { data } = await tenant.graphql(read, { id: evaluationId })
    expect(data.evaluation).toMatchObject({
      evaluationId,
      name: 'an evaluation',
      status: 'COMPLETED',
      jobId: job_id,
      job: { jobId: job_id, name: 'tuned' },
      run: { jobId: evaluationId },
      checkpointId: 'c1',
      checkpoint: { step: 5 },
      modelUri: null,
      benchmarks: [{ name: 'perplexity', numSamples: 20, parameters: [{ key: 'batch_size', value: '4' }] }],
      results: [
        {
          contentHash: 'sha256:same',
          scores: [
            { name: 'perplexity', value: 3.5, standardError: 0.25, better: 'LOWER' },
            { name: 'loss', value: 1.25, standardError: null, better: 'LOWER' },
          ],
          scoresJson: { perplexity: 3.5, loss: 1.25 },
          standardErrors: { perplexity: 0.25 },
          samples: [{ prompt: 'a', expected: 'b', answer: 'c', score: 0 }],
        },
      ],
      progress: { step: 20, totalSteps: 20 },
      startedAt: '1970-01-01T00:00:00.000Z',
      stale: false,
    })
    const { id } = data.evaluation
    const again = await tenant.graphql('query ($id: ID!) { node(id: $id) { ... on Evaluation { evaluationId } } }', { id })
    expect(again.data.node).toEqual({ evaluationId })
    expect((await tenant.graphql(read, { id })).data.evaluation.evaluationId).toBe(evaluationId)
  })

  it('that does not exist, or is another tenant’s, is not found; a job is none', async () => {
    const [tenant, other] = [await under.tenant(), await under.tenant()]
    const { job_id } = under.stub.nouns.addEvaluation(other.id)
    const { job_id: job } = under.stub.addJob(tenant.id)
    for (const id of [job_id, job, 'eval_00000000000000000000000000', 'nonsense']) {
      const { data, errors } = await tenant.graphql('query ($id: ID!) { evaluation(evaluationId: $id) { name } }', { id })
      expect([data.evaluation, errors?.[0]?.extensions.code]).toEqual([null, 'EVALUATION_NOT_FOUND'])
    }
  })

  it('can be read with scaimind:evaluate alone, and not with neither that nor scaimind:view', async () => {
    const query = '{ evaluations { nodes { name } } }'
    expect((await (await under.tenant(['scaimind:evaluate'])).graphql(query)).errors).toBeUndefined()
    const { errors } = await (await under.tenant(['tenant_user'])).graphql(query)
    expect(errors?.[0]?.extensions.code).toBe('AUTHZ_PERMISSION_DENIED')
  })
})

describe('evaluations', () => {
  const list = `query ($filter: EvaluationFilter, $first: Int, $after: String, $last: Int, $before: String) {
    evaluations(filter: $filter, first: $first, after: $after, last: $last, before: $before) {
      totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } nodes { evaluationId status }
    }
  }`

  it('are listed newest first, by job and status, forwards and backwards', async () => {
    const tenant = await under.tenant()
    const [a, b] = [under.stub.addJob(tenant.id), under.stub.addJob(tenant.id)]
    const made: string[] = []
    for (let i = 0; i < 5; i++) {
      const of = { job_id: i === 4 ? b.job_id : a.job_id }
      const status = i % 2 === 0 ? ('COMPLETED' as const) : ('FAILED' as const)
      made.unshift(under.stub.nouns.addEvaluation(tenant.id, of, { status, created_at: toTimestamp(new Date(1_000_000 * (i + 1))) }).job_id)
    }
    await cached(tenant, made[0] ?? '')
    const ids = (answer: { data: { evaluations: { nodes: { evaluationId: string }[] } } }) =>
      answer.data.evaluations.nodes.map(({ evaluationId }) => evaluationId)

    const first = await tenant.graphql(list, { first: 2 })
    expect(ids(first)).toEqual(made.slice(0, 2))
    expect(first.data.evaluations).toMatchObject({ totalCount: 5, pageInfo: { hasNextPage: true, hasPreviousPage: false } })
    const second = await tenant.graphql(list, { first: 2, after: first.data.evaluations.pageInfo.endCursor })
    expect(ids(second)).toEqual(made.slice(2, 4))
    const back = await tenant.graphql(list, { last: 2, before: second.data.evaluations.pageInfo.startCursor })
    expect(ids(back)).toEqual(made.slice(0, 2))

    expect(ids(await tenant.graphql(list, { filter: { jobId: a.job_id } }))).toEqual(made.slice(1))
    expect(ids(await tenant.graphql(list, { filter: { status: ['FAILED'] } }))).toEqual([made[1], made[3]])
    const both = await tenant.graphql(list, { filter: { jobId: b.job_id, status: ['FAILED'] } })
    expect([ids(both), both.data.evaluations.totalCount]).toEqual([[], 0])
    expect((await tenant.graphql('{ jobs { nodes { jobId } } }')).data.jobs.nodes).toHaveLength(2)
  })

  it('of a page of jobs come with the page, each job its own', async () => {
    const tenant = await under.tenant()
    const jobs = [under.stub.addJob(tenant.id), under.stub.addJob(tenant.id), under.stub.addJob(tenant.id)]
    const of = jobs.slice(0, 2).map(({ job_id }) => under.stub.nouns.addEvaluation(tenant.id, { job_id }).job_id)
    await cached(tenant, of[1] ?? '')
    const { data } = await tenant.graphql('{ jobs { nodes { jobId evaluations(first: 5) { nodes { evaluationId } } } } }')
    const found = new Map(
      data.jobs.nodes.map((job: { jobId: string; evaluations: { nodes: unknown[] } }) => [job.jobId, job.evaluations.nodes]),
    )
    expect(jobs.map(({ job_id }) => found.get(job_id))).toEqual([[{ evaluationId: of[0] }], [{ evaluationId: of[1] }], []])
  })

  it('side by side have the values in order and the best by the direction of the score, on the same records only', async () => {
    const tenant = await under.tenant()
    const accuracy = (value: number, content_hash: string) => ({
      name: 'exact_match',
      dataset: 'q.jsonl',
      content_hash,
      num_samples: 5,
      scores: { exact_match: value },
      standard_errors: {},
    })
    const made = [
      [result({ perplexity: 4 }), accuracy(0.5, 'sha256:q')],
      [result({ perplexity: 3 }), accuracy(0.25, 'sha256:q')],
      [result({ perplexity: 3.5 }), accuracy(0.9, 'sha256:others')],
    ].map((results) => under.stub.nouns.addEvaluation(tenant.id, { results }, { status: 'COMPLETED' }).job_id)
    const compare = `query ($ids: [ID!]!) { compareEvaluations(evaluationIds: $ids) {
      evaluations { evaluationId }
      benchmarks { name contentHash scores { name better bestEvaluationId values { value standardError numSamples isBest } } }
    } }`
    const { data } = await tenant.graphql(compare, { ids: made })
    expect(data.compareEvaluations.evaluations.map((e: { evaluationId: string }) => e.evaluationId)).toEqual(made)
    const rows = data.compareEvaluations.benchmarks
    expect(rows.map((row: { contentHash: string }) => row.contentHash)).toEqual(['sha256:same', 'sha256:q', 'sha256:others'])
    expect(rows[0].scores[0]).toEqual({
      name: 'perplexity',
      better: 'LOWER',
      bestEvaluationId: made[1],
      values: [4, 3, 3.5].map((value) => ({ value, standardError: 0.25, numSamples: 20, isBest: value === 3 })),
    })
    expect(rows[1].scores[0]).toMatchObject({
      better: 'HIGHER',
      bestEvaluationId: made[0],
      values: [{ value: 0.5 }, { value: 0.25 }, { value: null }],
    })

    const codeOf = async (ids: string[]) => (await tenant.graphql(compare, { ids })).errors?.[0]?.extensions
    expect(await codeOf(made.slice(0, 1))).toMatchObject({ code: 'VALIDATION_ERROR', fields: [{ path: 'evaluationIds' }] })
    expect(await codeOf([made[0] ?? '', made[0] ?? ''])).toMatchObject({ code: 'VALIDATION_ERROR' })
    expect(await codeOf([made[0] ?? '', 'eval_00000000000000000000000000'])).toMatchObject({ code: 'EVALUATION_NOT_FOUND' })
  })
})

describe('submitEvaluation', () => {
  const submit = `mutation ($input: SubmitEvaluationInput!, $key: String) { it: submitEvaluation(input: $input, idempotencyKey: $key) {
    __typename ... on SubmitEvaluationSuccess { evaluation { evaluationId status jobId benchmarks { name parametersJson } } }
    ... on InvalidInput { fields { path message } } ... on Error { code message }
  } }`
  const benchmarks = [{ name: 'perplexity', dataset: 'x.jsonl', numSamples: 3, parameters: [{ key: 'batch_size', value: '4' }] }]

  it('answers the evaluation, which lists show at once', async () => {
    const tenant = await under.tenant()
    const { job_id } = under.stub.addJob(tenant.id)
    const { data } = await tenant.graphql(submit, { input: { jobId: job_id, benchmarks }, key: 'k1' })
    expect(data.it).toMatchObject({
      __typename: 'SubmitEvaluationSuccess',
      evaluation: { jobId: job_id, status: 'QUEUED', benchmarks: [{ name: 'perplexity', parametersJson: { batch_size: '4' } }] },
    })
    const { request } = under.stub.requests.findLast(({ method }) => method === 'SubmitEvaluation') ?? {}
    expect(request).toMatchObject({ job_id, idempotency_key: 'k1', benchmarks: [{ num_samples: 3 }] })
    const list = await tenant.graphql('{ evaluations { nodes { evaluationId } } }')
    expect(list.data.evaluations.nodes).toEqual([{ evaluationId: data.it.evaluation.evaluationId }])
  })

  it('takes a benchmark that brings its data, GPUs, and variables', async () => {
    const tenant = await under.tenant()
    const input = {
      modelUri: 'org/model',
      benchmarks: [{ name: 'hellaswag' }],
      gpuCount: 2,
      gpuType: 'h100',
      environment: [{ key: 'HF_TOKEN', value: 'hf_x' }],
    }
    expect((await tenant.graphql(submit, { input })).data.it.__typename).toBe('SubmitEvaluationSuccess')
    const { request } = under.stub.requests.findLast(({ method }) => method === 'SubmitEvaluation') ?? {}
    expect(request).toMatchObject({
      benchmarks: [{ name: 'hellaswag', dataset: '' }],
      gpu_count: 2,
      gpu_type: 'h100',
      environment: { HF_TOKEN: 'hf_x' },
    })
  })

  it('refuses input by field, unknown jobs, and callers without the permission', async () => {
    const tenant = await under.tenant()
    const invalid = await tenant.graphql(submit, { input: { jobId: 'job_x', priority: 11, benchmarks: [{ name: '', dataset: 'x' }] } })
    expect(invalid.data.it).toMatchObject({
      __typename: 'InvalidInput',
      fields: [{ path: 'benchmarks[0].name' }, { path: 'priority' }],
    })
    expect((await tenant.graphql(submit, { input: { benchmarks: [] } })).data.it).toMatchObject({ fields: [{ path: 'benchmarks' }] })
    const other = under.stub.addJob((await under.tenant()).id)
    expect((await tenant.graphql(submit, { input: { jobId: other.job_id, benchmarks } })).data.it).toMatchObject({
      __typename: 'RequestFailed',
      code: 'JOB_NOT_FOUND',
    })
    const viewer = await under.tenant(['tenant_viewer'])
    expect((await viewer.graphql(submit, { input: { jobId: 'x', benchmarks } })).data.it).toMatchObject({ code: 'AUTHZ_PERMISSION_DENIED' })
  })
})

describe('cancelEvaluation', () => {
  const cancel = `mutation ($id: ID!) { it: cancelEvaluation(evaluationId: $id, reason: "enough") {
    __typename ... on CancelEvaluationSuccess { evaluation { status message } } ... on JobStateConflict { state } ... on Error { code }
  } }`

  it('ends it, tells why it cannot be ended, and does not find another tenant’s', async () => {
    const tenant = await under.tenant()
    const { job_id } = under.stub.nouns.addEvaluation(tenant.id)
    expect((await tenant.graphql(cancel, { id: job_id })).data.it).toMatchObject({ evaluation: { status: 'CANCELLED', message: 'enough' } })
    const fields = [
      { path: 'state', message: 'COMPLETED' },
      { path: 'allowed_from', message: 'QUEUED' },
    ]
    under.stub.refusals.set('CancelEvaluation', { code: 'JOB_STATE_CONFLICT', message: 'It is over.', fields })
    expect((await tenant.graphql(cancel, { id: job_id })).data.it).toMatchObject({ __typename: 'JobStateConflict', state: 'COMPLETED' })
    under.stub.refusals.clear()
    const other = under.stub.nouns.addEvaluation((await under.tenant()).id)
    expect((await tenant.graphql(cancel, { id: other.job_id })).data.it).toMatchObject({ code: 'EVALUATION_NOT_FOUND' })
  })
})

describe('evaluationUpdated', () => {
  it('tells the evaluation as it is, then each change, and ends when it is terminal', async () => {
    const tenant = await under.tenant()
    const { job_id } = under.stub.nouns.addEvaluation(tenant.id)
    const client = createClient({
      url: `${under.api.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { apiKey: tenant.key },
    })
    const seen: unknown[] = []
    const query = `subscription { evaluationUpdated(evaluationId: "${job_id}") { status results { scoresJson } } }`
    for await (const { data } of client.iterate<{ evaluationUpdated: { status: string } }>({ query })) {
      seen.push(data?.evaluationUpdated)
      if (seen.length === 1) under.stub.change(job_id, { status: 'TRAINING', evaluation: { results: [result({ perplexity: 2 })] } })
      if (seen.length === 2) under.stub.change(job_id, { status: 'COMPLETED' })
    }
    await client.dispose()
    expect(seen).toEqual([
      { status: 'QUEUED', results: [] },
      { status: 'TRAINING', results: [{ scoresJson: { perplexity: 2 } }] },
      { status: 'COMPLETED', results: [{ scoresJson: { perplexity: 2 } }] },
    ])
  })

  it('refuses an evaluation that is not the tenant’s', async () => {
    const tenant = await under.tenant()
    const other = under.stub.nouns.addEvaluation((await under.tenant()).id)
    const client = createClient({
      url: `${under.api.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { apiKey: tenant.key },
    })
    const query = `subscription { evaluationUpdated(evaluationId: "${other.job_id}") { status } }`
    const refused = (async () => {
      for await (const { errors } of client.iterate({ query })) return errors
      return undefined
    })()
    await expect(refused.catch((errors: unknown) => errors)).resolves.toMatchObject([{ extensions: { code: 'EVALUATION_NOT_FOUND' } }])
    await client.dispose()
  })
})
