import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase, type ReadableDatabase } from '../../../src/api/cache/database.js'
import { jobChanges } from '../../../src/api/cache/job-changes.js'
import { jobOrderings } from '../../../src/api/cache/job-query.js'
import { type JobCache, jobCache } from '../../../src/api/cache/jobs.js'
import { matchesFilter } from '../../../src/api/operations/job-filter.js'
import type { JobParts } from '../../../src/api/operations/job-parts.js'
import { jobReads } from '../../../src/api/operations/job-reads.js'
import type { JobFilter, JobOrder, PageArguments } from '../../../src/api/operations/job-types.js'
import { toTimestamp } from '../../../src/contract/proto.js'
import { jobStatuses } from '../../../src/contract/statuses.js'
import type { Job__Output } from '../../../src/generated/proto/scaimind/v1/Job.js'
import type { JobEvent__Output } from '../../../src/generated/proto/scaimind/v1/JobEvent.js'
import { callerOf, newTenantId, silent } from '../../support/api.js'
import { freshDatabase } from '../../support/database.js'
import { wireJob } from '../../support/wire-job.js'

let database: ReadableDatabase
let cache: JobCache

beforeAll(async () => {
  database = openDatabase(await freshDatabase('api'))
  cache = jobCache(database)
})
afterAll(() => database?.$disconnect())

const lists = () => jobReads({ cache, changes: jobChanges(), isFresh: () => true, log: silent } as unknown as JobParts)
const second = (count: number) => toTimestamp(new Date(1_700_000_000_000 + count * 1000))

/** Jobs that differ in all that lists look at, with many equal values, so that the id has to break ties. */
async function seed(tenant: string, count: number): Promise<Job__Output[]> {
  const jobs = Array.from({ length: count }, (_, index) =>
    wireJob(tenant, {
      name: `Job ${String(index % 7)}`,
      user_id: `user-${index % 3}`,
      status: jobStatuses[index % jobStatuses.length] ?? 'QUEUED',
      labels: { parity: index % 2 === 0 ? 'even' : 'odd', ...(index % 5 === 0 ? { fifth: String(index) } : {}) },
      training_config: {
        training_type: index % 3 === 0 ? 'SFT' : 'LORA',
        base_model: { model_id: `model-${index % 2}` },
        framework: { type: index % 4 === 0 ? 'FSDP' : 'HF_TRAINER' },
        priority: index % 11,
      },
      content_hash: `hash-${index % 4}`,
      attempts: index % 3 === 0 ? [] : [{ number: 1, nodes: [`node-${index % 4}`] }],
      nodes: index % 6 === 1 ? ['node-9'] : [],
      created_at: second(Math.floor(index / 5)),
      updated_at: second(index % 6),
      ...(index % 3 === 0 ? {} : { started_at: second(index % 5) }),
      ...(index % 4 === 0 ? { finished_at: second(100 + (index % 5)) } : {}),
      ...(index % 8 === 4 ? { archived_at: second(200) } : {}),
    }),
  )
  await cache.write(jobs)
  return jobs
}

it('a value is matched with the spaces at its end, in labels, users and base models', async () => {
  const tenant = newTenantId()
  const make = (end: string) =>
    wireJob(tenant, {
      name: `with "${end}"`,
      user_id: `ada${end}`,
      labels: { [`team${end}`]: `a${end}` },
      training_config: { training_type: 'LORA', base_model: { model_id: `m${end}` }, framework: { type: 'FSDP' }, priority: 5 },
    })
  await cache.write([make(''), make(' ')])
  const found = async (filter: JobFilter) => {
    const page = await lists().list(callerOf(tenant), { filter })
    expect(await lists().count(callerOf(tenant), filter)).toBe(page.edges.length)
    return page.edges.map(({ node }) => node.job.name)
  }
  for (const end of ['', ' ']) {
    for (const filter of [
      { userId: `ada${end}` },
      { baseModel: `m${end}` },
      { labels: [{ key: `team${end}` }] },
      { labels: [{ key: `team${end}`, value: `a${end}` }] },
      { labels: [{ key: `team${end}`, value: `a${end}` }, { key: `team${end}` }] },
    ]) {
      expect(await found(filter)).toEqual([`with "${end}"`])
    }
  }
})

interface Walk {
  size: number | (() => number)
  orderBy?: JobOrder | null
  filter?: JobFilter
  backward?: boolean
  between?: () => Promise<void>
}

/** Reads all pages, from either end; `between` is called after each. */
async function walk(tenant: string, { size, orderBy = null, filter = {}, backward = false, between = async () => {} }: Walk) {
  const ids: string[] = []
  let cursor: string | null = null
  for (;;) {
    const count = typeof size === 'number' ? size : size()
    const page: PageArguments = backward ? { last: count, before: cursor } : { first: count, after: cursor }
    const { edges, pageInfo } = await lists().list(callerOf(tenant), { filter, orderBy, page })
    const shown = edges.map(({ node }) => node.job.job_id)
    if (backward) ids.unshift(...shown)
    else ids.push(...shown)
    if (!(backward ? pageInfo.hasPreviousPage : pageInfo.hasNextPage)) return ids
    cursor = backward ? pageInfo.startCursor : pageInfo.endCursor
    await between()
  }
}

const anyOrder = fc.record({ field: fc.constantFrom(...jobOrderings), descending: fc.boolean() })
const some = <Value>(...values: Value[]) => fc.option(fc.subarray(values, { minLength: 1 }), { nil: undefined })
const anyTime = fc.option(
  fc.integer({ min: -1, max: 12 }).map((at) => new Date(1_700_000_000_000 + at * 1000)),
  { nil: undefined, freq: 1 },
)
const maybe = <Value>(...values: Value[]) => fc.option(fc.constantFrom(...values), { nil: undefined, freq: 1 })
const anyFilter: fc.Arbitrary<JobFilter> = fc
  .record({
    statuses: some('QUEUED', 'TRAINING', 'FAILED', 'COMPLETED'),
    trainingTypes: some('SFT', 'LORA'),
    frameworks: some('FSDP', 'HF_TRAINER'),
    baseModel: maybe('model-0', 'model-1'),
    labels: maybe([{ key: 'parity', value: 'odd' }], [{ key: 'fifth' }], [{ key: 'fifth' }, { key: 'parity', value: 'even' }], []),
    nameContains: maybe('jOB 3', 'job', '%', '_', "'; DROP TABLE job; --"),
    createdAfter: anyTime,
    createdBefore: anyTime,
    startedAfter: anyTime,
    finishedBefore: maybe(new Date(1_700_000_102_000)),
    userId: maybe('user-1', 'nobody'),
    nodeId: maybe('node-1', 'node-9'),
    contentHash: maybe('hash-2'),
    archived: maybe('EXCLUDE' as const, 'INCLUDE' as const, 'ONLY' as const),
  })
  // Five filters at once leave nothing to look at.
  .chain((whole) => fc.subarray(Object.entries(whole), { maxLength: 3 }).map((kept) => Object.fromEntries(kept) as JobFilter))
  .filter(({ createdAfter, createdBefore }) => !createdAfter || !createdBefore || createdAfter < createdBefore)

describe('Lists of jobs', () => {
  it('in every order, in both directions and with every page size, every job is there once', async () => {
    const tenant = newTenantId()
    const jobs = await seed(tenant, 40)
    const expected = jobs.map(({ job_id }) => job_id).sort()
    const filter = { archived: 'INCLUDE' as const }
    const orders = jobOrderings.flatMap((field) => [true, false].map((descending) => ({ field, descending })))
    for (const orderBy of [null, ...orders]) {
      const once = await walk(tenant, { size: 100, orderBy, filter })
      expect([...once].sort()).toEqual(expected)
      for (const size of [1, 7]) {
        expect(await walk(tenant, { size, orderBy, filter })).toEqual(once)
        expect(await walk(tenant, { size, orderBy, filter, backward: true })).toEqual(once)
      }
    }
  })

  it('whatever the filter, the order and the sizes of the pages, a walk shows the jobs that match, each once, and the count and the stream agree', async () => {
    const tenant = newTenantId()
    const jobs = await seed(tenant, 48)
    await cache.write([wireJob(tenant, { labels: { type: 'evaluation' }, name: 'Job 3' })])
    await fc.assert(
      fc.asyncProperty(
        anyFilter,
        anyOrder,
        fc.boolean(),
        fc.infiniteStream(fc.integer({ min: 1, max: 20 })),
        async (filter, orderBy, backward, sizes) => {
          const expected = jobs.filter((job) => matchesFilter(filter)({ job } as JobEvent__Output)).map(({ job_id }) => job_id)
          const shown = await walk(tenant, { size: () => sizes.next().value, orderBy, filter, backward })
          expect([...shown].sort()).toEqual(expected.sort())
          expect(await walk(tenant, { size: 100, orderBy, filter })).toEqual(shown)
          expect(await lists().count(callerOf(tenant), filter)).toBe(expected.length)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('jobs that are added or changed while someone pages move nothing: each other job that was there is shown once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 9 }),
        anyOrder,
        fc.boolean(),
        fc.array(fc.record({ at: fc.integer({ min: 0, max: 12 }), changed: fc.integer({ min: 0, max: 24 }) }), {
          minLength: 1,
          maxLength: 6,
        }),
        async (size, orderBy, backward, rounds) => {
          const tenant = newTenantId()
          const jobs = await seed(tenant, 25)
          const changed = new Set<string>()
          const filter = { archived: 'INCLUDE' as const }
          let round = 0
          const shown = await walk(tenant, {
            size,
            orderBy,
            filter,
            backward,
            between: async () => {
              const next = rounds[round++]
              const job = next && jobs[next.changed]
              if (!job) return
              changed.add(job.job_id)
              const moved = { priority: next.at % 11, training_type: 'LORA' as const }
              await cache.write([
                wireJob(tenant, { created_at: second(next.at), name: `Job ${next.at % 7}` }),
                wireJob(tenant, {
                  ...job,
                  revision: String(1 + round),
                  name: `Job ${next.at % 7}`,
                  status: 'COMPLETED',
                  started_at: second(next.at),
                  finished_at: second(next.at),
                  updated_at: second(next.at),
                  training_config: moved,
                } as never),
              ])
            },
          })
          const still = jobs.map(({ job_id }) => job_id).filter((id) => !changed.has(id))
          expect(shown.filter((id) => still.includes(id)).sort()).toEqual(still.sort())
        },
      ),
      { numRuns: 25 },
    )
  })

  it('evaluations are listed only where their label is asked for, archived jobs only where it is said', async () => {
    const tenant = newTenantId()
    await cache.write([
      wireJob(tenant, { name: 'job' }),
      wireJob(tenant, { name: 'put away', archived_at: second(1) }),
      wireJob(tenant, { name: 'evaluation', labels: { type: 'evaluation' } }),
    ])
    const names = async (filter: JobFilter) =>
      (await lists().list(callerOf(tenant), { filter, page: { first: 100 } })).edges.map(({ node }) => node.job.name).sort()
    expect(await names({})).toEqual(['job'])
    expect(await names({ archived: 'ONLY' })).toEqual(['put away'])
    expect(await names({ archived: 'INCLUDE' })).toEqual(['job', 'put away'])
    expect(await names({ labels: [{ key: 'type', value: 'evaluation' }] })).toEqual(['evaluation'])
  })

  it('a page knows whether there is more on either side', async () => {
    const tenant = newTenantId()
    await seed(tenant, 5)
    const filter = { archived: 'INCLUDE' as const }
    const page = async (page: PageArguments) => (await lists().list(callerOf(tenant), { filter, page })).pageInfo
    const first = await page({ first: 2 })
    expect(first).toMatchObject({ hasNextPage: true, hasPreviousPage: false })
    expect(await page({ first: 5, after: first.endCursor })).toMatchObject({ hasNextPage: false, hasPreviousPage: true })
    expect(await page({ last: 2 })).toMatchObject({ hasNextPage: false, hasPreviousPage: true })
    expect(await page({ first: 5 })).toMatchObject({ hasNextPage: false, hasPreviousPage: false })
  })

  it('pages, cursors and filters that cannot be meant are refused by name', async () => {
    const tenant = newTenantId()
    await seed(tenant, 3)
    const list = (page: PageArguments, orderBy: JobOrder | null = null, filter: JobFilter = {}) =>
      lists().list(callerOf(tenant), { orderBy, page, filter })
    const refused = (reason: object) => expect.objectContaining(reason)
    const cursor = (await list({ first: 1 })).pageInfo.endCursor
    const byName: JobOrder = { field: 'name', descending: true }
    const [early, late] = [new Date(1_700_000_000_000), new Date(1_700_000_001_000)]
    await expect(list({ first: 1, after: cursor }, byName)).rejects.toEqual(
      refused({ code: 'CURSOR_INVALID', message: expect.stringContaining('created_at descending') }),
    )
    await expect(list({ first: 1, after: 'rubbish' })).rejects.toEqual(refused({ code: 'CURSOR_INVALID' }))
    const forged = Buffer.from(JSON.stringify(['created_at', true, null, 'job_1'])).toString('base64url')
    await expect(list({ first: 1, after: forged })).rejects.toEqual(refused({ code: 'CURSOR_INVALID' }))
    await expect(list({ first: 101 })).rejects.toMatchObject({ code: 'VALIDATION_ERROR', fields: [{ path: 'first' }] })
    await expect(list({ last: 0 })).rejects.toMatchObject({ code: 'VALIDATION_ERROR', fields: [{ path: 'last' }] })
    await expect(list({ first: 1, last: 1 })).rejects.toMatchObject({ code: 'VALIDATION_ERROR', fields: [{ path: 'last' }] })
    await expect(list({ first: 1, before: cursor })).rejects.toMatchObject({ code: 'VALIDATION_ERROR', fields: [{ path: 'before' }] })
    await expect(list({}, null, { createdAfter: late, createdBefore: early })).rejects.toMatchObject({
      code: 'VALIDATION_ERROR',
      fields: [{ path: 'filter.created_after' }],
    })
    await expect(list({}, null, { labels: [{ key: '' }] })).rejects.toMatchObject({ fields: [{ path: 'filter.labels[0].key' }] })
    await expect(list({}, null, { nameContains: 'x'.repeat(256) })).rejects.toMatchObject({ fields: [{ path: 'filter.name_contains' }] })
  })
})
