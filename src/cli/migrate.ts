import type { Command } from 'commander'
import { databaseUrls } from '../config.js'
import { migrate } from '../database/migrate.js'
import { UsageError } from './failure.js'
import { migrationsOf } from './paths.js'

/** The migrations that each database got. */
export interface Migrated {
  api: string[]
  coordinator: string[]
}

/** `scaimind migrate` */
export function addMigrate(program: Command): void {
  program
    .command('migrate')
    .description('create the two databases where needed, and bring their tables up to date')
    .option('--json', 'print what was applied as JSON')
    .addHelpText(
      'after',
      `
DATABASE_URL is the API's database; COORDINATOR_DATABASE_URL the coordinator's, on the same server unless it is set.
Starting it twice at once is safe, and so is repeating it.

Example:
  DATABASE_URL=mysql://user:password@db:3306 scaimind migrate`,
    )
    .action(async ({ json }: { json?: boolean }) => {
      const applied = await migrateBoth(process.env)
      if (json) {
        process.stdout.write(`${JSON.stringify(applied)}\n`)
        return
      }
      for (const [database, names] of Object.entries(applied)) {
        process.stdout.write(`${database}: ${names.length === 0 ? 'up to date' : `applied ${names.join(', ')}`}\n`)
      }
    })
}

/** Migrates the databases that the environment names. */
export async function migrateBoth(env: Record<string, string | undefined>): Promise<Migrated> {
  const { api, coordinator } = databaseUrls(env)
  if (!api || !coordinator) throw new UsageError('DATABASE_URL is not set; it looks like mysql://user:password@host:3306.')
  return {
    api: await migrate({ url: api, setting: 'DATABASE_URL', folder: migrationsOf.api }),
    coordinator: await migrate({
      url: coordinator,
      setting: env.COORDINATOR_DATABASE_URL ? 'COORDINATOR_DATABASE_URL' : 'DATABASE_URL',
      folder: migrationsOf.coordinator,
    }),
  }
}
