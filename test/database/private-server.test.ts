import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { checkDatabase, connect, parseDatabaseUrl } from '../../src/database/connect.js'
import { freePort } from '../../src/database/free-port.js'
import { migrate } from '../../src/database/migrate.js'
import { startPrivateServer } from '../../src/database/private-server.js'
import { identify, isRunning } from '../../src/database/process-identity.js'

const dataDir = mkdtempSync(join(tmpdir(), 'scaimind-database-'))
afterAll(() => rmSync(dataDir, { recursive: true, force: true }))

function migrationsFolder(name: string, migrations: Record<string, string>): string {
  const folder = join(dataDir, name)
  for (const [migration, sql] of Object.entries(migrations)) {
    mkdirSync(join(folder, migration), { recursive: true })
    writeFileSync(join(folder, migration, 'migration.sql'), sql)
  }
  return folder
}

async function query<T>(url: string, sql: string): Promise<T[]> {
  const connection = await connect(parseDatabaseUrl(url, 'DATABASE_URL'), 'DATABASE_URL')
  try {
    return await connection.query<T[]>(sql)
  } finally {
    await connection.end()
  }
}

describe.sequential('a private database', () => {
  let server: Awaited<ReturnType<typeof startPrivateServer>>

  it('starts on a free port of 127.0.0.1, with a password that only its owner can read', async () => {
    server = await startPrivateServer(dataDir)
    await checkDatabase(server.url, 'DATABASE_URL')
    expect(statSync(join(dataDir, 'mariadb', 'server.json')).mode & 0o777).toBe(0o600)
    const users = await query<{ User: string }>(server.url, "SELECT User FROM mysql.user WHERE Host <> 'localhost' OR User = ''")
    expect(users.map(({ User }) => User)).toEqual(['scaimind'])
  })

  it('refuses a wrong password with one line that names the setting', async () => {
    const url = server.url.replace(/:[0-9a-f]{48}@/, ':wrong@')
    await expect(checkDatabase(url, 'DATABASE_URL')).rejects.toThrow(
      /^DATABASE_URL: the database at 127.0.0.1:\d+ refuses user "scaimind" with this password\.$/,
    )
  })

  it('a migration is applied once, by one of several that start together', async () => {
    const folder = migrationsFolder('good', {
      '20260101000000_first': 'CREATE TABLE a (id INT PRIMARY KEY);\nINSERT INTO a VALUES (1);\n',
      '20260102000000_second': 'INSERT INTO a VALUES (2);',
    })
    const options = { url: `${server.url}/good`, setting: 'DATABASE_URL', folder }
    const applied = await Promise.all([migrate(options), migrate(options), migrate(options)])
    expect(applied.flat().sort()).toEqual(['20260101000000_first', '20260102000000_second'])
    expect(await migrate(options)).toEqual([])
    expect(await query(options.url, 'SELECT id FROM a')).toHaveLength(2)
    const rows = await query<{ finished_at: Date | null; applied_steps_count: number }>(
      options.url,
      'SELECT finished_at, applied_steps_count FROM _prisma_migrations',
    )
    expect(rows.every((row) => row.finished_at !== null && row.applied_steps_count === 1)).toBe(true)
  })

  it('a migration that fails is refused by name, now and at the next start', async () => {
    const folder = migrationsFolder('bad', { '20260101000000_broken': 'CREATE TABLE b (id INT);\nINSERT INTO nowhere VALUES (1);' })
    const options = { url: `${server.url}/bad`, setting: 'DATABASE_URL', folder }
    await expect(migrate(options)).rejects.toThrow(/20260101000000_broken failed: .*nowhere/)
    await expect(migrate(options)).rejects.toThrow(/20260101000000_broken failed before and may be half done/)
  })

  it('a server whose supervisor was killed is taken over, with everything in it', async () => {
    const again = await startPrivateServer(dataDir)
    expect(again).toMatchObject({ adopted: true, pid: server.pid, url: server.url })
  })

  it('stops in order, and comes back with its data on the same port', async () => {
    const identity = identify(server.pid)
    await server.stop()
    expect(identity && isRunning(identity)).toBe(false)
    const again = await startPrivateServer(dataDir)
    expect(again).toMatchObject({ adopted: false, url: server.url })
    expect(await query(`${again.url}/good`, 'SELECT id FROM a')).toHaveLength(2)
    await again.stop()
    await again.stop()
  })

  it('no database at the address is one line that names the setting', async () => {
    const port = await freePort()
    await expect(checkDatabase(`mysql://a:b@127.0.0.1:${port}/c`, 'COORDINATOR_DATABASE_URL')).rejects.toThrow(
      `COORDINATOR_DATABASE_URL: no database answers at 127.0.0.1:${port} (connection refused).`,
    )
  })

  it('something that is not a database URL is one line that names the setting', async () => {
    await expect(checkDatabase('postgres://x', 'DATABASE_URL')).rejects.toThrow('DATABASE_URL is not a database URL')
  })
})

it('a process is told from a later one with the same pid', async () => {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] })
  await once(child, 'spawn')
  const identity = identify(child.pid ?? 0)
  expect(identity && isRunning(identity)).toBe(true)
  expect(identity && isRunning({ ...identity, startTime: 'another' })).toBe(false)
  child.stdin.end()
  await once(child, 'exit')
  expect(identity && isRunning(identity)).toBe(false)
})
