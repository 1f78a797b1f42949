import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { toTimestamp } from '../../../src/contract/proto.js'
import { type ApiUnderTest, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

let under: ApiUnderTest
let tenant: TenantUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
  tenant = await under.tenant()
})
afterAll(() => under?.close())
afterEach(() => {
  under.stub.refusals.clear()
  under.stub.scanBudget = 1000
})

/** `logs(<args>)` of a job. */
async function logs(jobId: string, args: string, variables: Record<string, unknown> = {}) {
  const declared = Object.keys(variables).map((name) => `, $${name}: String`)
  const query = `query ($id: ID!${declared.join('')}) { job(jobId: $id) {
    logs(${args}) { nodes { text } scanSpent pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }`
  const { data, errors } = await tenant.graphql(query, { id: jobId, ...variables })
  return { ...(data?.job?.logs ?? {}), texts: data?.job?.logs?.nodes.map(({ text }: { text: string }) => text), error: errors?.[0] }
}

describe('Log lines', () => {
  it('are chosen by level, rank, attempt, time and pattern, all at once and by the coordinator', async () => {
    const { job_id } = under.stub.addJob(tenant.id)
    const at = (second: number) => ({ time: toTimestamp(new Date(Date.UTC(2026, 10, 21, 0, 0, second))) })
    under.stub.writeLogs(job_id, ['an INFO line'], 'INFO', { rank: 1, attempt: 2, ...at(5) })
    under.stub.writeLogs(job_id, ['rank 0 failed'], 'ERROR', { rank: 0, attempt: 2, ...at(5) })
    under.stub.writeLogs(job_id, ['attempt 1 failed'], 'ERROR', { rank: 1, attempt: 1, ...at(5) })
    under.stub.writeLogs(job_id, ['early failed'], 'ERROR', { rank: 1, attempt: 2, ...at(1) })
    under.stub.writeLogs(job_id, ['late failed'], 'ERROR', { rank: 1, attempt: 2, ...at(9) })
    under.stub.writeLogs(job_id, ['all is well'], 'ERROR', { rank: 1, attempt: 2, ...at(5) })
    under.stub.writeLogs(job_id, ['this one failed'], 'ERROR', { rank: 1, attempt: 2, ...at(5) })
    const page = await logs(
      job_id,
      'level: WARN, rank: 1, attempt: 2, since: "2026-11-21T00:00:05Z", until: "2026-11-21T00:00:09Z", pattern: "failed$"',
    )
    expect(page.error).toBeUndefined()
    expect(page.texts).toEqual(['this one failed'])
  })

  it('that are rare are found page by page: a page whose scan is spent is short, says so, and goes on', async () => {
    under.stub.scanBudget = 10
    const { job_id } = under.stub.addJob(tenant.id)
    under.stub.writeLogs(
      job_id,
      Array.from({ length: 25 }, (_, i) => (i === 22 ? 'the needle' : `hay ${i}`)),
    )
    const pages = []
    let after: string | null = null
    do {
      const page = await logs(job_id, 'first: 5, after: $after, pattern: "needle"', { after })
      pages.push({ texts: page.texts, scanSpent: page.scanSpent, hasNextPage: page.pageInfo.hasNextPage })
      after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null
    } while (after)
    expect(pages).toEqual([
      { texts: [], scanSpent: true, hasNextPage: true },
      { texts: [], scanSpent: true, hasNextPage: true },
      { texts: ['the needle'], scanSpent: false, hasNextPage: false },
    ])
  })

  it('are 100 where nothing is said, and the last ones with last', async () => {
    const { job_id } = under.stub.addJob(tenant.id)
    under.stub.writeLogs(
      job_id,
      Array.from({ length: 130 }, (_, i) => `line ${i}`),
    )
    const first = await logs(job_id, 'rank: 0')
    expect(first.texts).toHaveLength(100)
    expect(first.pageInfo).toMatchObject({ hasNextPage: true, hasPreviousPage: false })
    const rest = await logs(job_id, 'after: $after', { after: first.pageInfo.endCursor })
    expect([rest.texts[0], rest.texts.at(-1), rest.pageInfo.hasNextPage]).toEqual(['line 100', 'line 129', false])
    const last = await logs(job_id, 'last: 2')
    expect(last.texts).toEqual(['line 128', 'line 129'])
    expect(last.pageInfo).toMatchObject({ hasNextPage: false, hasPreviousPage: true })
  })

  it('are read back from the end, page by page, to the first', async () => {
    under.stub.scanBudget = 4
    const { job_id } = under.stub.addJob(tenant.id)
    under.stub.writeLogs(
      job_id,
      Array.from({ length: 10 }, (_, i) => `line ${i}`),
    )
    const pages = []
    let before: string | null = null
    do {
      const page = await logs(job_id, 'last: 3, before: $before, pattern: "[0-57]"', { before })
      pages.push({ texts: page.texts, scanSpent: page.scanSpent, hasNextPage: page.pageInfo.hasNextPage })
      before = page.pageInfo.hasPreviousPage ? page.pageInfo.startCursor : null
    } while (before)
    expect(pages).toEqual([
      { texts: ['line 7'], scanSpent: true, hasNextPage: false },
      { texts: ['line 3', 'line 4', 'line 5'], scanSpent: false, hasNextPage: true },
      { texts: ['line 0', 'line 1', 'line 2'], scanSpent: false, hasNextPage: true },
    ])
  })

  it.each([
    ['first: 1001', 'first', /1 to 1,000/],
    ['last: 0', 'last', /1 to 1,000/],
    ['first: 1, last: 1', 'last', /not both/],
    ['first: 1, before: "x"', 'before', /last/],
    ['last: 1, after: "x"', 'after', /first/],
    ['rank: -1', 'rank', /from 0/],
    ['attempt: 0', 'attempt', /from 1/],
    ['since: "2026-11-21T00:00:00Z", until: "2026-11-21T00:00:00Z"', 'until', /after since/],
    [`pattern: "${'a'.repeat(201)}"`, 'pattern', /200 characters/],
  ])('with %s are refused, naming %s', async (args, path, says) => {
    const { job_id } = under.stub.addJob(tenant.id)
    const { error } = await logs(job_id, args)
    expect(error).toMatchObject({ path: ['job', 'logs'], extensions: { code: 'VALIDATION_ERROR', fields: [{ path }] } })
    expect(error?.extensions.fields[0].message).toMatch(says)
  })

  it('with a pattern that cannot be read are refused in the coordinator’s words, naming pattern', async () => {
    const { job_id } = under.stub.addJob(tenant.id)
    const fields = [{ path: 'pattern', message: 'missing closing ): (a' }]
    under.stub.refusals.set('ReadJobLogs', { code: 'INVALID_ARGUMENT', message: 'pattern: missing closing ): (a', fields })
    const { error } = await logs(job_id, 'pattern: "(a"')
    expect(error?.extensions).toMatchObject({ code: 'INVALID_ARGUMENT', fields })
  })
})
