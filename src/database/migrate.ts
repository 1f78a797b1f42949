import { randomUUID } from 'node:crypto'
import type { Connection } from 'mariadb'
import { connect, DatabaseUnusable, parseDatabaseUrl, sqlErrorCode } from './connect.js'
import { type AppliedMigration, type Migration, MigrationRefused, pendingMigrations, readMigrations } from './migrations.js'

// The name that Prisma's own command locks, so that it and we wait for each other.
const lockName = 'prisma_migrate'
const lockTimeoutSeconds = 60

// Word for word Prisma's table for MySQL, so that `prisma migrate deploy` takes it for its own.
const createTable = `CREATE TABLE IF NOT EXISTS \`_prisma_migrations\` (
  id                  VARCHAR(36) PRIMARY KEY NOT NULL,
  checksum            VARCHAR(64) NOT NULL,
  finished_at         DATETIME(3),
  migration_name      VARCHAR(255) NOT NULL,
  logs                TEXT,
  rolled_back_at      DATETIME(3),
  started_at          DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
  applied_steps_count INTEGER UNSIGNED NOT NULL DEFAULT 0
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci`

/** What to migrate, and who asks. */
export interface MigrateOptions {
  /** `mysql://user:password@host:port/name`. The database is created where the user may. */
  url: string
  /** The setting that holds the URL, for messages. */
  setting: string
  /** The folder of migrations. */
  folder: string
}

/**
 * Brings a database up to date: each migration once, in order, under a lock that other starters wait for. Answers the names of those
 * that it applied. Throws DatabaseUnusable, or MigrationRefused naming the migration.
 */
export async function migrate({ url, setting, folder }: MigrateOptions): Promise<string[]> {
  const address = parseDatabaseUrl(url, setting)
  if (address.name === undefined)
    throw new DatabaseUnusable(`${setting} does not name a database; it looks like mysql://user:password@host:3306/name.`)
  const connection = await openOrCreate({ ...address, name: address.name }, setting)
  try {
    await lock(connection, setting)
    await connection.query(createTable)
    const rows = await connection.query<AppliedMigration[]>(
      'SELECT migration_name, checksum, finished_at, rolled_back_at, logs FROM `_prisma_migrations` ORDER BY started_at',
    )
    const pending = pendingMigrations(readMigrations(folder), rows)
    for (const migration of pending) await apply(connection, migration)
    return pending.map(({ name }) => name)
  } finally {
    // Ending the connection gives the lock back.
    await connection.end()
  }
}

async function openOrCreate(address: ReturnType<typeof parseDatabaseUrl> & { name: string }, setting: string): Promise<Connection> {
  try {
    return await connect(address, setting)
  } catch (error) {
    if (!(error instanceof DatabaseUnusable) || sqlErrorCode(error.cause) !== 'ER_BAD_DB_ERROR') throw error
  }
  const server = await connect({ ...address, name: undefined }, setting)
  try {
    const quoted = `\`${address.name.replaceAll('`', '``')}\``
    await server.query(`CREATE DATABASE IF NOT EXISTS ${quoted} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci`)
  } catch (error) {
    throw new DatabaseUnusable(
      `${setting}: there is no database ${JSON.stringify(address.name)} at ${address.host}:${address.port}, and user ${JSON.stringify(address.user)} may not create it.`,
      { cause: error },
    )
  } finally {
    await server.end()
  }
  return connect(address, setting)
}

async function lock(connection: Connection, setting: string): Promise<void> {
  const rows = await connection.query<{ got: unknown }[]>('SELECT GET_LOCK(?, ?) AS got', [lockName, lockTimeoutSeconds])
  if (Number(rows[0]?.got) !== 1) {
    throw new DatabaseUnusable(`${setting}: another process has been migrating this database for more than ${lockTimeoutSeconds} seconds.`)
  }
}

async function apply(connection: Connection, { name, sql, checksum }: Migration): Promise<void> {
  const id = randomUUID()
  // The row comes first: MariaDB's DDL cannot be rolled back, so a migration that dies half-way must be seen by the next start.
  await connection.query('INSERT INTO `_prisma_migrations` (id, checksum, migration_name, started_at) VALUES (?, ?, ?, UTC_TIMESTAMP(3))', [
    id,
    checksum,
    name,
  ])
  try {
    await connection.query(sql)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    await connection.query('UPDATE `_prisma_migrations` SET logs = ? WHERE id = ?', [reason, id])
    throw new MigrationRefused(`Migration ${name} failed: ${reason.split('\n')[0]}`, { cause: error })
  }
  await connection.query('UPDATE `_prisma_migrations` SET finished_at = UTC_TIMESTAMP(3), applied_steps_count = 1 WHERE id = ?', [id])
}
