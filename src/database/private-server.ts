import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { connect, DatabaseUnusable } from './connect.js'
import { findMariadb } from './find-mariadb.js'
import { freePort, isFree } from './free-port.js'
import { commandLineOf } from './process-identity.js'
import { initialiseData, launch, type RunningServer, stopServer } from './server-process.js'

/** A MariaDB of our own, for one data folder. */
export interface PrivateServer {
  /** `mysql://user:password@127.0.0.1:port`, with no database name. */
  url: string
  port: number
  pid: number
  /** Whether it was found running, left behind by a supervisor that was killed. */
  adopted: boolean
  /** Resolves when the server has ended, asked for or not. */
  ended: Promise<void>
  /** Shuts it down in order; twice is fine. */
  stop(): Promise<void>
}

interface Record {
  password: string
  port: number
  pid: number | null
}

const user = 'scaimind'
const startTimeoutMs = 60_000

/**
 * Starts MariaDB on 127.0.0.1 with its data under `<dataDir>/mariadb`, on the port that it had before where that is free. The password is made once and
 * kept in a file that only the owner reads. A server that still runs on this data, because its supervisor was killed, is taken over if it answers, and
 * otherwise stopped and started again. Throws DatabaseUnusable with the last lines of the server's log where it does not start.
 */
export async function startPrivateServer(dataDir: string): Promise<PrivateServer> {
  const programs = findMariadb()
  if (programs === undefined) {
    throw new DatabaseUnusable(
      'There is no mariadbd on this machine: run `npm run setup`, or set DATABASE_URL to a database to use instead.',
    )
  }
  const folder = resolve(dataDir, 'mariadb')
  const data = join(folder, 'data')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const recordPath = join(folder, 'server.json')
  const record = readRecord(recordPath)

  const left = leftBehind(data, record)
  if (left !== undefined) {
    if (left === record.pid && (await answers(record))) return serve(record, watchForeign(left), true)
    await stopServer(watchForeign(left))
  }

  if (!existsSync(data)) await initialiseData(programs, folder)
  const port = record.port !== 0 && (await isFree(record.port)) ? record.port : await freePort()
  const running = launch(programs, { folder, port, user, password: record.password })
  const started = { ...record, port, pid: running.pid }
  writeRecord(recordPath, started)
  await untilReady(started, running)
  return serve(started, running, false)
}

/** Where the private server of a data folder listens, or listened last. Undefined where there never was one. */
export function privateServerUrl(dataDir: string): string | undefined {
  const path = resolve(dataDir, 'mariadb', 'server.json')
  const record = existsSync(path) ? readRecord(path) : undefined
  return record === undefined || record.port === 0 ? undefined : urlOf(record)
}

function urlOf({ password, port }: Record): string {
  return `mysql://${user}:${password}@127.0.0.1:${port}`
}

function serve(record: Record, running: RunningServer, adopted: boolean): PrivateServer {
  return {
    url: urlOf(record),
    port: record.port,
    pid: running.pid,
    adopted,
    ended: running.ended,
    stop: () => stopServer(running),
  }
}

function readRecord(path: string): Record {
  if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8')) as Record
  const record = { password: randomBytes(24).toString('hex'), port: 0, pid: null }
  writeRecord(path, record)
  return record
}

function writeRecord(path: string, record: Record): void {
  writeFileSync(`${path}.tmp`, JSON.stringify(record), { mode: 0o600 })
  renameSync(`${path}.tmp`, path)
}

/** The pid of a server that still runs on this data folder. Its command line is the proof: a pid alone may be another process's by now. */
function leftBehind(data: string, record: Record): number | undefined {
  const pidFile = join(data, 'server.pid')
  const written = existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8').trim()) : Number.NaN
  return [record.pid, written].find(
    (pid): pid is number => pid !== null && Number.isInteger(pid) && commandLineOf(pid).some((word) => word === `--datadir=${data}`),
  )
}

/** A server that is not our child is only seen to end by looking. */
function watchForeign(pid: number): RunningServer {
  let timer: NodeJS.Timeout | undefined
  const ended = new Promise<void>((done) => {
    const look = () => {
      if (commandLineOf(pid).every((word) => word === '')) {
        clearInterval(timer)
        done()
      }
    }
    timer = setInterval(look, 100)
    timer.unref()
  })
  return { pid, ended, log: () => '' }
}

async function answers(record: Record): Promise<boolean> {
  try {
    const connection = await connect(
      { host: '127.0.0.1', port: record.port, user, password: record.password, name: undefined },
      'DATABASE_URL',
      2000,
    )
    await connection.end()
    return true
  } catch {
    return false
  }
}

async function untilReady(record: Record, running: RunningServer): Promise<void> {
  const deadline = Date.now() + startTimeoutMs
  let hasEnded = false
  void running.ended.then(() => {
    hasEnded = true
  })
  while (!(await answers(record))) {
    if (hasEnded) throw new DatabaseUnusable(`The private database did not start. The end of its log:\n${running.log()}`)
    if (Date.now() > deadline) {
      await stopServer(running)
      throw new DatabaseUnusable(
        `The private database was not ready within ${startTimeoutMs / 1000} seconds. The end of its log:\n${running.log()}`,
      )
    }
    await new Promise((done) => setTimeout(done, 50))
  }
}
