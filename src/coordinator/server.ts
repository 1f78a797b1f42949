import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { logVerbosity, Server, ServerCredentials, setLogVerbosity } from '@grpc/grpc-js'
import { ReflectionService } from '@grpc/reflection'
import { HealthImplementation } from 'grpc-health-check'
import { pino } from 'pino'
import { ConfigError, type CoordinatorConfig } from '../config.js'
import { Failure } from '../contract/failure.js'
import { packageDefinition } from '../contract/proto.js'
import { withoutSecrets } from '../contract/secrets.js'
import { startTracing } from '../tracing.js'
import { beginWork, type Services, standbyServices } from './active.js'
import { requireEngine } from './engine-choice.js'
import { isDatabaseAway, isTableMissing, openDatabase, underLease } from './jobs/records/database.js'
import { coordinatorLease, type Lease } from './lease/lease.js'
import { takeTurns } from './lease/turns.js'
import { callerReader } from './services/caller.js'
import { readTenants } from './tenants.js'

/** Longest wait at the end for calls that are being answered. */
const shutdownMs = 1000

/** A coordinator that runs in this process. */
export interface Coordinator {
  host: string
  port: number
  /** Stops it in order; running trainers go on. Twice is fine. */
  close(): Promise<void>
}

/**
 * Starts a coordinator on a migrated database. Of all on one database one is the active one: it takes up the attempts that were left running, gives places,
 * and serves `scaimind.v1`. The others are standbys: they refuse every call, and are NOT_SERVING to `grpc.health.v1`, until they take over. Throws
 * ConfigError with one line that names the setting where it may not listen as it is told, or the port is taken.
 */
export async function startCoordinator(config: CoordinatorConfig): Promise<Coordinator> {
  const host = config.SCAIMIND_COORDINATOR_HOST
  if (!config.SCAIMIND_TLS_ENABLED && !isLoopback(host)) {
    throw new ConfigError(
      `SCAIMIND_COORDINATOR_HOST: without TLS only a loopback address is allowed, not ${host}; set SCAIMIND_TLS_ENABLED and its files.`,
    )
  }
  const credentials = readCredentials(config)
  const limitsOf = readTenants(config)
  requireEngine(config)
  const log = pino(
    { name: 'coordinator', level: config.SCAIMIND_LOG_LEVEL, hooks: { streamWrite: withoutSecrets } },
    pino.destination({ dest: 2, sync: true }),
  )
  const tracing = await startTracing(config, { service: 'scaimind-coordinator', log })
  const server = new Server({ 'grpc.keepalive_permit_without_calls': 1 })
  const health = new HealthImplementation({ '': 'NOT_SERVING' })
  health.addToServer(server)
  new ReflectionService(packageDefinition).addToServer(server)

  const records = openDatabase(config.COORDINATOR_DATABASE_URL)
  const leaseRecord = openDatabase(config.COORDINATOR_DATABASE_URL, { connections: 1 })
  const lease = coordinatorLease({ client: leaseRecord, log })
  const stopping = new AbortController()
  const entrance = {
    readCaller: callerReader({ allTenants: config.SCAIMIND_API_SECRET, byTenant: config.SCAIMIND_TENANT_SECRETS }),
    log,
    stopping: stopping.signal,
  }
  const standby = standbyServices({ ...entrance, refusal: () => notActive(lease.holderAddress()) })

  function answerWith(services: Services): void {
    for (const { definition, implementation } of services) {
      server.removeService(definition)
      server.addService(definition, implementation)
    }
  }

  /** The work of the active coordinator, from the moment that it has the lease until the lease is lost or given back. */
  async function begin({ epoch, lost }: Lease): Promise<{ close(): Promise<void> }> {
    const over = AbortSignal.any([lost, stopping.signal])
    const work = await beginWork(config, { database: underLease(records, epoch), entrance: { ...entrance, stopping: over }, limitsOf })
    answerWith(work.services)
    health.setStatus('', 'SERVING')
    log.info({ epoch: Number(epoch) }, 'this coordinator is the active one')
    return {
      async close() {
        health.setStatus('', 'NOT_SERVING')
        answerWith(standby)
        await work.close()
      },
    }
  }

  let closing: Promise<void> | undefined
  let turns: { close(): Promise<void> } | undefined
  const close = () => {
    closing ??= (async () => {
      health.setStatus('', 'NOT_SERVING')
      stopping.abort()
      await shutDown(server)
      await turns?.close()
      await Promise.all([records.$disconnect(), leaseRecord.$disconnect()])
      await tracing.close()
    })()
    return closing
  }
  try {
    answerWith(standby)
    const port = await listen(server, { host, port: config.SCAIMIND_COORDINATOR_PORT, credentials })
    turns = await takeTurns({ take: () => lease.take(`${host}:${port}`), begin, log })
    log.info({ host, port }, 'the coordinator listens')
    return { host, port, close }
  } catch (error) {
    await close()
    throw unusableDatabase(error) ?? error
  }
}

const notActive = (active: string): Failure =>
  new Failure(
    'COORDINATOR_UNAVAILABLE',
    active ? `This coordinator is the standby; the active one was last seen at ${active}.` : 'This coordinator is not the active one.',
    { retryAfterSeconds: 1 },
  )

/** Lets calls that are being answered come to their end, but not for long. */
async function shutDown(server: Server): Promise<void> {
  await Promise.race([new Promise<void>((done) => server.tryShutdown(() => done())), delay(shutdownMs, undefined, { ref: false })])
  server.forceShutdown()
}

/** A start that fails for the database's sake, in one line that names the setting. */
function unusableDatabase(error: unknown): ConfigError | null {
  if (isDatabaseAway(error)) return new ConfigError('COORDINATOR_DATABASE_URL: the database cannot be reached.', { cause: error })
  if (!isTableMissing(error)) return null
  return new ConfigError('COORDINATOR_DATABASE_URL: the database lacks our tables; run `scaimind migrate` first.', { cause: error })
}

function listen(
  server: Server,
  { host, port, credentials }: { host: string; port: number; credentials: ServerCredentials },
): Promise<number> {
  const address = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`
  return new Promise((resolve, reject) => {
    // What goes wrong is thrown below; the library would print it a second time.
    setLogVerbosity(logVerbosity.NONE)
    server.bindAsync(address, credentials, (error, bound) => {
      setLogVerbosity(logVerbosity.ERROR)
      if (!error) return resolve(bound)
      const reason = /EADDRINUSE/.test(error.message) ? `port ${port} is taken` : error.message
      reject(
        new ConfigError(
          `SCAIMIND_COORDINATOR_PORT: the coordinator cannot listen on ${address}: ${reason}. Choose another, or 0 for any free one.`,
        ),
      )
    })
  })
}

function readCredentials(config: CoordinatorConfig): ServerCredentials {
  if (!config.SCAIMIND_TLS_ENABLED) return ServerCredentials.createInsecure()
  const read = (setting: 'SCAIMIND_TLS_CERT_FILE' | 'SCAIMIND_TLS_KEY_FILE' | 'SCAIMIND_TLS_CA_FILE') => {
    const path = config[setting]
    if (path === undefined) throw new ConfigError(`${setting} is not set, but SCAIMIND_TLS_ENABLED is.`)
    try {
      return readFileSync(path)
    } catch (error) {
      throw new ConfigError(`${setting}: ${path} cannot be read (${(error as NodeJS.ErrnoException).code}).`)
    }
  }
  const pair = { cert_chain: read('SCAIMIND_TLS_CERT_FILE'), private_key: read('SCAIMIND_TLS_KEY_FILE') }
  // With a CA the callers must show a certificate of it, too.
  const ca = config.SCAIMIND_TLS_CA_FILE === undefined ? null : read('SCAIMIND_TLS_CA_FILE')
  return ServerCredentials.createSsl(ca, [pair], ca !== null)
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
