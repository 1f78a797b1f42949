import { describe, expect, it } from 'vitest'
import { allow } from '../../../src/api/auth/who-may.js'
import { toTimestamp } from '../../../src/contract/proto.js'
import type { CachedDataset__Output } from '../../../src/generated/proto/scaimind/v1/CachedDataset.js'
import type { ClusterNode__Output } from '../../../src/generated/proto/scaimind/v1/ClusterNode.js'
import type { Dataset__Output } from '../../../src/generated/proto/scaimind/v1/Dataset.js'
import type { DrainForecast__Output } from '../../../src/generated/proto/scaimind/v1/DrainForecast.js'
import type { Evaluation__Output } from '../../../src/generated/proto/scaimind/v1/Evaluation.js'
import type { SourceReport__Output } from '../../../src/generated/proto/scaimind/v1/SourceReport.js'
import type { ValidateSourcesResponse__Output } from '../../../src/generated/proto/scaimind/v1/ValidateSourcesResponse.js'
import { offTheWire, openDoor } from './support.js'

const at = new Date('2027-01-31T08:00:00Z')
const evaluation = offTheWire<Evaluation__Output>('GetEvaluation', {
  evaluation_id: 'eval_00000000000000000000000001',
  tenant_id: 'acme',
  job_id: 'job_00000000000000000000000001',
  status: 'COMPLETED',
  benchmarks: [{ name: 'perplexity', dataset: 'eval.jsonl' }],
  results: [{ name: 'perplexity', scores: { perplexity: 5.3, loss: Number.NaN }, num_samples: 20 }],
  created_at: toTimestamp(at),
})
const view = { evaluation, syncedAt: at, stale: false }
const benchmarks = [{ name: 'perplexity', dataset: 'eval.jsonl' }]

describe('Evaluations', () => {
  it('are submitted with an idempotency key: 201, its id and status', async () => {
    const asked: unknown[] = []
    const submit = async (...[, input]: unknown[]) => {
      asked.push(input)
      return view
    }
    const door = await openDoor({ evaluations: { submit } })
    const body = { job_id: 'job_00000000000000000000000001', benchmarks }
    const { status, body: answer } = await door.send('POST', '/evaluations', { body, headers: { 'idempotency-key': 'once' } })
    expect(status).toBe(201)
    expect(asked).toEqual([{ evaluation: body, idempotencyKey: 'once' }])
    expect(answer.data).toMatchObject({ evaluation_id: evaluation.evaluation_id, status: 'COMPLETED' })
  })

  it('are read with their results; what is no number is null', async () => {
    const door = await openDoor({ evaluations: { get: async () => view } })
    const { body } = await door.send('GET', `/evaluations/${evaluation.evaluation_id}`)
    expect(body.data.results[0]).toMatchObject({ name: 'perplexity', scores: { perplexity: 5.3, loss: null }, num_samples: 20 })
    expect(body.data.failure).toBeNull()
  })

  it('are listed by job, status and page', async () => {
    let asked: unknown
    const listFromCoordinator = async (_caller: unknown, listing: unknown) => {
      asked = listing
      return { evaluations: [evaluation], nextPageToken: 'more', totalCount: 21, stale: true, syncedAt: at }
    }
    const door = await openDoor({ evaluations: { listFromCoordinator } })
    const { body } = await door.send('GET', '/evaluations?job_id=job_1&status=FAILED&page_size=1&page_token=t')
    expect(asked).toEqual({ jobId: 'job_1', statuses: ['FAILED'], pageSize: 1, pageToken: 't' })
    expect(body.data).toMatchObject({ next_page_token: 'more', total_count: 21 })
    expect(body.meta).toMatchObject({ stale: true, synced_at: '2027-01-31T08:00:00.000Z' })
  })

  it('are cancelled with a reason', async () => {
    const asked: unknown[] = []
    const cancel = async (...[, id, options]: unknown[]) => {
      asked.push(id, options)
      return view
    }
    const door = await openDoor({ evaluations: { cancel } })
    await door.send('POST', `/evaluations/${evaluation.evaluation_id}/cancel`, { body: { reason: 'enough' } })
    expect(asked).toEqual([evaluation.evaluation_id, { reason: 'enough' }])
  })
})

describe('Nodes', () => {
  const node = offTheWire<ClusterNode__Output>('GetNode', { node_id: 'gpu01', status: 'DRAINING', reason: 'fan' })

  it('are drained with a reason, a deadline, and eviction', async () => {
    const asked: unknown[] = []
    const drain = async (...[, id, options]: unknown[]) => {
      asked.push(id, options)
      return { node, forecast: null }
    }
    const door = await openDoor({ cluster: { drain } })
    const { body } = await door.send('POST', '/nodes/gpu01/drain', { body: { reason: 'fan', deadline_seconds: 60, evict: true } })
    expect(asked).toEqual(['gpu01', { reason: 'fan', deadlineSeconds: 60, evict: true }])
    expect(body.data).toMatchObject({ node_id: 'gpu01', status: 'DRAINING', reason: 'fan' })
  })

  it('are not drained in a dry run, which answers a forecast', async () => {
    const forecast = offTheWire<DrainForecast__Output>('ForecastDrain', { node, jobs: [{ job_id: 'job_a', gpu_count: 2 }] })
    const door = await openDoor({
      cluster: { drain: async (_caller, _id, options) => ({ node, forecast: options?.dryRun ? forecast : null }) },
    })
    const { body } = await door.send('POST', '/nodes/gpu01/drain', { body: { dry_run: true } })
    expect(body.data).toMatchObject({
      node: { node_id: 'gpu01' },
      jobs: [{ job_id: 'job_a', gpu_count: 2, expected_end: null }],
      free_at: null,
    })
  })

  it('take work again', async () => {
    const door = await openDoor({ cluster: { enable: async () => ({ ...node, status: 'ONLINE' as const }) } })
    expect((await door.send('POST', '/nodes/gpu01/enable')).body.data.status).toBe('ONLINE')
  })

  it('a wrong field is named', async () => {
    const door = await openDoor()
    const { status, body } = await door.send('POST', '/nodes/gpu01/drain', { body: { deadline_seconds: -1, force: true } })
    expect(status).toBe(422)
    expect(body.error.details?.map(({ field }) => field).sort()).toEqual(['deadline_seconds', 'force'])
  })
})

describe('Data', () => {
  const dataset = offTheWire<Dataset__Output>('GetDataset', {
    dataset_id: 'ds_1',
    name: 'a.jsonl',
    format: 'jsonl',
    bytes: '9007199254740993',
  })

  it('sources are validated: readable, records, tokens, sample, problems with their lines', async () => {
    const { sources } = offTheWire<ValidateSourcesResponse__Output>('ValidateSources', {
      sources: [{ path: 'a.jsonl', readable: true, records: '2', problems: [{ line: '3', message: 'This is not JSON.' }] }],
    })
    const asked: unknown[] = []
    const validate = async (...[, input]: unknown[]): Promise<SourceReport__Output[]> => {
      asked.push(input)
      return sources
    }
    const door = await openDoor({ data: { validate } })
    const { body } = await door.send('POST', '/data/validate', { body: { sources: [{ path: 'a.jsonl' }] } })
    expect(asked).toEqual([{ sources: [{ path: 'a.jsonl' }] }])
    expect(body.data.sources[0]).toMatchObject({ readable: true, records: 2, problems: [{ line: 3, message: 'This is not JSON.' }] })
  })

  it('a data set is uploaded as the bytes of the body, in any media type', async () => {
    const upload = async (
      _caller: unknown,
      { name, format, content }: { name: string; format?: string | null; content: AsyncIterable<Uint8Array> },
    ) => {
      const parts: Uint8Array[] = []
      for await (const part of content) parts.push(part)
      return { ...dataset, name, format: format ?? '', sample: Buffer.concat(parts).toString() }
    }
    const door = await openDoor({ data: { upload } })
    const { status, body } = await door.send('POST', '/datasets?name=mine.jsonl&format=jsonl', {
      body: '{"text": "one"}\n',
      headers: { 'content-type': 'application/x-ndjson' },
    })
    expect(status).toBe(201)
    expect(body.data).toMatchObject({ name: 'mine.jsonl', format: 'jsonl', sample: '{"text": "one"}\n', bytes: '9007199254740993' })
  })

  it('a data set without a name is refused, and so is one that names an unknown parameter', async () => {
    const door = await openDoor()
    const { status, body } = await door.send('POST', '/datasets?nmae=x', { body: 'text' })
    expect([status, body.error.details?.map(({ field }) => field)]).toEqual([422, ['name', 'nmae']])
  })

  it('data sets are listed and read', async () => {
    const datasets = async () => ({ datasets: [dataset], nextPageToken: '', totalCount: 1 })
    const door = await openDoor({ data: { datasets, dataset: async () => dataset } })
    expect((await door.send('GET', '/datasets?page_size=5')).body.data).toMatchObject({
      datasets: [{ dataset_id: 'ds_1' }],
      total_count: 1,
    })
    expect((await door.send('GET', '/datasets/ds_1')).body.data).toMatchObject({ dataset_id: 'ds_1', created_at: null })
  })

  it('copies are listed, made and deleted; deleting needs cluster_admin', async () => {
    const cached = offTheWire<CachedDataset__Output>('PrefetchDataset', { dataset_id: 'ds_1', nodes: ['gpu01'], pinned: true })
    const asked: unknown[] = []
    const door = await openDoor({
      data: {
        cache: async () => [cached],
        prefetch: async (...[, id, options]) => {
          asked.push(id, options)
          return cached
        },
        evict: async ({ viewer }) => {
          allow(viewer, 'evictData')
          return { bytesFreed: '12' }
        },
      },
    })
    expect((await door.send('GET', '/data/cache')).body.data).toMatchObject({ datasets: [{ dataset_id: 'ds_1', nodes: ['gpu01'] }] })
    await door.send('POST', '/data/cache/ds_1', { body: { nodes: ['gpu01'], pin: true } })
    expect(asked).toEqual(['ds_1', { nodes: ['gpu01'], pin: true }])
    expect((await door.send('DELETE', '/data/cache/ds_1')).body.data).toEqual({ bytes_freed: 12 })
    expect((await door.send('DELETE', '/data/cache/ds_1', { key: 'sgk_viewer' })).status).toBe(403)
  })
})
