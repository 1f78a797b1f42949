import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** One SQL migration, in Prisma's layout: `<folder>/<time>_<name>/migration.sql`. */
export interface Migration {
  name: string
  sql: string
  /** SHA-256 of the file, as Prisma computes it. */
  checksum: string
}

/** A row of Prisma's own table of migrations. */
export interface AppliedMigration {
  migration_name: string
  checksum: string
  finished_at: Date | null
  rolled_back_at: Date | null
  logs: string | null
}

/** Migrations that cannot go on; the message names the migration and what to do. */
export class MigrationRefused extends Error {}

/** Reads the migrations of a folder in their order. */
export function readMigrations(folder: string): Migration[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, 'migration.sql')))
    .map((entry) => entry.name)
    .sort()
    .map((name) => {
      const content = readFileSync(join(folder, name, 'migration.sql'))
      return { name, sql: content.toString('utf8'), checksum: createHash('sha256').update(content).digest('hex') }
    })
}

/**
 * The migrations that are still to be applied. Refuses, by name, where a migration failed half-way, was changed after it was applied,
 * or is not known to this version.
 */
export function pendingMigrations(known: Migration[], rows: AppliedMigration[]): Migration[] {
  const applied = rows.filter((row) => row.rolled_back_at === null)
  for (const row of applied) {
    const migration = known.find(({ name }) => name === row.migration_name)
    if (row.finished_at === null) {
      throw new MigrationRefused(
        `Migration ${row.migration_name} failed before and may be half done${row.logs ? `: ${row.logs.split('\n')[0]}` : ''}. ` +
          'Undo by hand what it did, delete its row from `_prisma_migrations`, and start again.',
      )
    }
    if (migration === undefined) {
      throw new MigrationRefused(
        `Migration ${row.migration_name} was applied by a newer version of ScaiMind; this version does not know it.`,
      )
    }
    if (migration.checksum !== row.checksum) {
      throw new MigrationRefused(
        `Migration ${row.migration_name} was changed after it was applied. Put the file back as it was, and add a new migration.`,
      )
    }
  }
  return known.filter(({ name }) => !applied.some((row) => row.migration_name === name))
}
