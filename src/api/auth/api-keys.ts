import { createHash, randomBytes } from 'node:crypto'
import { Failure } from '../../contract/failure.js'
import { isTenantId, newId, type TenantId } from '../../contract/ids.js'
import type { ApiKey } from '../../generated/prisma/api/client.js'
import type { Database } from '../cache/database.js'
import { type Permission, parseGrants, type Role } from './permissions.js'
import { watchKeys } from './watch-keys.js'

/** A key that works now. */
export interface VerifiedKey {
  keyId: string
  keyName: string
  tenantId: TenantId
  userId: string
  expiresAt: Date | null
  roles: readonly Role[]
  permissions: ReadonlySet<Permission>
  /** Aborted with a Failure when the key stops working. */
  ended: AbortSignal
}

/** What a new key is for. */
export interface NewApiKey {
  tenantId: string
  userId: string
  name: string
  /** Role names and permission keys. */
  grants: readonly string[]
  expiresAt?: Date | null
}

/** A key as lists show it: never the key itself. */
export type ApiKeyRow = Omit<ApiKey, 'hash'>

/** The API keys. `sgk_` and 43 random characters, of which only a SHA-256 is stored. */
export interface ApiKeyStore {
  /** Makes a key; this is the only time that it is seen. Throws VALIDATION_ERROR for a tenant that cannot be, and for grants that are neither role nor permission. */
  create(input: NewApiKey): Promise<ApiKeyRow & { key: string }>
  /** Keys of a tenant, or of all, newest first. */
  list(tenantId?: string): Promise<ApiKeyRow[]>
  /** Some keys of a tenant, newest first, or oldest first backwards; beyond a key where one is named. */
  some(tenantId: string, range: { count: number; backward: boolean; beyond?: string | undefined }): Promise<ApiKeyRow[]>
  /** A key of a tenant; null where it has none of this id. */
  get(tenantId: string, keyId: string): Promise<ApiKeyRow | null>
  /** Ends a key, of this tenant where one is named, on every instance within a second. False where there is no such key that works. */
  revoke(keyId: string, tenantId?: string): Promise<boolean>
  /** Throws AUTH_TOKEN_INVALID for an unknown, revoked or expired key, DATABASE_UNAVAILABLE where that cannot be said now. */
  verify(key: string): Promise<VerifiedKey>
  /** Stops following changes. */
  close(): void
}

const hashOf = (key: string) => createHash('sha256').update(key).digest('hex')
const keyPattern = /^sgk_[A-Za-z0-9_-]{32,128}$/

/** The store of API keys. Keys in use are looked at again every `pollMs`, all in one query; while the database is away a key goes on for `graceMs` after it was last seen to work. */
export function apiKeyStore(database: Database, { pollMs = 500, graceMs = 60_000 } = {}): ApiKeyStore {
  const watched = watchKeys(database, { pollMs, graceMs })

  return {
    async create({ tenantId, userId, name, grants, expiresAt = null }) {
      if (!isTenantId(tenantId)) {
        throw new Failure(
          'VALIDATION_ERROR',
          'tenant: a tenant is named by 1 to 64 letters, digits, _ and -, and begins with a letter or digit.',
        )
      }
      const { unknown } = parseGrants(grants.join(' '))
      if (unknown.length > 0 || grants.length === 0) {
        throw new Failure('VALIDATION_ERROR', `grants: ${unknown.join(', ') || 'nothing'} is neither a role nor a permission.`)
      }
      const key = `sgk_${randomBytes(32).toString('base64url')}`
      const row = await database.apiKey.create({
        data: {
          keyId: newId('key'),
          tenantId,
          userId,
          name,
          hash: hashOf(key),
          prefix: key.slice(0, 10),
          grants: [...new Set(grants)].join(' '),
          createdAt: new Date(),
          expiresAt,
        },
        omit: { hash: true },
      })
      return { ...row, key }
    },

    list: (tenantId) =>
      database.apiKey.findMany({
        where: tenantId === undefined ? {} : { tenantId },
        orderBy: [{ createdAt: 'desc' }, { keyId: 'desc' }],
        omit: { hash: true },
      }),

    some: (tenantId, { count, backward, beyond }) =>
      database.apiKey.findMany({
        // Ids sort by time of creation.
        where: { tenantId, ...(beyond ? { keyId: backward ? { gt: beyond } : { lt: beyond } } : {}) },
        orderBy: { keyId: backward ? 'asc' : 'desc' },
        take: count,
        omit: { hash: true },
      }),

    get: (tenantId, keyId) => database.apiKey.findFirst({ where: { tenantId, keyId }, omit: { hash: true } }),

    async revoke(keyId, tenantId) {
      const where = { keyId, revokedAt: null, ...(tenantId === undefined ? {} : { tenantId }) }
      const { count } = await database.apiKey.updateMany({ where, data: { revokedAt: new Date() } })
      return count > 0
    },

    async verify(key) {
      if (!keyPattern.test(key)) throw new Failure('AUTH_TOKEN_INVALID', 'This API key is not known; a key begins with sgk_.')
      return watched.get(hashOf(key))
    },

    close: () => watched.close(),
  }
}
