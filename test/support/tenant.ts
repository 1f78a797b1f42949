import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { PrismaMariaDb } from '@prisma/adapter-mariadb'
import { createClient } from 'graphql-ws'
import WebSocket from 'ws'
import { apiKeyStore } from '../../src/api/auth/api-keys.js'
import { PrismaClient } from '../../src/generated/prisma/api/client.js'

interface GraphQLAnswer<Data> {
  data: Data
  errors?: { message: string; extensions: { code: string; fields?: { path: string; message: string }[] } }[]
}

/** A REST answer with its parsed envelope. */
export interface RestAnswer {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests read answers as callers do, by name
  body: any
}

/** One tenant with a key, as its front ends and scripts see the system. */
export class Tenant {
  private constructor(
    readonly id: string,
    readonly key: string,
    readonly keyId: string,
    /** The folder whose files this tenant may name. */
    readonly files: string,
    private readonly origin: () => string,
    private readonly prisma: PrismaClient,
  ) {}

  static async create({
    dataDir,
    databaseUrl,
    origin,
    id = `t-${randomBytes(6).toString('hex')}`,
    grants = ['tenant_admin'],
  }: {
    dataDir: string
    databaseUrl: string
    origin: () => string
    id?: string
    grants?: string[]
  }): Promise<Tenant> {
    const prisma = new PrismaClient({ adapter: new PrismaMariaDb(databaseUrl) })
    const { key, keyId } = await apiKeyStore(prisma).create({ tenantId: id, userId: `user-of-${id}`, name: 'test', grants })
    const files = join(dataDir, 'tenants', id, 'files')
    mkdirSync(files, { recursive: true })
    return new Tenant(id, key, keyId, files, origin, prisma)
  }

  /** Writes a file that the tenant's jobs may name; answers its absolute path. */
  file(name: string, content: string): string {
    const path = join(this.files, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
    return path
  }

  /** Runs a query or mutation over HTTP and answers data and errors as they came. */
  async graphql<Data>(query: string, variables: Record<string, unknown> = {}): Promise<GraphQLAnswer<Data>> {
    const response = await fetch(`http://${this.origin()}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${this.key}` },
      body: JSON.stringify({ query, variables }),
    })
    return (await response.json()) as GraphQLAnswer<Data>
  }

  /** The same where errors are not expected. */
  async data<Data>(query: string, variables?: Record<string, unknown>): Promise<Data> {
    const { data, errors } = await this.graphql<Data>(query, variables)
    if (errors) throw new Error(errors.map(({ message }) => message).join('; '))
    return data
  }

  /** One subscription over a WebSocket of its own. It ends with the stream and throws where the connection breaks. */
  async *subscribe<Data>(query: string, variables: Record<string, unknown> = {}): AsyncGenerator<Data> {
    const client = createClient({
      url: `ws://${this.origin()}/graphql`,
      webSocketImpl: WebSocket,
      retryAttempts: 0,
      connectionParams: { authorization: `Bearer ${this.key}` },
    })
    try {
      for await (const { data, errors } of client.iterate<Data>({ query, variables })) {
        if (errors) throw new Error(errors.map(({ message }) => message).join('; '))
        if (data) yield data
      }
    } finally {
      await client.dispose()
    }
  }

  /** Calls `/v1/modules/scaimind` + path. */
  async rest(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<RestAnswer> {
    const response = await fetch(`http://${this.origin()}/v1/modules/scaimind${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text.startsWith('{') ? JSON.parse(text) : text }
  }

  /** Revokes the key that this tenant has. */
  async revokeKey(): Promise<void> {
    await apiKeyStore(this.prisma).revoke(this.keyId)
  }

  async close(): Promise<void> {
    await this.prisma.$disconnect()
  }
}
