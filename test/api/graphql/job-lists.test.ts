import { execute, parse } from 'graphql'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase, type ReadableDatabase } from '../../../src/api/cache/database.js'
import { jobChanges } from '../../../src/api/cache/job-changes.js'
import { jobCache } from '../../../src/api/cache/jobs.js'
import type { Sql } from '../../../src/api/cache/sql.js'
import { createContext } from '../../../src/api/graphql/door/execution.js'
import { schema } from '../../../src/api/graphql/schema.js'
import type { Operations } from '../../../src/api/operations/index.js'
import type { JobParts } from '../../../src/api/operations/job-parts.js'
import { jobReads } from '../../../src/api/operations/job-reads.js'
import { callerOf, newTenantId, silent } from '../../support/api.js'
import { freshDatabase } from '../../support/database.js'
import { wireJob } from '../../support/wire-job.js'

let database: ReadableDatabase
beforeAll(async () => {
  database = openDatabase(await freshDatabase('api'))
})
afterAll(() => database?.$disconnect())

/** Runs a query as a tenant, and tells what it asked of the database. */
async function ask(tenantId: string, query: string) {
  const queries: string[] = []
  const $read = (asked: Sql) => {
    queries.push(asked.text)
    return database.$read(asked)
  }
  const jobs = jobReads({
    cache: jobCache({ $read } as ReadableDatabase),
    changes: jobChanges(),
    isFresh: () => true,
    log: silent,
  } as unknown as JobParts)
  const parts = { operations: { jobs } as unknown as Operations, limits: { complexity: 20_000, listLength: 500 } as never, log: silent }
  const contextValue = createContext(parts, callerOf(tenantId).viewer, 'test')
  const result = await execute({ schema, document: parse(query), contextValue })
  expect(result.errors).toBeUndefined()
  return { data: JSON.parse(JSON.stringify(result.data)), queries }
}

async function someJobs(count: number): Promise<string> {
  const tenant = newTenantId()
  const job = () =>
    wireJob(tenant, {
      user_id: 'ada',
      updated_at: { seconds: '1700000100', nanos: 0 },
      message: 'waits',
      content_hash: 'h',
      started_at: { seconds: '1700000000', nanos: 5e6 },
    })
  await jobCache(database).write(Array.from({ length: count }, job))
  return tenant
}

const light = 'id jobId name status message userId revision contentHash gpuSeconds createdAt startedAt finishedAt updatedAt syncedAt stale'

describe('A list of jobs', () => {
  it('of light fields reads no document, in one query, and answers the same as with documents', async () => {
    const tenant = await someJobs(3)
    const columns = await ask(
      tenant,
      `{ jobs(first: 2) { edges { cursor node { ...F __typename } } pageInfo { endCursor hasNextPage } } } fragment F on Job { ${light} }`,
    )
    expect(columns.queries).toHaveLength(1)
    expect(columns.queries[0]).not.toContain('document')
    const whole = await ask(
      tenant,
      `{ jobs(first: 2) { edges { cursor node { ${light} __typename labels { key } } } pageInfo { endCursor hasNextPage } } }`,
    )
    expect(whole.queries).toEqual([expect.stringContaining('document')])
    for (const { node } of whole.data.jobs.edges) delete node.labels
    expect(columns.data).toEqual(whole.data)
    expect(columns.data.jobs.edges[0].node).toMatchObject({
      startedAt: '2023-11-14T22:13:20.005Z',
      finishedAt: null,
      userId: 'ada',
      revision: 1,
    })
  })

  it('reads the documents where any field needs them, also one that may be skipped, in one query', async () => {
    const tenant = await someJobs(3)
    const { queries, data } = await ask(
      tenant,
      '{ jobs { nodes { name ... on Node { id } trainingConfig @skip(if: true) { priority } } } }',
    )
    expect(queries).toEqual([expect.stringContaining('document')])
    expect(data.jobs.nodes).toHaveLength(3)
  })

  it('is counted only where that is asked for', async () => {
    const tenant = await someJobs(3)
    const counts = (queries: string[]) => queries.filter((text) => text.includes('COUNT(')).length
    const listed = await ask(tenant, '{ jobs(first: 1) { nodes { name } pageInfo { hasNextPage } } }')
    expect(counts(listed.queries)).toBe(0)
    const counted = await ask(tenant, '{ jobs(first: 1, filter: { archived: INCLUDE }) { totalCount } }')
    expect(counts(counted.queries)).toBe(1)
    expect(counted.data.jobs.totalCount).toBe(3)
  })
})
