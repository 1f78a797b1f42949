import { existsSync, readdirSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CachedDataset__Output } from '../../../src/generated/proto/scaimind/v1/CachedDataset.js'
import type { Dataset__Output } from '../../../src/generated/proto/scaimind/v1/Dataset.js'
import type { EvictDatasetResponse__Output } from '../../../src/generated/proto/scaimind/v1/EvictDatasetResponse.js'
import type { ListDataCacheResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListDataCacheResponse.js'
import type { ListDatasetsResponse__Output } from '../../../src/generated/proto/scaimind/v1/ListDatasetsResponse.js'
import type { ValidateSourcesResponse__Output } from '../../../src/generated/proto/scaimind/v1/ValidateSourcesResponse.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator, toRefusal } from '../../support/coordinator.js'
import { records } from '../../support/jobs.js'

let coordinator: TestCoordinator
let tenant: CoordinatorTenant
const node = hostname()

beforeAll(async () => {
  coordinator = await startTestCoordinator({ SCAIMIND_MAX_DATASET_BYTES: '3000000', SCAIMIND_DATA_CACHE_BYTES: '12000' })
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await coordinator?.close()
})

/** Sends content in pieces, as clients do; breaks off after so many pieces where told to. */
function upload(
  by: CoordinatorTenant,
  content: string | Buffer,
  { name = 'data.jsonl', format = '', pieceBytes = 1000, breakAfter = Number.POSITIVE_INFINITY } = {},
): Promise<Dataset__Output> {
  return new Promise((resolve, reject) => {
    const call = by.data.uploadDataset(by.metadata(), (error, dataset) => (error ? reject(error) : resolve(dataset as Dataset__Output)))
    call.on('error', () => {})
    call.write({ description: { name, format } })
    const bytes = Buffer.from(content)
    for (let start = 0, count = 0; start < bytes.length; start += pieceBytes, count++) {
      if (count === breakAfter) return call.cancel()
      call.write({ chunk: bytes.subarray(start, start + pieceBytes) })
    }
    call.end()
  })
}

const refused = (by: CoordinatorTenant, content: string | Buffer, options = {}) =>
  upload(by, content, options).then(
    () => {
      throw new Error('It was accepted.')
    },
    (error: unknown) => toRefusal(error),
  )
const filesOf = (by: CoordinatorTenant) => {
  const folder = join(coordinator.dataDir, 'tenants', by.id, 'datasets')
  return existsSync(folder) ? readdirSync(folder) : []
}
const leftovers = () => {
  const folder = join(coordinator.dataDir, 'uploads')
  return existsSync(folder) ? readdirSync(folder) : []
}
const lines = (text: string, count: number) => `${JSON.stringify({ text })}\n`.repeat(count)

describe('An upload', () => {
  it('is counted, hashed and kept under its content, readable by its owner only', async () => {
    const dataset = await upload(tenant, lines('a record of some length', 5000), { name: 'mine.jsonl', pieceBytes: 7777 })
    expect(dataset).toMatchObject({
      dataset_id: expect.stringMatching(/^ds_[0-9a-z]{26}$/),
      name: 'mine.jsonl',
      format: 'jsonl',
      records: '5000',
      content_hash: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      user_id: 'ada',
      sample: 'a record of some length',
    })
    const [file = ''] = filesOf(tenant)
    expect(file).toBe(`${dataset.content_hash.replace(':', '-')}.jsonl`)
    expect(statSync(join(coordinator.dataDir, 'tenants', tenant.id, 'datasets', file)).mode & 0o777).toBe(0o600)
    expect(leftovers()).toEqual([])
  })

  it('of what is there already answers the first, however it is cut, named, and its lines end', async () => {
    const by = coordinator.tenant()
    const first = await upload(by, lines('again', 3), { pieceBytes: 1 })
    const [second, third] = await Promise.all([
      upload(by, lines('again', 3), { name: 'other.jsonl' }),
      upload(by, lines('again', 3).replaceAll('\n', '\r\n\r\n')),
    ])
    expect([second?.dataset_id, third?.dataset_id]).toEqual([first.dataset_id, first.dataset_id])
    expect(filesOf(by)).toHaveLength(1)
    const stranger = coordinator.tenant()
    expect((await upload(stranger, lines('again', 3))).dataset_id).not.toBe(first.dataset_id)
  })

  it.each([
    ['that is not JSON', `${lines('fine', 2)}{"text": \n`, /^Line 3: This is not JSON/],
    ['that no trainer could use', `${lines('fine', 1)}{"title": "x"}\n`, /^Line 2: Expected a JSON object/],
    ['that is not UTF-8', Buffer.concat([Buffer.from(lines('fine', 1)), Buffer.from([0xff, 0xfe, 0x0a])]), /^Line 2: This is not UTF-8/],
    ['whose list of messages is none', '{"messages": []}\n', /^Line 1: /],
  ])('with a record %s is refused with its line number, and leaves nothing', async (_what, content, message) => {
    const by = coordinator.tenant()
    expect(await refused(by, content)).toMatchObject({
      code: 'INVALID_ARGUMENT',
      fields: [{ path: 'content', message: expect.stringMatching(message) }],
    })
    expect([filesOf(by), leftovers()]).toEqual([[], []])
  })

  it('that is empty, too large, or of an unknown format is refused', async () => {
    const by = coordinator.tenant()
    expect((await refused(by, '\n\n')).fields[0]?.message).toMatch(/no record/)
    expect(await refused(by, lines('x'.repeat(1000), 4000), { pieceBytes: 200_000 })).toMatchObject({ code: 'PAYLOAD_TOO_LARGE' })
    expect((await refused(by, 'x', { name: 'weights.bin' })).fields.map(({ path }) => path)).toEqual(['format'])
    expect((await refused(by, 'x', { name: '', format: 'txt' })).fields.map(({ path }) => path)).toEqual(['name'])
    expect([filesOf(by), leftovers()]).toEqual([[], []])
  })

  it('that breaks off leaves nothing', async () => {
    const by = coordinator.tenant()
    await refused(by, lines('broken', 500), { breakAfter: 3 })
    // The server learns of it a moment later.
    for (let tries = 0; leftovers().length > 0 && tries < 200; tries++) await new Promise((done) => setTimeout(done, 10))
    expect([filesOf(by), leftovers()]).toEqual([[], []])
    expect(await by.call<ListDatasetsResponse__Output>('ListDatasets')).toMatchObject({ total_count: '0' })
  })

  it('that breaks off between two records is not taken for a whole one', async () => {
    const by = coordinator.tenant()
    const call = by.data.uploadDataset(by.metadata(), () => {})
    call.on('error', () => {})
    call.write({ description: { name: 'data.jsonl' } })
    call.write({ chunk: Buffer.from(lines('whole', 3)) })
    const has = async (parts: boolean) => {
      for (let tries = 0; leftovers().length > 0 !== parts && tries < 200; tries++) await new Promise((done) => setTimeout(done, 10))
      expect(leftovers().length > 0).toBe(parts)
    }
    await has(true)
    call.cancel()
    await has(false)
    expect(filesOf(by)).toEqual([])
    expect(await by.call<ListDatasetsResponse__Output>('ListDatasets')).toMatchObject({ total_count: '0' })
  })

  it('is listed newest first in pages, and found by its content', async () => {
    const by = coordinator.tenant()
    const uploaded: Dataset__Output[] = []
    for (const text of ['one', 'two', 'three']) uploaded.push(await upload(by, lines(text, 1)))
    const list = (request: object) => by.call<ListDatasetsResponse__Output>('ListDatasets', request)
    const first = await list({ page_size: 2 })
    const second = await list({ page_size: 2, page_token: first.next_page_token })
    expect([...first.datasets, ...second.datasets].map(({ dataset_id }) => dataset_id)).toEqual(
      uploaded.map(({ dataset_id }) => dataset_id).reverse(),
    )
    expect([first.total_count, second.next_page_token]).toEqual(['3', ''])
    expect((await list({ content_hash: uploaded[1]?.content_hash })).datasets).toEqual([uploaded[1]])
    expect(await by.refused('ListDatasets', { page_token: 'x' })).toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it('of another tenant is not found', async () => {
    const { dataset_id } = await upload(tenant, lines('secret', 1))
    const stranger = coordinator.tenant()
    for (const method of ['GetDataset', 'PrefetchDataset', 'EvictDataset']) {
      expect(await stranger.refused(method, { dataset_id })).toMatchObject({ code: 'DATASET_NOT_FOUND' })
    }
    const job = { ...stranger.custom('console.log(1)'), data_config: { sources: [{ type: 'dataset', path: dataset_id }] } }
    expect((await stranger.refused('SubmitJob', { spec: job })).fields).toEqual([
      { path: 'data_config.sources[0].path', message: `There is no data set "${dataset_id}".` },
    ])
  })
})

describe('Validating sources', () => {
  const validate = async (request: object) => (await tenant.call<ValidateSourcesResponse__Output>('ValidateSources', request)).sources

  it('says what each holds, and every line that cannot be used', async () => {
    const path = tenant.file('mixed.jsonl', `${lines('fine', 2)}{"text": \n${lines('fine', 1)}{"title": "x"}\n`)
    const { dataset_id } = await upload(tenant, lines('uploaded', 2))
    const [mixed, missing, outside, uploaded] = await validate({
      sources: [{ path }, { path: 'missing.jsonl' }, { path: '/etc/passwd' }, { type: 'dataset', path: dataset_id }],
    })
    expect(mixed).toMatchObject({ path, readable: true, records: '3', sample: 'fine', content_hash: expect.stringMatching(/^sha256:/) })
    expect(mixed?.problems.map(({ line }) => line)).toEqual(['3', '5'])
    expect(Number(mixed?.tokens_estimate)).toBe(3 * ('fine'.length + 2))
    expect(missing).toMatchObject({ readable: false, problems: [{ line: '0', message: expect.stringMatching(/does not exist/) }] })
    expect(outside).toMatchObject({ readable: false, problems: [{ message: expect.stringMatching(/not under a folder/) }] })
    expect(uploaded).toMatchObject({ path: dataset_id, readable: true, records: '2', problems: [] })
  })

  it('reads fields by their mapping, and wants pairs for DPO', async () => {
    const path = tenant.file('mapped.jsonl', `${JSON.stringify({ question: 'q', answer: 'a' })}\n`)
    const [mapped] = await validate({ sources: [{ path }], preprocess: { field_mapping: { prompt: 'question', completion: 'answer' } } })
    expect(mapped).toMatchObject({ records: '1', problems: [] })
    const [pairs] = await validate({ sources: [{ path }], training_type: 'DPO' })
    expect(pairs?.problems[0]).toMatchObject({ line: '1', message: expect.stringMatching(/chosen/) })
  })

  it('says of what only the trainer of HuggingFace models reads that nothing of it was checked', async () => {
    const asked = [{ path: tenant.file('table.csv', 'text\nfine\n') }, { path: 'org/data:plain', type: 'huggingface' }]
    const [table, onHub] = await validate({ sources: asked })
    expect(table).toMatchObject({
      readable: false,
      problems: [{ line: '0', message: expect.stringMatching(/^csv .*nothing of it was checked/) }],
    })
    expect(onHub).toMatchObject({
      path: 'org/data:plain',
      problems: [{ message: expect.stringMatching(/on a hub .*nothing of it was checked/) }],
    })
  })

  it('without sources is refused', async () => {
    expect((await tenant.refused('ValidateSources', {})).fields.map(({ path }) => path)).toEqual(['sources'])
  })
})

describe('The data cache', () => {
  const cached = async (by = tenant) => (await by.call<ListDataCacheResponse__Output>('ListDataCache')).datasets

  it('a job reads an uploaded data set from a copy on its node, which stays', async () => {
    keepOnFailure(coordinator)
    const by = coordinator.tenant()
    const { dataset_id, content_hash } = await upload(by, records(20))
    const id = await by.submit({
      name: 'on uploaded data',
      training_config: { training_type: 'LORA', base_model: { model_id: 'scaimind/byte-tiny' }, hyperparameters: { max_steps: '1' } },
      data_config: { sources: [{ type: 'dataset', path: dataset_id }], max_seq_length: 64, batch_size: 2 },
      resource_config: {},
    })
    await by.until(id, 'COMPLETED')
    const job = await by.job(id)
    expect(job.data_config?.sources).toMatchObject([{ type: 'dataset', path: dataset_id }])
    expect(job.data_hashes).toEqual([{ path: dataset_id, dataset_id, content_hash, records: '20' }])
    expect(await cached(by)).toMatchObject([{ dataset_id, content_hash, nodes: [node], pinned: false }])
  })

  it('copies are made ahead, pinned, and deleted with the data set left', async () => {
    const by = coordinator.tenant()
    const { dataset_id, bytes } = await upload(by, lines('prefetch', 10))
    const copy = await by.call<CachedDataset__Output>('PrefetchDataset', { dataset_id, nodes: [node], pin: true })
    expect(copy).toMatchObject({ dataset_id, nodes: [node], pinned: true })
    expect(existsSync(copy.path)).toBe(true)
    expect(await by.refused('PrefetchDataset', { dataset_id, nodes: ['elsewhere'] })).toMatchObject({ code: 'NODE_NOT_FOUND' })
    expect(await by.call<EvictDatasetResponse__Output>('EvictDataset', { dataset_id })).toEqual({ bytes_freed: bytes })
    expect([existsSync(copy.path), await cached(by)]).toEqual([false, []])
    expect(await by.call('GetDataset', { dataset_id })).toMatchObject({ dataset_id })
  })

  it('lets the least used go where there is no more room, never what is pinned', async () => {
    const by = coordinator.tenant()
    const fill = async (text: string, pin = false) => {
      const { dataset_id } = await upload(by, lines(text.padEnd(80, '.'), 40))
      await by.call('PrefetchDataset', { dataset_id, pin })
      return dataset_id
    }
    const pinned = await fill('pinned', true)
    const old = await fill('old')
    const middle = await fill('middle')
    const fresh = await fill('fresh')
    const kept = (await cached(by)).map(({ dataset_id }) => dataset_id)
    expect(kept).toContain(pinned)
    expect(kept).toContain(fresh)
    expect(kept).not.toContain(old)
    expect(kept.length).toBeLessThan([pinned, old, middle, fresh].length)
  })
})
