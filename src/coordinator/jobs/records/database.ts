import { PrismaMariaDb } from '@prisma/adapter-mariadb'
import { PrismaClient } from '../../../generated/prisma/coordinator/client.js'

/** The coordinator's database. */
export type Database = PrismaClient
/** One transaction in it. */
export type Transaction = Parameters<Parameters<PrismaClient['$transaction']>[0]>[0]

/** Opens a pool for `mysql://user:password@host:port/name`; it connects when it is first used. Times are UTC both ways. */
export function openDatabase(url: string, { connections = 10 } = {}): Database {
  const { hostname, port, username, password, pathname } = new URL(url)
  // No `timezone` option: the adapter writes UTC, no statement asks the server for its time, and the driver's own setting
  // of it rejects where nobody listens when the database goes away at that moment.
  const adapter = new PrismaMariaDb({
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 3306),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    database: decodeURIComponent(pathname.slice(1)),
    connectionLimit: connections,
    // A database that is away is told to callers within seconds, and asked again.
    connectTimeout: 3000,
    acquireTimeout: 4000,
  })
  return new PrismaClient({ adapter })
}

const attemptsMax = 10

/**
 * Runs one transaction, again where the database broke it off because another held the lock. It must not do anything outside the database.
 */
export async function transact<Result>(database: Database, work: (tx: Transaction) => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await database.$transaction(work, { isolationLevel: 'ReadCommitted', maxWait: 15_000, timeout: 15_000 })
    } catch (error) {
      if (attempt >= attemptsMax || !isLockConflict(error)) throw error
      await new Promise((later) => setTimeout(later, Math.random() * 20 * attempt))
    }
  }
}

function isLockConflict(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? error.code : undefined
  return code === 'P2034' || /\b(1213|1205)\b|deadlock|lock wait timeout/i.test(error.message)
}

/** Whether the database is not migrated. */
export function isTableMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'P2021'
}

/** Whether the database could not be asked at all: it is away, restarts, or has no connection left. */
export function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? String(error.code) : ''
  if (/^(P1001|P1002|P1008|P1011|P1017|P2024|P2028)$/.test(code)) return true
  return /ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|pool timeout|socket has unexpectedly been closed|connection is closed|Server shutdown/i.test(
    error.message,
  )
}
