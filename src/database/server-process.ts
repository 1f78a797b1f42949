import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseUnusable } from './connect.js'
import type { MariadbPrograms } from './find-mariadb.js'

/** A mariadbd that runs. */
export interface RunningServer {
  pid: number
  ended: Promise<void>
  /** The last lines of its log. */
  log(): string
}

/** What a server is started with. */
export interface LaunchOptions {
  folder: string
  port: number
  user: string
  password: string
}

const stopTimeoutMs = 30_000

/** Fills `<folder>/data` with MariaDB's own tables; made beside it and renamed, so that it is there whole or not at all. */
export async function initialiseData({ install }: MariadbPrograms, folder: string): Promise<void> {
  const unfinished = join(folder, 'data.unfinished')
  const scratch = join(folder, 'install.tmp')
  rmSync(unfinished, { recursive: true, force: true })
  mkdirSync(scratch, { recursive: true })
  const args = [
    '--no-defaults',
    `--datadir=${unfinished}`,
    // Several installations at once have been seen to trip over each other's temporary tables in the common folder.
    `--tmpdir=${scratch}`,
    // root may come in only through the socket, and only as the owner of these files.
    '--auth-root-authentication-method=socket',
    '--skip-test-db',
    ...asRoot(),
  ]
  const log = join(folder, 'install.log')
  const code = await exitCodeOf(spawnToLog(install, args, log))
  if (code !== 0) throw new DatabaseUnusable(`The private database could not be made. The end of ${log}:\n${tailOf(log)}`)
  rmSync(scratch, { recursive: true, force: true })
  renameSync(unfinished, join(folder, 'data'))
}

/** Starts mariadbd in a session of its own, so that Ctrl-C in the terminal reaches only the supervisor, which stops it in its turn. */
export function launch({ server }: MariadbPrograms, { folder, port, user, password }: LaunchOptions): RunningServer {
  const data = join(folder, 'data')
  const init = join(folder, 'init.sql')
  writeFileSync(init, accountStatements(user, password), { mode: 0o600 })
  const log = join(folder, 'mariadb.log')
  const child = spawnToLog(
    server,
    [
      '--no-defaults',
      `--datadir=${data}`,
      `--pid-file=${join(data, 'server.pid')}`,
      `--socket=${socketPath(folder)}`,
      `--init-file=${init}`,
      '--bind-address=127.0.0.1',
      `--port=${port}`,
      '--skip-name-resolve',
      '--character-set-server=utf8mb4',
      '--collation-server=utf8mb4_unicode_ci',
      '--default-time-zone=+00:00',
      '--max-connections=300',
      '--innodb-buffer-pool-size=128M',
      // Written at each commit, synced once a second: a killed process loses nothing.
      '--innodb-flush-log-at-trx-commit=2',
      ...asRoot(),
    ],
    log,
  )
  if (child.pid === undefined) throw new DatabaseUnusable(`${server} could not be started.`)
  return { pid: child.pid, ended: exitCodeOf(child).then(() => undefined), log: () => tailOf(log) }
}

/** Asks the server to shut down, and kills it when it has not after half a minute. */
export async function stopServer({ pid, ended }: RunningServer): Promise<void> {
  signal(pid, 'SIGTERM')
  const timer = setTimeout(() => signal(pid, 'SIGKILL'), stopTimeoutMs)
  await ended
  clearTimeout(timer)
}

/** Run before the first connection is taken, at every start; one statement a line. */
function accountStatements(user: string, password: string): string {
  return [
    `CREATE USER IF NOT EXISTS '${user}'@'127.0.0.1' IDENTIFIED BY '${password}';`,
    `ALTER USER '${user}'@'127.0.0.1' IDENTIFIED BY '${password}';`,
    `GRANT ALL PRIVILEGES ON *.* TO '${user}'@'127.0.0.1' WITH GRANT OPTION;`,
    `DELETE FROM mysql.global_priv WHERE User = '';`,
    'FLUSH PRIVILEGES;',
    '',
  ].join('\n')
}

/** A path of a socket has to be shorter than about 100 bytes. */
function socketPath(folder: string): string {
  const own = join(folder, 'mariadb.sock')
  if (Buffer.byteLength(own) < 100) return own
  return join(tmpdir(), `scaimind-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}.sock`)
}

/** MariaDB refuses to run as root unless it is told to. */
function asRoot(): string[] {
  return process.getuid?.() === 0 ? ['--user=root'] : []
}

function spawnToLog(program: string, args: string[], log: string): ChildProcess {
  const file = openSync(log, 'a', 0o600)
  try {
    return spawn(program, args, { stdio: ['ignore', file, file], detached: true })
  } finally {
    closeSync(file)
  }
}

function exitCodeOf(child: ChildProcess): Promise<number | null> {
  return new Promise((done) => {
    child.once('exit', (code) => done(code))
    child.once('error', () => done(null))
  })
}

function tailOf(log: string): string {
  return existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n').slice(-15).join('\n') : ''
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended already.
  }
}
