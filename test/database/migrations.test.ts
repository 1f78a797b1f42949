import { describe, expect, it } from 'vitest'
import { type AppliedMigration, type Migration, pendingMigrations } from '../../src/database/migrations.js'

const migration = (name: string, checksum = `sum of ${name}`): Migration => ({ name, sql: 'SELECT 1', checksum })
const row = (name: string, more: Partial<AppliedMigration> = {}): AppliedMigration => ({
  migration_name: name,
  checksum: `sum of ${name}`,
  finished_at: new Date(),
  rolled_back_at: null,
  logs: null,
  ...more,
})

describe('which migrations are still to be applied', () => {
  it('those that the database does not have, in their order', () => {
    const pending = pendingMigrations([migration('1_a'), migration('2_b'), migration('3_c')], [row('1_a')])
    expect(pending.map(({ name }) => name)).toEqual(['2_b', '3_c'])
  })

  it('one that was rolled back is applied again', () => {
    expect(pendingMigrations([migration('1_a')], [row('1_a', { finished_at: null, rolled_back_at: new Date() })])).toHaveLength(1)
  })

  it('a migration that failed half-way is refused by name, with what went wrong', () => {
    expect(() => pendingMigrations([migration('1_a')], [row('1_a', { finished_at: null, logs: 'no such table' })])).toThrow(
      /1_a failed.*no such table/,
    )
  })

  it('a migration that was changed after it was applied is refused by name', () => {
    expect(() => pendingMigrations([migration('1_a', 'another')], [row('1_a')])).toThrow(/1_a was changed/)
  })

  it('a migration of a newer version is refused by name', () => {
    expect(() => pendingMigrations([], [row('9_z')])).toThrow(/9_z was applied by a newer version/)
  })
})
