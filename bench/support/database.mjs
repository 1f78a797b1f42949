import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { connect, parseDatabaseUrl } from '../../dist/database/connect.js'
import { migrate } from '../../dist/database/migrate.js'
import { startPrivateServer } from '../../dist/database/private-server.js'

const root = resolve(import.meta.dirname, '../..')

/** A MariaDB of the benchmark's own in a folder that goes with it, large enough to keep what is read in memory. */
export async function benchServer() {
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-bench-'))
  const server = await startPrivateServer(folder)
  const connection = await connect(parseDatabaseUrl(server.url, 'the benchmark'), 'the benchmark')
  await connection.query('SET GLOBAL innodb_buffer_pool_size = 1073741824')
  await connection.end()
  return {
    folder,
    url: server.url,
    /** A fresh database with the tables of the API or of the coordinator. */
    async database(kind, name = kind) {
      const url = Object.assign(new URL(server.url), { pathname: `/bench_${name}` }).href
      await migrate({ url, setting: 'the benchmark', folder: join(root, 'prisma', kind, 'migrations') })
      return url
    },
    async stop() {
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
