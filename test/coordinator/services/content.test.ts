import { mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SubmitJobResponse__Output } from '../../../src/generated/proto/scaimind/v1/SubmitJobResponse.js'
import { type CoordinatorTenant, keepOnFailure, startTestCoordinator, type TestCoordinator } from '../../support/coordinator.js'
import { records } from '../../support/jobs.js'

let coordinator: TestCoordinator
let tenant: CoordinatorTenant

beforeAll(async () => {
  coordinator = await startTestCoordinator()
  tenant = coordinator.tenant()
})
afterAll(async () => {
  await coordinator?.close()
})

const later = { scheduling_config: { start_after: { seconds: 4_000_000_000 } } }
const lora = (path: string, more: object = {}) => ({
  name: 'tuned',
  training_config: { training_type: 'LORA' as const, base_model: { model_id: 'scaimind/byte-tiny' }, hyperparameters: { max_steps: '2' } },
  data_config: { sources: [{ path }] },
  ...later,
  ...more,
})
const submitted = async (spec: object) => (await tenant.call<SubmitJobResponse__Output>('SubmitJob', { spec })).job

/** An artefact as trainers leave it. */
const leavesAnArtefact = (text: string) => `import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
mkdirSync('output/inner', { recursive: true })
writeFileSync('output/model.bin', ${JSON.stringify(text)})
writeFileSync('output/inner/config.json', '{}')
appendFileSync('events.jsonl', JSON.stringify({ type: 'artefact', time: '2030-01-01T00:00:00Z', kind: 'model', path: 'output', files: ['model.bin'], bytes: 4 }) + '\\n')`

describe('What a job is made of', () => {
  it('is known when it is submitted: its records by hash, its trainer, and the whole', async () => {
    const path = tenant.file('a.jsonl', records(20))
    const job = await submitted(lora(path))
    expect(job?.data_hashes).toEqual([
      { path, content_hash: expect.stringMatching(/^sha256:[0-9a-f]{64}$/), records: '20', dataset_id: '' },
    ])
    expect(job?.code).toMatchObject({ trainer: 'embedded', version: '0.1.0', content_hash: expect.stringMatching(/^sha256:/) })
    expect(job?.content_hash).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(await tenant.job(job?.job_id ?? '')).toMatchObject({ content_hash: job?.content_hash, data_hashes: job?.data_hashes })
  })

  it('is the same for the same records elsewhere, under another name, and another for another record', async () => {
    const job = await submitted(lora(tenant.file('one.jsonl', records(20))))
    const copy = await submitted(
      lora(tenant.file('two.jsonl', `${records(20).replaceAll('\n', '\r\n')}\r\n`), { name: 'again', labels: { a: 'b' } }),
    )
    const other = await submitted(lora(tenant.file('three.jsonl', records(21))))
    expect(copy?.content_hash).toBe(job?.content_hash)
    expect(other?.content_hash).not.toBe(job?.content_hash)
  })

  it('is the same whether a format is that of the file’s name or spelled out', async () => {
    const path = tenant.file('named.jsonl', records(20))
    const [job, spelled] = [
      await submitted(lora(path)),
      await submitted(lora(path, { data_config: { sources: [{ path, format: 'jsonl' }] } })),
    ]
    expect(spelled?.content_hash).toBe(job?.content_hash)
  })

  it('includes the script of a CUSTOM job', async () => {
    const [one, same, other] = await Promise.all(
      ['console.log(1)', 'console.log(1)', 'console.log(2)'].map((script) => submitted(tenant.custom(script, later))),
    )
    expect(one?.code).toMatchObject({ trainer: 'custom', version: '' })
    expect(same?.content_hash).toBe(one?.content_hash)
    expect(other?.content_hash).not.toBe(one?.content_hash)
  })

  it('includes what stands at the path of a tokenizer, and a model’s folder with a link that leads nowhere has one, too', async () => {
    const folder = join(tenant.files, 'tokenizer')
    mkdirSync(folder)
    symlinkSync('/nowhere', join(folder, 'link'))
    const training = { base_model: { model_id: folder, tokenizer_id: folder } }
    const hashed = async (more: object = {}) =>
      (await submitted({ ...tenant.custom('tokenizes', { training: { ...training, ...more } }), ...later }))?.content_hash
    const own = await hashed()
    const other = { base_model: { model_id: 'org/name', tokenizer_id: folder } }
    const before = await hashed(other)
    expect(own).toMatch(/^sha256:/)
    expect(await hashed({ base_model: { model_id: folder } })).toBe(own)
    expect(await hashed(other)).toBe(before)
    writeFileSync(join(folder, 'tokenizer.json'), '{}')
    expect(await hashed(other)).not.toBe(before)
  })

  it('is found out in the background for large files, and told by an event', async () => {
    keepOnFailure(coordinator)
    const path = tenant.file('large.txt', 'a line\n')
    truncateSync(path, 257 * 2 ** 20)
    const spec = tenant.custom('setTimeout(() => {}, 60_000)')
    const job = await submitted({ ...spec, data_config: { sources: [{ path }] } })
    expect(job).toMatchObject({ content_hash: '', data_hashes: [{ path, content_hash: '' }] })
    const told = await tenant.until(job?.job_id ?? '', ({ type, job: now }) => type === 'UPDATED' && now?.content_hash !== '')
    expect(told.job?.data_hashes[0]?.content_hash).toMatch(/^sha256:/)
    await tenant.call('CancelJob', { job_id: job?.job_id })
    // The next submission knows it at once.
    expect((await submitted({ ...spec, ...later, data_config: { sources: [{ path }] } }))?.content_hash).toBe(told.job?.content_hash)
  })

  it('is looked at again when an attempt begins: files may have changed', async () => {
    const path = tenant.file('changes.txt', 'before\n')
    const dependency = await tenant.submit(tenant.custom('setTimeout(() => {}, 60_000)'))
    await tenant.until(dependency, 'TRAINING')
    const spec = { ...tenant.custom('setTimeout(() => {}, 60_000)'), data_config: { sources: [{ path }] } }
    const soon = { start_after: { seconds: Math.ceil(Date.now() / 1000) + 1 } }
    const job = await submitted({ ...spec, scheduling_config: soon })
    writeFileSync(path, 'after\n')
    const told = await tenant.until(job?.job_id ?? '', ({ job: now }) => now?.content_hash !== job?.content_hash)
    expect(told.attempt).toBe(1)
    await Promise.all([dependency, job?.job_id].map((job_id) => tenant.call('CancelJob', { job_id })))
  })
})

describe('The output of a job', () => {
  it('is named by the content of its files, and dated', async () => {
    const [one, same, other] = await Promise.all(
      ['abcd', 'abcd', 'abce'].map(async (text) => {
        const id = await tenant.submit(tenant.custom(leavesAnArtefact(text)))
        await tenant.until(id, 'COMPLETED')
        return (await tenant.job(id)).output
      }),
    )
    expect(one).toMatchObject({ content_hash: expect.stringMatching(/^sha256:[0-9a-f]{64}$/), created_at: { seconds: '1893456000' } })
    expect(same?.content_hash).toBe(one?.content_hash)
    expect(other?.content_hash).not.toBe(one?.content_hash)
  })
})

describe('Work that was done before', () => {
  /** Submits with reuse; the same script is the same work. */
  const again = (by: CoordinatorTenant, text: string, more: object = {}, request: object = {}) =>
    by.call<SubmitJobResponse__Output>('SubmitJob', { spec: { ...by.custom(leavesAnArtefact(text)), ...more }, reuse: true, ...request })
  const done = async (text: string, more: object = {}) => {
    const id = await tenant.submit({ ...tenant.custom(leavesAnArtefact(text)), ...more })
    await tenant.until(id, 'COMPLETED')
    return id
  }

  it('is answered by the newest job that did it, under another name and key, and in a dry run is named', async () => {
    await done('reused')
    const id = await done('reused', { name: 'newest' })
    const spec = { ...tenant.custom(leavesAnArtefact('reused')), name: 'another', labels: { team: 'b' } }
    const ask = () => tenant.call<SubmitJobResponse__Output>('SubmitJob', { spec, reuse: true, idempotency_key: 'reuse-1' })
    const answer = await ask()
    expect(answer).toMatchObject({ reused: true, job: { job_id: id, status: 'COMPLETED', name: 'newest' } })
    expect(answer.message).toContain('has done this work already')
    const planned = await again(tenant, 'reused', {}, { dry_run: true })
    expect(planned).toMatchObject({ reused: true, job: null, plan: { reusable_job_id: id } })
    expect(planned.message).toContain(id)
    // Under its key the first answer stays, whatever becomes of the job.
    await tenant.call('ArchiveJob', { job_id: id, archived: true })
    expect(await ask()).toMatchObject({ reused: true, job: { job_id: id } })
    const others = { spec, idempotency_key: 'reuse-1' }
    expect((await tenant.refused('SubmitJob', others)).code).toBe('IDEMPOTENCY_CONFLICT')
  })

  it('is done again without reuse, by another tenant, and once it is not there any more', async () => {
    const id = await done('gone')
    const others = coordinator.tenant()
    const spec = tenant.custom(leavesAnArtefact('gone'), later)
    expect(await tenant.call('SubmitJob', { spec })).toMatchObject({ reused: false, job: { status: 'QUEUED' } })
    const theirs = await again(others, 'gone', later)
    expect(theirs).toMatchObject({ reused: false, job: { tenant_id: others.id, content_hash: (await tenant.job(id)).content_hash } })
    expect(theirs.message).toContain('No finished job has done this work.')
    rmSync((await tenant.job(id)).output?.path ?? '', { recursive: true })
    expect(await again(tenant, 'gone', later)).toMatchObject({ reused: false })
  })

  it('is found for data that is a folder of files, until one of them changes', async () => {
    const path = join(tenant.files, 'folder')
    mkdirSync(path)
    writeFileSync(join(path, 'a.txt'), 'a line\n')
    await done('folder', { data_config: { sources: [{ path }] } })
    const ask = () => again(tenant, 'folder', { ...later, data_config: { sources: [{ path }] } })
    expect(await ask()).toMatchObject({ reused: true })
    writeFileSync(join(path, 'a.txt'), 'another\n')
    expect(await ask()).toMatchObject({ reused: false })
  })

  it('is done again where the model that it registered was deleted', async () => {
    const output_config = { register_as: 'registered' }
    const id = await done('registered', { output_config })
    const ask = () => again(tenant, 'registered', { ...later, output_config })
    expect(await ask()).toMatchObject({ reused: true })
    await tenant.call('DeleteRegisteredModel', { registered_model_id: (await tenant.job(id)).output?.registered_model_id })
    expect(await ask()).toMatchObject({ reused: false })
  })

  it('is done again where it is archived, or its output is not what is asked for', async () => {
    const id = await done('other')
    expect(await again(tenant, 'other', { ...later, output_config: { merge_adapter: true } })).toMatchObject({ reused: false })
    expect(await again(tenant, 'other', { ...later, output_config: { output_uri: tenant.files } })).toMatchObject({ reused: false })
    expect(await again(tenant, 'other', { ...later, output_config: { export_format: 'safetensors' } })).toMatchObject({ reused: true })
    await tenant.call('ArchiveJob', { job_id: id, archived: true })
    expect(await again(tenant, 'other', later)).toMatchObject({ reused: false })
  })

  it('is not looked for where there is more data than is read at once, and the answer says so', async () => {
    const path = tenant.file('huge.txt', 'a line\n')
    truncateSync(path, 257 * 2 ** 20)
    const answer = await again(tenant, 'huge', { ...later, data_config: { sources: [{ path }] } })
    expect(answer).toMatchObject({ reused: false, job: { content_hash: '' } })
    expect(answer.message).toContain('is not known')
  })
})
