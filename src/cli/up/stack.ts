import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { databaseUrls } from '../../config.js'
import { checkDatabase } from '../../database/connect.js'
import { freePort, isFree } from '../../database/free-port.js'
import { CommandFailed } from '../failure.js'
import { migrateBoth } from '../migrate.js'
import { SupervisedChild } from './child.js'
import { readOrCreateCredentials, writeCredentials } from './credentials.js'
import { type SupervisedDatabase, superviseDatabase } from './database.js'
import { lockDataDir } from './lock.js'
import { LogFile } from './log-file.js'
import { ensureOwnerKey } from './owner-key.js'

/** What runs, as `scaimind up --json` prints it. */
export interface StackAddress {
  graphql: string
  websocket: string
  rest: string
  grpc: string
  api_key: string
  api_secret: string
  data_dir: string
  pids: { coordinator: number | undefined; api: number | undefined; database: number | undefined }
}

/** Everything on one machine: database, coordinator, API. */
export interface Stack {
  address: StackAddress
  /** Ends coordinator and API and starts them again, each where it was; the database runs on. */
  restart(): Promise<void>
  /** Ends API, coordinator and database, in this order. Jobs run on and are found again by the next start. Twice is fine. */
  stop(): Promise<void>
}

/** What to start. */
export interface StackOptions {
  /** Folder of everything that is kept. */
  dataDir: string
  /** The API's port; 0 for any free one. */
  port: number
  env: Record<string, string | undefined>
  /** Folders that jobs may name files under, besides the data folder's own and the current one. */
  dataRoots?: string[]
  /** Told what a person may want to know: crashes and restarts. */
  onNotice: (message: string) => void
}

const host = '127.0.0.1'

/**
 * Starts all of it, in order, and resolves when the API serves. Throws with one line naming the setting where the folder is in use, the
 * port is taken or the database cannot be used; then nothing of it runs on.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const dataDir = resolve(options.dataDir)
  makeFolder(dataDir)
  // Undone in reverse: whatever was started last ends first.
  const undo: (() => Promise<void> | void)[] = []
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    undo.push(lockDataDir(dataDir))
    if (options.port !== 0 && !(await isFree(options.port))) {
      throw new CommandFailed(`Port ${options.port} is taken: choose another with --port (0 for any free one).`)
    }
    const { database, env: databaseEnv } = await provideDatabase(dataDir, options)
    if (database) undo.push(() => database.stop())
    await migrateBoth(databaseEnv)
    const credentials = readOrCreateCredentials(dataDir)
    const apiKey = await ensureOwnerKey(databaseUrls(databaseEnv).api ?? '', credentials.api_key)
    writeCredentials(dataDir, { ...credentials, api_key: apiKey })

    const env = childEnvironment(databaseEnv, dataDir, credentials.api_secret, options.dataRoots)
    const child = (name: 'coordinator' | 'api', portVariable: string, port: number, more: Record<string, string> = {}) =>
      new SupervisedChild({
        name,
        log: new LogFile(dataDir, name),
        portVariable,
        env: { ...env, ...more, [portVariable]: String(port) },
        onCrash: options.onNotice,
      })

    const coordinator = child('coordinator', 'SCAIMIND_COORDINATOR_PORT', await freePort())
    undo.push(() => coordinator.stop())
    const grpcPort = await coordinator.start()
    const api = child('api', 'SCAIMIND_PORT', options.port || (await freePort()), {
      SCAIMIND_GRPC_HOST: host,
      SCAIMIND_GRPC_PORT: String(grpcPort),
    })
    undo.push(() => api.stop())
    const apiPort = await api.start()

    const url = `http://${host}:${apiPort}`
    writeCredentials(dataDir, { ...credentials, api_key: apiKey, url })
    return {
      address: {
        graphql: `${url}/graphql`,
        websocket: `ws://${host}:${apiPort}/graphql`,
        rest: `${url}/v1/modules/scaimind`,
        grpc: `${host}:${grpcPort}`,
        api_key: apiKey,
        api_secret: credentials.api_secret,
        data_dir: dataDir,
        pids: { coordinator: coordinator.pid, api: api.pid, database: database?.pid },
      },
      async restart() {
        await migrateBoth(databaseEnv)
        await coordinator.restart()
        await api.restart()
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

function makeFolder(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true })
  } catch (error) {
    throw new CommandFailed(
      `The data folder ${dataDir} cannot be made (${error instanceof Error ? error.message : error}): choose another with --data.`,
    )
  }
}

async function provideDatabase(
  dataDir: string,
  { env, onNotice }: StackOptions,
): Promise<{ database?: SupervisedDatabase; env: Record<string, string | undefined> }> {
  if (env.DATABASE_URL) {
    // The server first: the database on it may still have to be made.
    const server = new URL(databaseUrls(env).api ?? env.DATABASE_URL)
    server.pathname = ''
    await checkDatabase(server.href, 'DATABASE_URL')
    return { env }
  }
  const database = await superviseDatabase(dataDir, onNotice)
  return { database, env: { ...env, DATABASE_URL: database.url, COORDINATOR_DATABASE_URL: undefined } }
}

/** The settings of the children: what the owner has set, and what follows from all of it running here, for one owner. */
function childEnvironment(
  env: Record<string, string | undefined>,
  dataDir: string,
  secret: string,
  dataRoots: string[] = [],
): Record<string, string | undefined> {
  const roots = [join(dataDir, 'tenants/{tenant}/files'), process.cwd(), ...dataRoots]
  return {
    // The owner of this machine is the only user: their own code may run, and files below the folder they are in may be named.
    SCAIMIND_ALLOW_CUSTOM_CODE: 'true',
    SCAIMIND_ALLOW_TRUST_REMOTE_CODE: 'true',
    ...env,
    SCAIMIND_DATA_ROOTS: env.SCAIMIND_DATA_ROOTS || roots.join(':'),
    SCAIMIND_DATA_DIR: dataDir,
    SCAIMIND_API_SECRET: secret,
    SCAIMIND_HOST: host,
    SCAIMIND_COORDINATOR_HOST: host,
    SCAIMIND_TLS_ENABLED: 'false',
  }
}
