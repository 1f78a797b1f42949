import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase, type ReadableDatabase } from '../../../src/api/cache/database.js'
import { followedJobs } from '../../../src/api/cache/followed.js'
import { type JobCache, jobCache } from '../../../src/api/cache/jobs.js'
import { formatCursor } from '../../../src/contract/cursor.js'
import { toTimestamp } from '../../../src/contract/proto.js'
import type { Job__Output } from '../../../src/generated/proto/scaimind/v1/Job.js'
import type { JobEvent__Output } from '../../../src/generated/proto/scaimind/v1/JobEvent.js'
import { newTenantId } from '../../support/api.js'
import { freshDatabase } from '../../support/database.js'
import { wireJob } from '../../support/wire-job.js'

let database: ReadableDatabase
let cache: JobCache
const lost: string[] = []

beforeAll(async () => {
  database = openDatabase(await freshDatabase('api'))
  cache = jobCache(database)
})
afterAll(() => database?.$disconnect())

function event(of: Job__Output, sequence: number, type: JobEvent__Output['type'] = 'UPDATED'): JobEvent__Output {
  const cursor = formatCursor({ kind: 'events', topic: '*', attempt: 0, sequence })
  const { tenant_id, job_id, status } = of
  return {
    cursor,
    sequence: String(sequence),
    tenant_id,
    job_id,
    type,
    from_status: status,
    to_status: status,
    time: null,
    message: '',
    attempt: 0,
    job: type === 'DELETED' ? null : of,
  }
}

describe('The cache of jobs', () => {
  it('keeps what it is given, to the millisecond and to the last digit', async () => {
    const tenant = newTenantId()
    const whole = wireJob(tenant, {
      name: 'naïve 🦊',
      labels: { team: 'nlp', Ünïcode: 'ß' },
      created_at: toTimestamp(new Date('2026-11-20T22:28:04.123Z')),
      data_config: { seed: '9223372036854775807' },
      training_config: { training_type: 'LORA', base_model: { model_id: 'm' }, priority: 0 },
    })
    await cache.write([whole])
    expect((await cache.get(tenant, whole.job_id))?.job).toEqual(whole)
    const row = await database.job.findUniqueOrThrow({ where: { jobId: whole.job_id }, include: { labels: true } })
    expect(row).toMatchObject({ createdAt: new Date('2026-11-20T22:28:04.123Z'), priority: 0, startedAt: null, revision: 1n })
    expect(row.labels).toHaveLength(2)
  })

  it('a revision that is not newer changes nothing, whatever the order and however many write at once', async () => {
    const tenant = newTenantId()
    const base = wireJob(tenant)
    const revisions =
      fc.sample(
        fc.shuffledSubarray(
          Array.from({ length: 30 }, (_, index) => index + 1),
          { minLength: 30 },
        ),
        1,
      )[0] ?? []
    const versions = revisions.map((revision) => ({
      ...base,
      revision: String(revision),
      name: `name ${revision}`,
      labels: { revision: String(revision) },
    }))
    await Promise.all(versions.map((version) => cache.write([version])))
    expect((await cache.get(tenant, base.job_id))?.job.name).toBe('name 30')
    const row = await database.job.findUniqueOrThrow({ where: { jobId: base.job_id }, include: { labels: true } })
    expect(row).toMatchObject({ revision: 30n, name: 'name 30', labels: [{ key: 'revision', value: '30' }] })
  })

  it('a job that names no training type, as evaluations are, is kept', async () => {
    const tenant = newTenantId()
    const evaluation = wireJob(tenant, { training_config: { framework: {} }, labels: { type: 'evaluation' } })
    expect(evaluation.training_config?.training_type).toBe('TRAINING_TYPE_UNSPECIFIED')
    await cache.write([evaluation])
    expect((await cache.get(tenant, evaluation.job_id))?.job).toEqual(evaluation)
    expect(await database.job.findUnique({ where: { jobId: evaluation.job_id } })).toMatchObject({
      trainingType: '',
      framework: 'HF_TRAINER',
    })
  })

  it('another tenant sees nothing of it', async () => {
    const [tenant, other] = [newTenantId(), newTenantId()]
    const mine = wireJob(tenant)
    await cache.write([mine])
    expect(await cache.get(other, mine.job_id)).toBeNull()
    expect(await cache.getMany(other, [mine.job_id])).toEqual([])
    expect(await cache.count(other, {})).toBe(0)
  })

  it('events and the cursor are written together, deletions too, and the cursor never goes back', async () => {
    const followed = followedJobs(database, (jobId) => lost.push(jobId))
    const tenant = newTenantId()
    const [one, two] = [wireJob(tenant), wireJob(tenant)]
    await followed.apply([event(one, 101), event(two, 102), event({ ...one, revision: '2', name: 'b' }, 103)])
    expect((await cache.get(tenant, one.job_id))?.job.name).toBe('b')
    await followed.apply([event(two, 104, 'DELETED')])
    expect(await cache.get(tenant, two.job_id)).toBeNull()
    await followed.apply([event({ ...one, name: 'late' }, 50)])
    expect(await followed.cursor()).toBe(event(one, 104).cursor)
  })

  it('a job that cannot be kept holds up no other: it is left out, and told', async () => {
    const followed = followedJobs(database, (jobId) => lost.push(jobId))
    const tenant = newTenantId()
    const [one, broken, two] = [wireJob(tenant), { ...wireJob(tenant), status: 'X'.repeat(50) as never }, wireJob(tenant)]
    await followed.apply([event(one, 201), event(broken, 202), event(two, 203)])
    expect(await cache.getMany(tenant, [one.job_id, broken.job_id, two.job_id])).toHaveLength(2)
    expect([lost, await followed.cursor()]).toEqual([[broken.job_id], event(two, 203).cursor])
    await followed.load([{ ...one, revision: '7', name: 'loaded' }, broken])
    expect((await cache.get(tenant, one.job_id))?.job.name).toBe('loaded')
    await followed.apply([event(broken, 204)])
    expect(await followed.cursor()).toBe(event(broken, 204).cursor)
  })

  it('a new loading drops what it did not show, but nothing that was written meanwhile', async () => {
    const followed = followedJobs(database, (jobId) => lost.push(jobId))
    const tenant = newTenantId()
    const [seen, gone] = [wireJob(tenant), wireJob(tenant)]
    await cache.write([seen, gone])
    await new Promise((done) => setTimeout(done, 5))
    const startedAt = new Date()
    await new Promise((done) => setTimeout(done, 5))
    const meanwhile = wireJob(tenant)
    await cache.write([meanwhile])
    await followed.loaded(new Set([seen.job_id]), startedAt, event(seen, 200).cursor)
    expect(await Promise.all([seen, gone, meanwhile].map(async ({ job_id }) => (await cache.get(tenant, job_id)) !== null))).toEqual([
      true,
      false,
      true,
    ])
  })
})
