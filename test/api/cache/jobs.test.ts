import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Database, openDatabase } from '../../../src/api/cache/database.js'
import { followedJobs } from '../../../src/api/cache/followed.js'
import { type JobCache, jobCache } from '../../../src/api/cache/jobs.js'
import { jobReads } from '../../../src/api/operations/job-reads.js'
import type { JobFilter, JobOrder } from '../../../src/api/operations/job-types.js'
import type { JobParts } from '../../../src/api/operations/jobs.js'
import { formatCursor } from '../../../src/contract/cursor.js'
import { newJobId } from '../../../src/contract/ids.js'
import { scaimindV1, toTimestamp } from '../../../src/contract/proto.js'
import { jobOrderFields, jobStatuses } from '../../../src/contract/statuses.js'
import type { Job, Job__Output } from '../../../src/generated/proto/scaimind/v1/Job.js'
import type { JobEvent__Output } from '../../../src/generated/proto/scaimind/v1/JobEvent.js'
import { callerOf, newTenantId, silent } from '../../support/api.js'
import { freshDatabase } from '../../support/database.js'

let database: Database
let cache: JobCache

beforeAll(async () => {
  database = openDatabase(await freshDatabase('api'))
  cache = jobCache(database)
})
afterAll(() => database?.$disconnect())

/** A job as it comes off the wire. */
function job(tenantId: string, fields: Job = {}): Job__Output {
  const definition = scaimindV1.CoordinatorService.service.GetJob
  const whole: Job = {
    job_id: newJobId(),
    tenant_id: tenantId,
    revision: '1',
    status: 'QUEUED',
    name: 'a',
    created_at: toTimestamp(new Date()),
    ...fields,
  }
  return definition?.responseDeserialize(definition.responseSerialize(whole)) as Job__Output
}

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
    const whole = job(tenant, {
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
    const base = job(tenant)
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

  it('another tenant sees nothing of it', async () => {
    const [tenant, other] = [newTenantId(), newTenantId()]
    const mine = job(tenant)
    await cache.write([mine])
    expect(await cache.get(other, mine.job_id)).toBeNull()
    expect(await cache.getMany(other, [mine.job_id])).toEqual([])
    expect(await cache.count(other, {})).toBe(0)
  })

  it('events and the cursor are written together, deletions too, and the cursor never goes back', async () => {
    const followed = followedJobs(database)
    const tenant = newTenantId()
    const [one, two] = [job(tenant), job(tenant)]
    await followed.apply([event(one, 101), event(two, 102), event({ ...one, revision: '2', name: 'b' }, 103)])
    expect((await cache.get(tenant, one.job_id))?.job.name).toBe('b')
    await followed.apply([event(two, 104, 'DELETED')])
    expect(await cache.get(tenant, two.job_id)).toBeNull()
    await followed.apply([event({ ...one, name: 'late' }, 50)])
    expect(await followed.cursor()).toBe(event(one, 104).cursor)
    const broken = { ...event(one, 105), job: { ...one, revision: '9', status: 'X'.repeat(50) as never } }
    await expect(followed.apply([broken])).rejects.toThrow()
    expect(await followed.cursor()).toBe(event(one, 104).cursor)
  })

  it('a new loading drops what it did not show, but nothing that was written meanwhile', async () => {
    const followed = followedJobs(database)
    const tenant = newTenantId()
    const [seen, gone] = [job(tenant), job(tenant)]
    await cache.write([seen, gone])
    await new Promise((done) => setTimeout(done, 5))
    const startedAt = new Date()
    await new Promise((done) => setTimeout(done, 5))
    const meanwhile = job(tenant)
    await cache.write([meanwhile])
    await followed.loaded(new Set([seen.job_id]), startedAt, event(seen, 200).cursor)
    expect(await Promise.all([seen, gone, meanwhile].map(async ({ job_id }) => (await cache.get(tenant, job_id)) !== null))).toEqual([
      true,
      false,
      true,
    ])
  })
})

describe('Lists of jobs', () => {
  const lists = () => jobReads({ cache, isFresh: () => true, log: silent } as unknown as JobParts)

  async function seed(tenant: string, count: number): Promise<Job__Output[]> {
    const jobs = Array.from({ length: count }, (_, index) =>
      job(tenant, {
        name: `Job ${String(index % 7)}`,
        status: jobStatuses[index % jobStatuses.length] ?? 'QUEUED',
        labels: { parity: index % 2 === 0 ? 'even' : 'odd' },
        training_config: {
          training_type: index % 3 === 0 ? 'SFT' : 'LORA',
          base_model: { model_id: `model-${index % 2}` },
          framework: { type: index % 4 === 0 ? 'FSDP' : 'HF_TRAINER' },
          priority: index % 11,
        },
        // Many at the same moment, so that the id has to break ties.
        created_at: toTimestamp(new Date(1_700_000_000_000 + Math.floor(index / 5) * 1000)),
        ...(index % 3 === 0 ? {} : { started_at: toTimestamp(new Date(1_700_000_000_000 + (index % 5) * 1000)) }),
      }),
    )
    await cache.write(jobs)
    return jobs
  }

  /** Reads all pages; `between` is called after each. */
  async function all(
    tenant: string,
    size: number,
    orderBy: JobOrder | null,
    backward: boolean,
    between: () => Promise<void> = async () => {},
  ) {
    const ids: string[] = []
    let cursor: string | null = null
    for (;;) {
      const page = backward ? { last: size, before: cursor } : { first: size, after: cursor }
      const { edges, pageInfo } = await lists().list(callerOf(tenant), { orderBy, page })
      const shown = edges.map(({ node }) => node.job.job_id)
      if (backward) ids.unshift(...shown)
      else ids.push(...shown)
      if (!(backward ? pageInfo.hasPreviousPage : pageInfo.hasNextPage)) return ids
      cursor = backward ? pageInfo.startCursor : pageInfo.endCursor
      await between()
    }
  }

  it('in every order, in both directions and with every page size, every job is there once', async () => {
    const tenant = newTenantId()
    const jobs = await seed(tenant, 40)
    const expected = jobs.map(({ job_id }) => job_id).sort()
    const orders = jobOrderFields.flatMap((field) => [true, false].map((descending) => ({ field, descending })))
    for (const order of [null, ...orders]) {
      const once = await all(tenant, 100, order, false)
      expect([...once].sort()).toEqual(expected)
      for (const size of [1, 7]) {
        expect(await all(tenant, size, order, false)).toEqual(once)
        expect(await all(tenant, size, order, true)).toEqual(once)
      }
    }
  })

  it('jobs that are added while someone pages move nothing: each job that was there is shown once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom(...jobOrderFields),
        fc.boolean(),
        fc.array(fc.integer({ min: 0, max: 12_000 }), { minLength: 1, maxLength: 6 }),
        async (size, field, descending, times) => {
          const tenant = newTenantId()
          const before = (await seed(tenant, 25)).map(({ job_id }) => job_id)
          let round = 0
          const shown = await all(tenant, size, { field, descending }, false, async () => {
            const at = times[round++]
            if (at === undefined) return
            await cache.write([job(tenant, { created_at: toTimestamp(new Date(1_700_000_000_000 + at)), name: `Job ${at % 7}` })])
          })
          expect(new Set(shown).size).toBe(shown.length)
          expect(before.filter((id) => !shown.includes(id))).toEqual([])
        },
      ),
      { numRuns: 12 },
    )
  })

  it('filters mean what they say, together', async () => {
    const tenant = newTenantId()
    const jobs = await seed(tenant, 60)
    const evaluation = job(tenant, { labels: { type: 'evaluation' }, name: 'eval' })
    await cache.write([evaluation])
    const matching = async (filter: JobFilter) => {
      const { edges } = await lists().list(callerOf(tenant), { filter, page: { first: 100 } })
      expect(await lists().count(callerOf(tenant), filter)).toBe(edges.length)
      return edges.map(({ node }) => node.job)
    }
    expect(await matching({})).toHaveLength(60)
    expect((await matching({ labels: { type: 'evaluation' } })).map(({ name }) => name)).toEqual(['eval'])
    expect(await matching({ statuses: ['QUEUED', 'FAILED'] })).toHaveLength(
      jobs.filter(({ status }) => ['QUEUED', 'FAILED'].includes(status)).length,
    )
    expect((await matching({ labels: { parity: 'odd' }, trainingTypes: ['SFT'] })).every((one) => one.labels.parity === 'odd')).toBe(true)
    expect(await matching({ frameworks: ['FSDP'], baseModel: 'model-0' })).toHaveLength(15)
    expect(await matching({ nameContains: 'jOB 3' })).toHaveLength(jobs.filter(({ name }) => name === 'Job 3').length)
    expect(await matching({ nameContains: '%' })).toHaveLength(0)
    expect(await matching({ nameContains: "'; DROP TABLE job; --" })).toHaveLength(0)
    expect(await matching({ createdAfter: new Date(1_700_000_005_000), createdBefore: new Date(1_700_000_007_000) })).toHaveLength(5)
  })

  it('a cursor of another order, a malformed one and a page that is too large are refused', async () => {
    const tenant = newTenantId()
    await seed(tenant, 3)
    const list = (page: object, orderBy: JobOrder | null = null) => lists().list(callerOf(tenant), { orderBy, page })
    const cursor = (await list({ first: 1 })).pageInfo.endCursor
    await expect(list({ first: 1, after: cursor }, { field: 'name', descending: true })).rejects.toMatchObject({ code: 'CURSOR_INVALID' })
    await expect(list({ first: 1, after: 'rubbish' })).rejects.toMatchObject({ code: 'CURSOR_INVALID' })
    await expect(list({ first: 101 })).rejects.toMatchObject({ code: 'VALIDATION_ERROR', fields: [{ path: 'first' }] })
    await expect(list({ first: 1, last: 1 })).rejects.toMatchObject({ code: 'VALIDATION_ERROR' })
  })
})
