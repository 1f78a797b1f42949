import { createHash } from 'node:crypto'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getIntrospectionQuery } from 'graphql'
import { type Client, createClient } from 'graphql-ws'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import { type ApiUnderTest, startApiUnderTest, type TenantUnderTest } from '../../support/api.js'

const who = '{ viewer { userId } }'
const names = 'query ($n: Int) { jobs(first: $n) { nodes { name } } }'
const hash = createHash('sha256').update(names).digest('hex')

interface Asked {
  query?: string
  documentId?: string
  variables?: Record<string, unknown>
  extensions?: Record<string, unknown>
}
interface Said {
  // biome-ignore lint/suspicious/noExplicitAny: read by name, as callers do
  data?: any
  errors?: { message: string; extensions: { code: string } }[]
  // biome-ignore lint/suspicious/noExplicitAny: read by name, as callers do
  extensions?: any
}

/** Both doors to the same API. */
async function open(settings: Record<string, string>) {
  const under: ApiUnderTest = await startApiUnderTest(settings)
  const tenant: TenantUnderTest = await under.tenant()
  const client: Client = createClient({
    url: `${under.api.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${tenant.key}` },
  })
  const doors: Record<'HTTP' | 'WebSocket', (asked: Asked) => Promise<Said>> = {
    async HTTP(asked) {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${tenant.key}` }
      const response = await fetch(`${under.api.url}/graphql`, { method: 'POST', headers, body: JSON.stringify(asked) })
      return (await response.json()) as Said
    },
    async WebSocket({ documentId, query = '', ...asked }) {
      try {
        const extensions = { ...asked.extensions, ...(documentId ? { documentId } : {}) }
        for await (const result of client.iterate({ query, ...asked, extensions })) return result as Said
        return {}
      } catch (errors) {
        return { errors: errors as NonNullable<Said['errors']> }
      }
    },
  }
  const close = async () => {
    await client.dispose()
    await under.close()
  }
  return { under, tenant, doors, close }
}

type Opened = Awaited<ReturnType<typeof open>>

const refusal = ({ errors }: Said) => errors?.map(({ message, extensions }) => `${extensions.code} ${message}`).join() ?? ''

describe.each(['HTTP', 'WebSocket'] as const)('What an operation asks for over %s', (door) => {
  let opened: Opened
  beforeAll(async () => {
    opened = await open({ SCAIMIND_MAX_LIST_LENGTH: '3', SCAIMIND_MAX_PAGE_SIZE: '50', SCAIMIND_INTROSPECTION: 'false' })
  })
  afterAll(() => opened?.close())
  const ask = (asked: Asked) => opened.doors[door](asked)

  it('a list that is too long is refused, literal or in a variable, with its path', async () => {
    const query = 'query ($filter: JobFilter) { jobs(filter: $filter) { nodes { name } } }'
    const statuses = ['TRAINING', 'QUEUED', 'PAUSED', 'FAILED']
    expect(refusal(await ask({ query, variables: { filter: { status: statuses } } }))).toBe(
      'VALIDATION_ERROR $filter.status: a list has at most 3 items here, not 4.',
    )
    expect(refusal(await ask({ query: `{ jobs(filter: { status: [${statuses}] }) { nodes { name } } }` }))).toMatch(/at most 3 items/)
    expect(refusal(await ask({ query, variables: { filter: { status: statuses.slice(1) } } }))).toBe('')
  })

  it('a page that is too large is refused, literal, by variable or by default', async () => {
    expect(refusal(await ask({ query: '{ jobs(first: 51) { nodes { name } } }' }))).toBe(
      'VALIDATION_ERROR first: a page has at most 50 items, not 51.',
    )
    expect(refusal(await ask({ query: names, variables: { n: 51 } }))).toMatch(/at most 50 items/)
    expect(refusal(await ask({ query: 'query ($n: Int = 51) { jobs(last: $n) { nodes { name } } }' }))).toMatch(/at most 50 items/)
    expect(refusal(await ask({ query: names, variables: { n: 50 } }))).toBe('')
  })

  it('the schema is not told where introspection is off; __typename is', async () => {
    expect(refusal(await ask({ query: getIntrospectionQuery() }))).toMatch(/^VALIDATION_ERROR .*introspection/i)
    expect((await ask({ query: '{ __typename }' })).data).toEqual({ __typename: 'Query' })
  })

  it('its cost is told when it asks for it, and only then', async () => {
    const { extensions } = await ask({ query: names, variables: { n: 7 }, extensions: { cost: true } })
    expect(extensions.cost).toMatchObject({ complexityMax: 20_000, depth: 3, depthMax: 15, aliases: 0, aliasesMax: 50 })
    expect(extensions.cost.complexity).toBeGreaterThan(7)
    const dearer = await ask({ query: names, variables: { n: 50 }, extensions: { cost: true } })
    expect(dearer.extensions.cost.complexity).toBeGreaterThan(extensions.cost.complexity)
    expect((await ask({ query: names })).extensions).toBeUndefined()
  })
})

describe.each(['HTTP', 'WebSocket'] as const)('Trusted documents over %s', (door) => {
  let opened: Opened
  beforeAll(async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'documents-')), 'documents.json')
    writeFileSync(path, JSON.stringify({ [`sha256:${hash}`]: names, whoAmI: who }))
    opened = await open({ SCAIMIND_TRUSTED_DOCUMENTS: path, SCAIMIND_TRUSTED_DOCUMENTS_ONLY: 'true' })
  })
  afterAll(() => opened?.close())
  const ask = (asked: Asked) => opened.doors[door](asked)

  it('run by their id, as Apollo asks for them, and by their very text', async () => {
    expect((await ask({ documentId: 'whoAmI' })).data.viewer.userId).toBe(`user-of-${opened.tenant.id}`)
    expect((await ask({ documentId: `sha256:${hash}`, variables: { n: 1 } })).data.jobs.nodes).toEqual([])
    expect((await ask({ extensions: { persistedQuery: { version: 1, sha256Hash: hash } } })).data.jobs.nodes).toEqual([])
    expect((await ask({ query: who })).data.viewer.userId).toBe(`user-of-${opened.tenant.id}`)
  })

  it('are the only ones that run where they are required', async () => {
    expect(refusal(await ask({ query: '{ viewer { tenantId } }' }))).toMatch(/^VALIDATION_ERROR Only trusted documents/)
    expect(refusal(await ask({ documentId: 'another' }))).toMatch(/^VALIDATION_ERROR documentId: there is no trusted document "another"/)
  })
})

describe('A file of trusted documents that cannot be used', () => {
  it('stops the start with one line that names the setting', async () => {
    await expect(open({ SCAIMIND_TRUSTED_DOCUMENTS: '/nowhere.json' })).rejects.toThrow(
      /^SCAIMIND_TRUSTED_DOCUMENTS: \/nowhere\.json cannot/,
    )
    await expect(open({ SCAIMIND_TRUSTED_DOCUMENTS_ONLY: 'true' })).rejects.toThrow(/needs SCAIMIND_TRUSTED_DOCUMENTS/)
  })
})
