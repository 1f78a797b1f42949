import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Connection, createConnection } from 'mariadb'
import { describe, expect, it } from 'vitest'
import { freshDatabase } from '../support/database.js'
import { type DeclaredTable, declaredTables } from '../support/prisma-schema.js'

interface ColumnRow {
  COLUMN_NAME: string
  COLUMN_TYPE: string
  IS_NULLABLE: string
  COLUMN_DEFAULT: string | null
}

describe.each(['api', 'coordinator'] as const)('The migrated %s database', (kind) => {
  it('has exactly the tables, columns, indexes and foreign keys of its Prisma schema', async () => {
    const declared = declaredTables(readFileSync(resolve(import.meta.dirname, `../../prisma/${kind}/schema.prisma`), 'utf8'))
    const url = await freshDatabase(kind)
    const connection = await createConnection(url.replace(/^mysql:/, 'mariadb:'))
    try {
      const tables = await connection.query<{ name: string }[]>(
        "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name <> '_prisma_migrations'",
      )
      const live = Object.fromEntries(await Promise.all(tables.map(async ({ name }) => [name, await liveTable(connection, name)])))
      expect(live).toEqual(declared)
    } finally {
      await connection.end()
    }
  })
})

it('attempts without GPUs of an older release count by the CPU slots that their jobs asked for', async () => {
  const url = await freshDatabase('coordinator')
  const connection = await createConnection(url.replace(/^mysql:/, 'mariadb:'))
  try {
    const spec = JSON.stringify({ resource_config: { gpu_count: 0, num_nodes: 2, cpus_per_node: 4 } })
    await connection.query(
      `INSERT INTO job (job_id, tenant_id, name, status, spec, labels, training_type, queue, priority, created_at, updated_at)
       VALUES ('job_a', 't', 'a', 'TRAINING', ?, '{}', 'SFT', 'default', 5, NOW(), NOW())`,
      [spec],
    )
    await connection.query(
      `INSERT INTO attempt (job_id, number, cause, token, placement, submitted_at, gpus, share)
       VALUES ('job_a', 1, 'FIRST', '', '[]', NOW(), 0, 0), ('job_a', 2, 'RETRY', '', '[]', NOW(), 4, 4)`,
    )
    const migration = '../../prisma/coordinator/migrations/20261121130000_cpu_shares/migration.sql'
    await connection.query(readFileSync(resolve(import.meta.dirname, migration), 'utf8'))
    expect((await connection.query<{ share: number }[]>('SELECT share FROM attempt ORDER BY number')).map(({ share }) => share)).toEqual([
      1, 4,
    ])
  } finally {
    await connection.end()
  }
})

async function liveTable(connection: Connection, table: string): Promise<DeclaredTable> {
  const columns = await connection.query<ColumnRow[]>(
    'SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?',
    [table],
  )
  const indexes = await connection.query<{ name: string; list: string; shared: number }[]>(
    `SELECT index_name AS name, MAX(non_unique) AS shared,
       GROUP_CONCAT(CONCAT(column_name, IF(collation = 'D', ' desc', '')) ORDER BY seq_in_index SEPARATOR ', ') AS list
     FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = ? GROUP BY index_name`,
    [table],
  )
  const foreignKeys = await connection.query<
    { name: string; from: string; target: string; to: string; onDelete: string; onUpdate: string }[]
  >(
    `SELECT k.constraint_name AS name, k.column_name AS \`from\`, k.referenced_table_name AS target, k.referenced_column_name AS \`to\`,
       r.delete_rule AS onDelete, r.update_rule AS onUpdate
     FROM information_schema.key_column_usage k
     JOIN information_schema.referential_constraints r ON r.constraint_schema = k.table_schema AND r.constraint_name = k.constraint_name
     WHERE k.table_schema = DATABASE() AND k.table_name = ?`,
    [table],
  )
  return {
    columns: Object.fromEntries(
      columns.map((column) => [
        column.COLUMN_NAME,
        `${column.COLUMN_TYPE}${column.IS_NULLABLE === 'NO' ? ' not null' : ''}${
          column.COLUMN_DEFAULT === null || column.COLUMN_DEFAULT === 'NULL' ? '' : ` default ${column.COLUMN_DEFAULT}`
        }`,
      ]),
    ),
    indexes: Object.fromEntries(indexes.map(({ name, list, shared }) => [name, `${Number(shared) ? '' : 'unique '}(${list})`])),
    foreignKeys: Object.fromEntries(
      foreignKeys.map((key) => [
        key.name,
        `(${key.from}) references ${key.target} (${key.to}) ${key.onDelete.toLowerCase()} ${key.onUpdate.toLowerCase()}`,
      ]),
    ),
  }
}
