import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import { inject } from 'vitest'
import { migrate } from '../../src/database/migrate.js'

const root = resolve(import.meta.dirname, '../..')

/** A fresh, migrated database of its own; it goes with the run's server. */
export async function freshDatabase(kind: 'api' | 'coordinator'): Promise<string> {
  const url = Object.assign(new URL(inject('databaseServer')), { pathname: `/test_${kind}_${randomBytes(6).toString('hex')}` }).href
  await migrate({ url, setting: 'the test database', folder: resolve(root, `prisma/${kind}/migrations`) })
  return url
}
