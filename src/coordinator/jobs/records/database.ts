import { PrismaMariaDb } from '@prisma/adapter-mariadb'
import { Failure } from '../../../contract/failure.js'
import { type Prisma, PrismaClient } from '../../../generated/prisma/coordinator/client.js'

type ModelName = Uncapitalize<Prisma.ModelName>
type Reading<Model> = Pick<Model, Extract<keyof Model, `find${string}` | 'count' | 'aggregate' | 'groupBy'>>
/** What reads and never writes. */
export type Reader = { readonly [Model in ModelName]: Reading<PrismaClient[Model]> } & Pick<PrismaClient, '$queryRaw'>

/**
 * The coordinator's database in the hands of who holds the lease. It only reads; the one way to write is `transact`, which writes nothing once another
 * holds the lease. A write that forgets this does not compile.
 */
export interface Database extends Reader {
  /** For `transact` alone. */
  readonly pen: { client: PrismaClient; epoch: bigint }
}
/** One transaction in it. */
export type Transaction = Parameters<Parameters<PrismaClient['$transaction']>[0]>[0]

/** Opens a pool for `mysql://user:password@host:port/name`; it connects when it is first used. Times are UTC both ways. */
export function openDatabase(url: string, { connections = 10 } = {}): PrismaClient {
  const { hostname, port, username, password, pathname } = new URL(url)
  // No `timezone` option: the adapter writes UTC, no statement asks the server for its local time, and the driver's own setting
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

/** The database for a coordinator that took the lease with this epoch. */
export function underLease(client: PrismaClient, epoch: bigint): Database {
  // Prisma's type of an extended client is another than that of a plain one, though they read alike.
  return client.$extends({ name: 'lease', client: { pen: { client, epoch } } }) as unknown as Database
}

const attemptsMax = 10
// Seconds. What a coordinator that has stalled holds locked, the lease among it, is free before the lease runs out.
const idleMax = 5

/**
 * Runs one transaction, again where the database broke it off because another held the lock. It must not do anything outside the database. Throws
 * COORDINATOR_UNAVAILABLE, and has written nothing, where another coordinator has taken the lease: its row stays locked, shared, until the transaction
 * ends, so that nobody takes the lease between the look at it and the commit.
 */
export async function transact<Result>({ pen: { client, epoch } }: Database, work: (tx: Transaction) => Promise<Result>): Promise<Result> {
  const underEpoch = async (tx: Transaction) => {
    const [held] = await tx.$queryRaw<{ idle: bigint | number }[]>`
      SELECT @@idle_transaction_timeout AS idle FROM coordinator_lease WHERE id = 1 AND epoch = ${epoch} LOCK IN SHARE MODE`
    if (!held) throw leaseLost()
    // Once a connection; the driver's own way of setting it would reject where nobody listens.
    if (Number(held.idle) !== idleMax) await tx.$executeRaw`SET SESSION idle_transaction_timeout = ${idleMax}`
    return await work(tx)
  }
  for (let attempt = 1; ; attempt++) {
    try {
      return await client.$transaction(underEpoch, { isolationLevel: 'ReadCommitted', maxWait: 15_000, timeout: 15_000 })
    } catch (error) {
      if (attempt >= attemptsMax || !isLockConflict(error)) throw error
      await new Promise((later) => setTimeout(later, Math.random() * 20 * attempt))
    }
  }
}

const leaseLost = () =>
  new Failure('COORDINATOR_UNAVAILABLE', 'Another coordinator has become the active one; nothing was changed.', { retryAfterSeconds: 1 })

function isLockConflict(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? error.code : undefined
  return code === 'P2034' || /\b(1213|1205)\b|deadlock|lock wait timeout/i.test(error.message)
}

/** Whether the database is not migrated. */
export function isTableMissing(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false
  // A query in plain SQL names only what the server said.
  return error.code === 'P2021' || (error.code === 'P2010' && /\b1146\b|TableDoesNotExist/.test(error.message))
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
