import { randomBytes } from 'node:crypto'
import { pino } from 'pino'
import { apiKeyStore } from '../../src/api/auth/api-keys.js'
import { permissions } from '../../src/api/auth/permissions.js'
import type { Caller } from '../../src/api/auth/viewer.js'
import { type Database, openDatabase } from '../../src/api/cache/database.js'
import { type Api, startApi } from '../../src/api/server.js'
import { readApiConfig } from '../../src/config.js'
import type { TenantId } from '../../src/contract/ids.js'
import { freshDatabase } from './database.js'
import { StubCoordinator } from './stub-coordinator.js'

/** An API in this process, on a database of its own, in front of a stub coordinator. */
export interface ApiUnderTest {
  api: Api
  stub: StubCoordinator
  database: Database
  databaseUrl: string
  /** A tenant of its own, with a key. */
  tenant(grants?: string[]): Promise<TenantUnderTest>
  close(): Promise<void>
}

/** A tenant and how it asks. */
export interface TenantUnderTest {
  id: TenantId
  key: string
  keyId: string
  /** Runs an operation over HTTP. */
  graphql(query: string, variables?: Record<string, unknown>): Promise<Answer>
}

/** An answer of GraphQL. */
export interface Answer {
  // biome-ignore lint/suspicious/noExplicitAny: tests read answers as callers do, by name
  data: any
  // biome-ignore lint/suspicious/noExplicitAny: as above
  errors?: { message: string; path?: (string | number)[]; extensions: any }[]
  status: number
  headers: Headers
}

/** Starts them; settings overrule the API's environment. */
export async function startApiUnderTest(settings: Record<string, string> = {}): Promise<ApiUnderTest> {
  const stub = await new StubCoordinator().start()
  const url = settings.DATABASE_URL ?? (await freshDatabase('api'))
  const config = readApiConfig({
    DATABASE_URL: url,
    SCAIMIND_PORT: '0',
    SCAIMIND_GRPC_PORT: String(stub.port),
    SCAIMIND_API_SECRET: stub.secret,
    SCAIMIND_LOG_LEVEL: process.env.SCAIMIND_LOG_LEVEL ?? 'silent',
    SCAIMIND_GRPC_TIMEOUT_S: '5',
    ...settings,
  })
  const api = await startApi(config)
  const database = openDatabase(url)
  const keys = apiKeyStore(database)
  return {
    api,
    stub,
    database,
    databaseUrl: url,
    async tenant(grants = ['tenant_admin']) {
      const id = newTenantId()
      const { key, keyId } = await keys.create({ tenantId: id, userId: `user-of-${id}`, name: 'test', grants })
      return { id, key, keyId, graphql: (query, variables) => graphql(api.url, key, query, variables) }
    },
    async close() {
      await api.close()
      stub.stop()
      keys.close()
      await database.$disconnect()
    },
  }
}

/** A tenant's name that no other test has. */
export const newTenantId = (): TenantId => `t-${randomBytes(6).toString('hex')}` as TenantId

/** A log that says nothing. */
export const silent = pino({ level: 'silent' })

/** Runs an operation over HTTP, with a key or without. */
export async function graphql(url: string, key: string | null, query: string, variables?: Record<string, unknown>): Promise<Answer> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key ? { authorization: `Bearer ${key}` } : {}) },
    body: JSON.stringify({ query, variables }),
  })
  return { ...((await response.json()) as Pick<Answer, 'data' | 'errors'>), status: response.status, headers: response.headers }
}

/** Looks again until it holds; for what another process or a poll brings about. */
export async function eventually<Value>(
  look: () => Promise<Value> | Value,
  holds: (value: Value) => boolean = Boolean,
  withinMs = 30_000,
): Promise<Value> {
  const deadline = Date.now() + withinMs
  for (;;) {
    const value = await look()
    if (holds(value)) return value
    if (Date.now() > deadline) throw new Error(`not so within ${withinMs} ms; the last look gave ${JSON.stringify(value)?.slice(0, 500)}`)
    await new Promise((done) => setTimeout(done, 20))
  }
}

/** Someone of a tenant who may do everything, for use cases that are called without a server. */
export function callerOf(tenantId: string): Caller {
  const viewer = {
    tenantId: tenantId as TenantId,
    userId: 'someone',
    credential: 'API_KEY' as const,
    keyId: 'key',
    keyName: 'key',
    homeTenantId: tenantId as TenantId,
    expiresAt: null,
    subjectToken: null,
    roles: ['tenant_admin'] as const,
    permissions: new Set(permissions),
    ended: new AbortController().signal,
  }
  return { viewer, requestId: 'test' }
}
