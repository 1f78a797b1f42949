import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { currentLink, modelFolder, pointTo } from '../../../src/coordinator/jobs/models/folders.js'
import { type ModelRegistry, modelRegistry, type NewModel } from '../../../src/coordinator/jobs/models/registry.js'
import { openDatabase, underLease } from '../../../src/coordinator/jobs/records/database.js'
import type { RegisteredModel__Output } from '../../../src/generated/proto/scaimind/v1/RegisteredModel.js'
import { silent } from '../../support/api.js'
import { freshDatabase } from '../../support/database.js'

let database: ReturnType<typeof openDatabase>
let dataDir: string
let models: ModelRegistry

beforeAll(async () => {
  database = openDatabase(await freshDatabase('coordinator'))
  dataDir = mkdtempSync(join(tmpdir(), 'scaimind-models-'))
  models = nextLife()
})
afterAll(async () => {
  await database?.$disconnect()
  rmSync(dataDir, { recursive: true, force: true })
})

const nextLife = () =>
  modelRegistry({ database: underLease(database, 0n), dataDir, log: silent as never, clock: () => new Date(1_900_000_000_000) })
const freshTenant = () => `t-${randomBytes(6).toString('hex')}`
const always = async () => true

function newModel(tenantId: string, content: string, more: Partial<NewModel> = {}): NewModel {
  const source = mkdtempSync(join(dataDir, 'output-'))
  writeFileSync(join(source, 'weights'), content)
  const facts = { kind: 'model', modelType: '', loraRank: 0, basePath: 'org/base', baseModel: { model_id: 'org/base' } as never }
  return { tenantId, name: 'best', source, isMeant: () => true, jobId: 'job_1', checkpoint: null, ...facts, ...more }
}
async function registered(model: NewModel): Promise<RegisteredModel__Output> {
  const made = await models.register(model, always)
  if (!made) throw new Error('It was not registered.')
  return made
}
const rowsOf = (tenantId: string) => database.registeredModel.findMany({ where: { tenantId } })
const linkOf = (tenantId: string) => readlinkSync(currentLink(dataDir, { tenantId, name: 'best' }))
const namesIn = (tenantId: string) => readdirSync(join(dataDir, 'models', tenantId)).sort()

describe('Registering a model', () => {
  it('again, after a crash at any point, changes nothing', async () => {
    const tenantId = freshTenant()
    const model = newModel(tenantId, 'one')
    const once = await registered(model)
    const names = namesIn(tenantId)
    // Before the link was led to it; before it was on record; before its folder had its name.
    rmSync(currentLink(dataDir, model))
    expect(await registered(model)).toEqual(once)
    expect(namesIn(tenantId)).toEqual(names)
    await database.registeredModel.deleteMany({ where: { tenantId } })
    expect(await registered(model)).toMatchObject({ path: once.path, content_hash: once.content_hash, current: true })
    rmSync(once.path, { recursive: true })
    await registered(model)
    expect(namesIn(tenantId)).toEqual(names)
    expect(readFileSync(join(once.path, 'weights'), 'utf8')).toBe('one')
  })

  it('keeps what was copied, whatever becomes of the file that it was copied from', async () => {
    const model = newModel(freshTenant(), 'as it was')
    const { path } = await registered(model)
    writeFileSync(join(model.source, 'weights'), 'changed in place')
    expect(readFileSync(join(path, 'weights'), 'utf8')).toBe('as it was')
  })

  it('makes it current, also where its content was registered before another', async () => {
    const tenantId = freshTenant()
    const first = await registered(newModel(tenantId, 'a'))
    await registered(newModel(tenantId, 'b', { jobId: 'job_2' }))
    const again = await registered(newModel(tenantId, 'a', { jobId: 'job_3' }))
    expect(again).toMatchObject({ registered_model_id: first.registered_model_id, path: first.path, job_id: 'job_3', current: true })
    expect(join(dataDir, 'models', tenantId, linkOf(tenantId))).toBe(first.path)
    expect((await rowsOf(tenantId)).filter(({ current }) => current)).toHaveLength(1)
  })

  it('leaves nothing of one that is not wanted any more, nor of one that cannot be copied', async () => {
    const tenantId = freshTenant()
    expect(await models.register(newModel(tenantId, 'late'), async () => false)).toBeNull()
    await expect(models.register({ ...newModel(tenantId, ''), source: join(dataDir, 'nowhere') }, always)).rejects.toThrow(/ENOENT/)
    expect([await rowsOf(tenantId), namesIn(tenantId)]).toEqual([[], []])
  })

  it('of a checkpoint, and of the job’s output after it, leaves the checkpoint before: a server may still be reading it', async () => {
    const tenantId = freshTenant()
    const at = (step: bigint) => ({ checkpoint: { checkpointId: `ckpt_${tenantId}_${step}`, step } })
    const rowIds = async () => (await rowsOf(tenantId)).map(({ registeredModelId: id }) => id).sort()
    const stays = await registered(newModel(tenantId, 'of another job', { jobId: 'job_0' }))
    let before: typeof stays | null = null
    for (const step of [1n, 2n, 3n, 4n]) {
      const model = step === 4n ? newModel(tenantId, 'done') : newModel(tenantId, `step ${step}`, at(step))
      const latest = await registered(model)
      expect(latest.current).toBe(true)
      const left = [stays, latest, ...(before ? [before] : [])]
      expect(await rowIds()).toEqual(left.map(({ registered_model_id: id }) => id).sort())
      expect(namesIn(tenantId)).toHaveLength(left.length + 1)
      before = latest
    }
  })
})

it('a watcher of the link sees a whole model at every moment while it moves', async () => {
  const tenantId = freshTenant()
  const model = { tenantId, name: 'best' }
  const made = [await registered(newModel(tenantId, 'even')), await registered(newModel(tenantId, 'odd'))]
  const link = currentLink(dataDir, model)
  const seen = new Set<string>()
  let isOver = false
  const watching = (async () => {
    while (!isOver) {
      seen.add(readFileSync(join(link, 'weights'), 'utf8'))
      await new Promise((done) => setImmediate(done))
    }
  })()
  for (let move = 0; move < 200; move++) await pointTo(dataDir, model, made[move % 2]?.content_hash ?? '')
  isOver = true
  await watching
  expect([...seen].sort()).toEqual(['even', 'odd'])
})

describe('The next life', () => {
  it('throws away half copies, finishes deletions, and leads links to what is current', async () => {
    const tenantId = freshTenant()
    const kept = await registered(newModel(tenantId, 'kept'))
    const going = await registered(newModel(tenantId, 'going', { jobId: 'job_2' }))
    const folder = join(dataDir, 'models', tenantId)
    mkdirSync(join(folder, '.0123.part'))
    writeFileSync(join(folder, '.0123.part', 'weights'), 'ha')
    // As a crash leaves a deletion: it is on record, and nothing else was done.
    await database.registeredModel.update({
      where: { registeredModelId: going.registered_model_id },
      data: { deleting: true, current: false },
    })
    await expect(models.get(tenantId, going.registered_model_id)).rejects.toThrow(/no registered model/)
    const life = nextLife()
    await life.sweep()
    await life.settle()
    expect(namesIn(tenantId)).toEqual([kept.path, join(folder, 'best@current')].map((path) => path.slice(folder.length + 1)).sort())
    expect(join(folder, linkOf(tenantId))).toBe(kept.path)
    expect(await life.get(tenantId, kept.registered_model_id)).toMatchObject({ current: true })
  })
})

describe('Deleting a registered model', () => {
  it('takes its files; the one before it becomes current, and with the last the link goes', async () => {
    const tenantId = freshTenant()
    const [older, newer] = [await registered(newModel(tenantId, 'older')), await registered(newModel(tenantId, 'newer'))]
    await models.delete(tenantId, newer.registered_model_id)
    expect([existsSync(newer.path), join(dataDir, 'models', tenantId, linkOf(tenantId))]).toEqual([false, older.path])
    await models.delete(tenantId, older.registered_model_id)
    expect(namesIn(tenantId)).toEqual([])
    await expect(models.delete(tenantId, older.registered_model_id)).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' })
  })
})

it('a model is named by twelve characters of its hash or more, by its own tenant', async () => {
  const tenantId = freshTenant()
  const { content_hash: hash, path } = await registered(newModel(tenantId, 'named'))
  expect(modelFolder(dataDir, { tenantId, name: 'best' }, hash)).toBe(path)
  for (const length of [12, 64]) expect(await models.folderOf(tenantId, `models/best@${hash.slice(7, 7 + length)}`)).toBe(path)
  for (const reference of [`models/best@${hash.slice(7, 18)}`, 'models/best@000000000000', 'models/best@current'])
    expect(await models.folderOf(tenantId, reference)).toBeNull()
  expect(await models.folderOf(freshTenant(), `models/best@${hash.slice(7, 19)}`)).toBeNull()
})
