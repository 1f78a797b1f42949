import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase, type ReadableDatabase } from '../../../src/api/cache/database.js'
import { type JobOrder, type JobSelection, jobOrderings } from '../../../src/api/cache/job-query.js'
import { type JobCache, jobCache } from '../../../src/api/cache/jobs.js'
import { listQuery } from '../../../src/api/cache/list-query.js'
import { sql } from '../../../src/api/cache/sql.js'
import { freshDatabase } from '../../support/database.js'

let database: ReadableDatabase
let cache: JobCache
const jobCount = 6000
const tenant = 't-2'
const newest: JobOrder = { field: 'created_at', descending: true }

beforeAll(async () => {
  // One connection, since the server counts the rows that each connection reads.
  database = openDatabase(await freshDatabase('api'), { connections: 1 })
  cache = jobCache(database)
  await fill()
})
afterAll(() => database?.$disconnect())

/** Jobs of two tenants, most of them the one's, made where they are kept: what is rare is at the far end of every list. */
async function fill(): Promise<void> {
  const values = `CONCAT('job_', LPAD(seq, 26, '0')), IF(seq % 4 = 0, 't-1', '${tenant}'), 1, CONCAT('user-', seq % 500), CONCAT('name ', seq % 90),
    ELT(1 + seq % 3, 'QUEUED', 'TRAINING', 'COMPLETED'), 'LORA', 'HF_TRAINER', 'm', '', IF(seq % 5, 5, seq % 11), '', 0, CONCAT('hash-', seq % 900),
    FALSE, '', seq % 2 = 0, FALSE, @start + INTERVAL seq SECOND, IF(seq % 3, @start + INTERVAL seq MINUTE, NULL),
    IF(seq % 3 = 2, @start + INTERVAL 2 * seq MINUTE, NULL), @start + INTERVAL seq % 1000 HOUR, @start, '{}'`
  const statements = [
    "SET @start = '2026-01-01'",
    `INSERT INTO job (job_id, tenant_id, revision, user_id, name, status, training_type, framework, base_model, queue, priority, message, gpu_seconds,
       content_hash, is_evaluation, evaluates_job_id, is_archived, has_output, created_at, started_at, finished_at, updated_at, synced_at, document)
     SELECT ${values} FROM seq_1_to_${jobCount}`,
    `INSERT INTO job_label (job_id, \`key\`, value, tenant_id, created_at)
     SELECT job_id, 'team', IF(RIGHT(job_id, 3) = '001', 'rare', 'nlp'), tenant_id, created_at FROM job`,
    "INSERT INTO job_node (job_id, node_id, tenant_id, created_at) SELECT job_id, IF(RIGHT(job_id, 3) = '001', 'n2', 'n1'), tenant_id, created_at FROM job",
    'ANALYZE TABLE job, job_label, job_node',
  ]
  for (const statement of statements) await database.$read(sql(statement))
}

/** How many rows the server reads for something. */
async function rowsReadBy(work: () => Promise<unknown>): Promise<number> {
  await database.$read(sql('FLUSH STATUS'))
  await work()
  const rows = await database.$read<{ Variable_name: string; Value: string }>(sql("SHOW SESSION STATUS LIKE 'Handler_read%'"))
  return rows.reduce((total, { Value }) => total + Number(Value), 0)
}

const jobsMatching = (selection: JobSelection) => cache.count(tenant, selection)

interface Case {
  what: string
  selection: JobSelection
  ordering?: JobOrder
  /** Ranges of an index that the page is put together from. */
  ranges: number
}

const cases: Case[] = [
  { what: 'the default list', selection: {}, ranges: 1 },
  { what: 'one status', selection: { statuses: ['COMPLETED'] }, ranges: 1 },
  { what: 'three statuses, archived or not', selection: { statuses: ['QUEUED', 'TRAINING', 'COMPLETED'], archived: 'INCLUDE' }, ranges: 6 },
  { what: 'archived and others', selection: { archived: 'INCLUDE' }, ranges: 2 },
  { what: 'a label’s value that few have', selection: { labels: [{ key: 'team', value: 'rare' }], archived: 'INCLUDE' }, ranges: 2 },
  { what: 'a label’s value that most have', selection: { labels: [{ key: 'team', value: 'nlp' }], archived: 'INCLUDE' }, ranges: 2 },
  { what: 'a label by its key', selection: { labels: [{ key: 'team' }], archived: 'INCLUDE' }, ranges: 2 },
  { what: 'a machine', selection: { nodeId: 'n2', archived: 'INCLUDE' }, ranges: 2 },
  { what: 'a user', selection: { userId: 'user-17', archived: 'INCLUDE' }, ranges: 2 },
  { what: 'the same work', selection: { contentHash: 'hash-17', archived: 'INCLUDE' }, ranges: 2 },
  { what: 'a time of submission', selection: { createdBefore: new Date('2026-01-01T00:30:00Z') }, ranges: 1 },
  ...jobOrderings.flatMap((field) =>
    [true, false].map((descending) => ({
      what: `ordered by ${field} ${descending ? 'descending' : 'ascending'}`,
      selection: {},
      ordering: { field, descending },
      ranges: 1,
    })),
  ),
]

describe('What a page of a list costs the database', () => {
  it.each(cases)(
    '$what: as many rows as it shows, on the first page and far into the list',
    async ({ selection, ordering = newest, ranges }) => {
      const limit = 21
      let after: Parameters<JobCache['list']>[4]
      for (const page of [1, 2, 3]) {
        // A row of the page is read in its index and by its key, once more where several ranges are merged, and the ends of ranges are seen.
        const most = ranges === 1 ? 2 * limit + 5 : ranges * (2 * limit + 5) + 5 * limit
        let rows: Awaited<ReturnType<JobCache['list']>> = []
        const read = await rowsReadBy(async () => {
          rows = await cache.list(tenant, selection, ordering, limit, after)
        })
        expect(rows.length, `page ${page}`).toBeGreaterThan(0)
        expect(read, `page ${page}`).toBeLessThanOrEqual(most)
        if (rows.length < limit) break
        const [far] =
          page === 1
            ? await cache.list(tenant, selection, ordering, 100, rows.at(-1)?.place).then((more) => more.slice(-1))
            : rows.slice(-1)
        after = (far ?? rows.at(-1))?.place
      }
    },
  )

  it.each([
    ['job_list_created', {}, newest],
    ['job_list_status_created', { statuses: ['TRAINING'] }, newest],
    ...jobOrderings.map((field) => [`job_list_${field.replace('_at', '')}`, {}, { field, descending: true }] as const),
    ['job_node_list', { nodeId: 'n1' }, newest],
    ['job_label_list', { labels: [{ key: 'team', value: 'nlp' }] }, newest],
    ['job_label_key', { labels: [{ key: 'team' }] }, newest],
  ] as [string, JobSelection, JobOrder][])('%s is read in its order, and nothing is sorted', async (index, selection, ordering) => {
    const query = listQuery(tenant, { selection, ordering, limit: 21 }, ['job_id'])
    const plan = await database.$read<{ key: string; Extra: string }>(sql(`EXPLAIN ${query.text}`, ...query.values))
    expect(plan[0]?.key).toBe(index)
    expect(plan.map(({ Extra }) => Extra).join()).not.toMatch(/filesort|temporary/)
  })

  it('is there to be counted at all', async () => {
    expect(await jobsMatching({ archived: 'INCLUDE' })).toBe(jobCount * 0.75)
  })
})
