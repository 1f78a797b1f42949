import { getEventListeners, setMaxListeners } from 'node:events'
import { Failure } from '../../contract/failure.js'
import type { TenantId } from '../../contract/ids.js'
import type { ApiKey } from '../../generated/prisma/api/client.js'
import type { Database } from '../cache/database.js'
import type { VerifiedKey } from './api-keys.js'
import { parseGrants } from './permissions.js'

interface Watched {
  key: VerifiedKey
  grants: string
  expiresAt: Date | null
  end: AbortController
  /** When the database last said that the key works. */
  verifiedAt: number
  usedAt: number
  /** The use that the database has; 0: none since this process saw the key first. */
  recordedAt: number
}

// A key that nobody used for so long, and that no stream holds, is not watched any more.
const forgetAfterMs = 300_000
// How exact the database's time of last use is.
const recordEveryMs = 60_000

const invalid = () => new Failure('AUTH_TOKEN_INVALID', 'This API key is unknown, revoked or expired.')
const unavailable = (cause?: unknown) =>
  new Failure('DATABASE_UNAVAILABLE', 'The key cannot be checked now: the database is away.', { cause, retryAfterSeconds: 2 })

/**
 * The keys that are in use, by hash. One query every `pollMs` looks whether they still work; one that does not is dropped and its `ended`
 * aborted, which ends its open streams. While the database is away a key goes on until `graceMs` after it was last seen to work.
 */
export function watchKeys(database: Database, { pollMs, graceMs }: { pollMs: number; graceMs: number }) {
  const keys = new Map<string, Watched>()
  let timer: NodeJS.Timeout | undefined
  let closed = false

  function drop(hash: string, reason: Failure): void {
    const watched = keys.get(hash)
    keys.delete(hash)
    watched?.end.abort(reason)
  }

  const isExpired = (expiresAt: Date | null) => expiresAt !== null && expiresAt.getTime() <= Date.now()

  function remember(row: ApiKey): VerifiedKey {
    const known = keys.get(row.hash)
    if (known) {
      known.verifiedAt = Date.now()
      return known.key
    }
    const end = new AbortController()
    // Every connection and stream of the key listens.
    setMaxListeners(0, end.signal)
    const { roles, permissions } = parseGrants(row.grants)
    const { keyId, name: keyName, userId, expiresAt, grants } = row
    const key = { keyId, keyName, tenantId: row.tenantId as TenantId, userId, expiresAt, roles, permissions, ended: end.signal }
    keys.set(row.hash, { key, grants, expiresAt, end, verifiedAt: Date.now(), usedAt: Date.now(), recordedAt: 0 })
    schedule()
    return key
  }

  const isIdle = ({ usedAt, key }: Watched) => Date.now() - usedAt > forgetAfterMs && getEventListeners(key.ended, 'abort').length === 0

  async function poll(): Promise<void> {
    for (const [hash, watched] of keys) if (isIdle(watched)) keys.delete(hash)
    const hashes = [...keys.keys()]
    try {
      const rows = await database.apiKey.findMany({ where: { hash: { in: hashes } } })
      const found = new Map(rows.map((row) => [row.hash, row]))
      for (const hash of hashes) {
        const row = found.get(hash)
        const watched = keys.get(hash)
        if (!watched) continue
        // Changed grants end the key's streams too: what they were allowed is not what the key may now.
        if (!row || row.revokedAt || isExpired(row.expiresAt) || row.grants !== watched.grants) drop(hash, invalid())
        else watched.verifiedAt = Date.now()
      }
    } catch {
      // The database is away: keys go on for their grace, and the next poll looks again.
      for (const [hash, watched] of keys) {
        if (isExpired(watched.expiresAt)) drop(hash, invalid())
        else if (Date.now() - watched.verifiedAt > graceMs) drop(hash, unavailable())
      }
    }
  }

  /** All that were used since they were last recorded, in one statement. */
  async function recordUse(): Promise<void> {
    const due = [...keys].filter(([, { usedAt, recordedAt }]) => usedAt > recordedAt && Date.now() - recordedAt > recordEveryMs)
    if (due.length === 0) return
    const lastUsedAt = new Date()
    for (const [, watched] of due) watched.recordedAt = lastUsedAt.getTime()
    const where = { hash: { in: due.map(([hash]) => hash) } }
    // Without the database the next use is recorded: nothing depends on this one.
    await database.apiKey.updateMany({ where, data: { lastUsedAt } }).catch(() => {})
  }

  function schedule(): void {
    if (timer || closed || keys.size === 0) return
    timer = setTimeout(async () => {
      await poll()
      await recordUse()
      timer = undefined
      schedule()
    }, pollMs)
    timer.unref()
  }

  return {
    /** The key with this hash, asked of the database where it is not watched yet. */
    async get(hash: string): Promise<VerifiedKey> {
      const watched = keys.get(hash)
      if (watched && isExpired(watched.expiresAt)) drop(hash, invalid())
      else if (watched && Date.now() - watched.verifiedAt <= graceMs) {
        watched.usedAt = Date.now()
        return watched.key
      }
      const row = await database.apiKey.findUnique({ where: { hash } })
      if (!row || row.revokedAt || isExpired(row.expiresAt)) throw invalid()
      return remember(row)
    },
    close(): void {
      closed = true
      clearTimeout(timer)
      keys.clear()
    },
  }
}
