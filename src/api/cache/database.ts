import { PrismaMariaDb } from '@prisma/adapter-mariadb'
import { Failure } from '../../contract/failure.js'
import { Prisma, PrismaClient } from '../../generated/prisma/api/client.js'
import { type DatabaseWatch, databaseAway, watchDatabase } from './database-watch.js'
import { connectionConfig, driverRead, openPool, type Read } from './driver.js'
import type { Sql } from './sql.js'

/** The API's database. Throws DATABASE_UNAVAILABLE, with a retry hint, where it cannot be reached. */
export type Database = PrismaClient

/** A database that is also read beneath Prisma. */
export type ReadableDatabase = Database & { $read: Read }

/** Opens a pool of connections to the API's database; nothing is connected before the first query. */
export function openDatabase(url: string, { connections = 10 } = {}): ReadableDatabase {
  const config = connectionConfig(url)
  const pool = openPool(config, connections)
  const watch = watchDatabase(config)
  const adapter = new PrismaMariaDb(pool, config.database ? { database: config.database } : {})
  const read = driverRead(pool)
  const client = new PrismaClient({ adapter, errorFormat: 'minimal' })
  let ended: Promise<void> | undefined
  const extended = client.$extends({
    query: {
      async $allOperations({ args, query }) {
        try {
          return await watch.whileThere(() => query(args))
        } catch (error) {
          throw asFailure(error)
        }
      },
    },
    client: {
      async $disconnect() {
        watch.close()
        ended ??= client.$disconnect().then(() => pool.end())
        await ended
      },
      async $read<Row>(query: Sql): Promise<Row[]> {
        try {
          return await watch.whileThere(() => read<Row>(query))
        } catch (error) {
          throw asFailure(error)
        }
      },
    },
  })
  // The models stay as they are under these extensions, which their type does not say.
  const database = extended as unknown as ReadableDatabase
  watches.set(database, watch)
  return database
}

const watches = new WeakMap<Database, DatabaseWatch>()

/** What a transaction's function works on. */
export type Transaction = Parameters<Parameters<Database['$transaction']>[0]>[0]

/** Runs a transaction, again where another one stood in its way. */
export async function transaction<Result>(database: Database, work: (tx: Transaction) => Promise<Result>): Promise<Result> {
  const watch = watches.get(database)
  for (let attempt = 1; ; attempt++) {
    try {
      // Read committed takes no gap locks, so that instances that write different jobs do not wait for each other.
      const run = () => database.$transaction(work, { isolationLevel: 'ReadCommitted', maxWait: 5000, timeout: 20_000 })
      return await (watch ? watch.whileThere(run) : run())
    } catch (error) {
      if (attempt >= 5 || !isConflict(error)) throw asFailure(error)
      await new Promise((done) => setTimeout(done, 10 * attempt * Math.random()))
    }
  }
}

const isConflict = (error: unknown) =>
  error instanceof Error &&
  (('code' in error && error.code === 'P2034') || /deadlock|Record has changed since last read/i.test(error.message))

const asFailure = (error: unknown): unknown => (!(error instanceof Failure) && isDatabaseAway(error) ? databaseAway(error) : error)

// Prisma's codes of a server that cannot be reached, timed out or closed the connection, and of a pool that gave none.
const awayCodes = new Set(['P1000', 'P1001', 'P1002', 'P1008', 'P1010', 'P1017', 'P2024', 'P2028', 'P2037'])
// The same from the driver, where Prisma passes it through.
const awayWords =
  /pool timeout|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|socket has unexpectedly been closed|connection (?:is )?closed|DatabaseNotReachable/i

function isDatabaseAway(error: unknown): boolean {
  if (error instanceof Prisma.PrismaClientInitializationError) return true
  if (error instanceof Prisma.PrismaClientKnownRequestError && awayCodes.has(error.code)) return true
  return error instanceof Error && awayWords.test(`${error.message} ${error.cause instanceof Error ? error.cause.message : ''}`)
}
