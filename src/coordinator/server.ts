import { setMaxListeners } from 'node:events'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { logVerbosity, Server, ServerCredentials, setLogVerbosity } from '@grpc/grpc-js'
import { ReflectionService } from '@grpc/reflection'
import { HealthImplementation } from 'grpc-health-check'
import { pino } from 'pino'
import { ConfigError, type CoordinatorConfig } from '../config.js'
import { packageDefinition, scaimindV1 } from '../contract/proto.js'
import { withoutSecrets } from '../contract/secrets.js'
import { startTracing } from '../tracing.js'
import { datasets } from './data/datasets.js'
import { nodeCache } from './data/node-cache.js'
import { uploads } from './data/upload.js'
import { localEngine } from './engines/local/engine.js'
import { buildJobs } from './jobs/jobs.js'
import { isDatabaseAway, isTableMissing, openDatabase } from './jobs/records/database.js'
import { metricHistory } from './journal/history.js'
import { callerReader } from './services/caller.js'
import { clusterMethods } from './services/cluster.js'
import { dataMethods } from './services/data.js'
import { evaluationMethods } from './services/evaluations.js'
import { implement } from './services/handlers.js'
import { jobMethods } from './services/jobs.js'

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
 * Starts the coordinator on a migrated database: takes up the attempts that an earlier life left running, begins to give places, and serves
 * `scaimind.v1`. Throws ConfigError with one line that names the setting where it may not listen as it is told, or the port is taken.
 */
export async function startCoordinator(config: CoordinatorConfig): Promise<Coordinator> {
  const host = config.SCAIMIND_COORDINATOR_HOST
  if (!config.SCAIMIND_TLS_ENABLED && !isLoopback(host)) {
    throw new ConfigError(
      `SCAIMIND_COORDINATOR_HOST: without TLS only a loopback address is allowed, not ${host}; set SCAIMIND_TLS_ENABLED and its files.`,
    )
  }
  const credentials = readCredentials(config)
  const log = pino(
    { name: 'coordinator', level: config.SCAIMIND_LOG_LEVEL, hooks: { streamWrite: withoutSecrets } },
    pino.destination({ dest: 2, sync: true }),
  )
  const tracing = await startTracing(config, { service: 'scaimind-coordinator', log })
  const server = new Server({ 'grpc.keepalive_permit_without_calls': 1 })
  const health = new HealthImplementation({ '': 'NOT_SERVING' })
  health.addToServer(server)
  new ReflectionService(packageDefinition).addToServer(server)

  const database = openDatabase(config.COORDINATOR_DATABASE_URL)
  const engine = localEngine({ cpuSlots: config.SCAIMIND_CPU_SLOTS ?? Math.max(1, availableParallelism() - 1) })
  const clock = () => new Date()
  const received = uploads({ folder: join(config.SCAIMIND_DATA_DIR, 'uploads'), bytesMax: config.SCAIMIND_MAX_DATASET_BYTES })
  const stored = datasets({ database, uploads: received, dataDir: config.SCAIMIND_DATA_DIR, clock })
  const cache = nodeCache({
    database,
    datasets: stored,
    nodes: async () => (await engine.nodes()).map(({ nodeId }) => nodeId),
    dataDir: config.SCAIMIND_DATA_DIR,
    bytesMax: config.SCAIMIND_DATA_CACHE_BYTES,
    clock,
  })
  const trainer = { python: config.SCAIMIND_PYTHON }
  const jobs = buildJobs({
    database,
    engine,
    history: metricHistory(),
    settings: {
      dataDir: config.SCAIMIND_DATA_DIR,
      dataRoots: config.SCAIMIND_DATA_ROOTS,
      allowCustomCode: config.SCAIMIND_ALLOW_CUSTOM_CODE,
      allowTrustRemoteCode: config.SCAIMIND_ALLOW_TRUST_REMOTE_CODE,
      stopGraceSeconds: config.SCAIMIND_STOP_GRACE_SECONDS,
      silentTrainerMs: config.SCAIMIND_SILENT_TRAINER_S * 1000,
      cordonAfter: config.SCAIMIND_CORDON_AFTER,
      trainer,
      datasetFile: cache.fileFor,
    },
    limits: { jobsMax: config.SCAIMIND_TENANT_JOBS_MAX, gpusMax: config.SCAIMIND_TENANT_GPUS_MAX },
    updatesKeptMs: config.SCAIMIND_PROGRESS_RETENTION_HOURS * 3600 * 1000,
    log,
    clock,
  })
  const stopping = new AbortController()
  // A listener a stream is no leak.
  setMaxListeners(0, stopping.signal)
  const entrance = {
    readCaller: callerReader({ allTenants: config.SCAIMIND_API_SECRET, byTenant: config.SCAIMIND_TENANT_SECRETS }),
    log,
    stopping: stopping.signal,
  }
  const { CoordinatorService, ClusterService, EvaluationService, DataService } = scaimindV1
  server.addService(CoordinatorService.service, implement(CoordinatorService.service, jobMethods(jobs), entrance))
  server.addService(ClusterService.service, implement(ClusterService.service, clusterMethods(jobs), entrance))
  server.addService(EvaluationService.service, implement(EvaluationService.service, evaluationMethods(jobs.evaluations), entrance))
  server.addService(
    DataService.service,
    implement(DataService.service, dataMethods({ datasets: stored, cache, dataRoots: config.SCAIMIND_DATA_ROOTS, trainer }), entrance),
  )

  let closing: Promise<void> | undefined
  let running: { close(): Promise<void> } | undefined
  const close = () => {
    closing ??= (async () => {
      health.setStatus('', 'NOT_SERVING')
      stopping.abort()
      await shutDown(server)
      await running?.close()
      await engine.close()
      await database.$disconnect()
      await tracing.close()
    })()
    return closing
  }
  try {
    // The port before the work: two coordinators on one database must not both give places.
    const port = await listen(server, { host, port: config.SCAIMIND_COORDINATOR_PORT, credentials })
    await received.sweep()
    running = await jobs.start()
    health.setStatus('', 'SERVING')
    log.info({ host, port }, 'the coordinator listens')
    return { host, port, close }
  } catch (error) {
    await close()
    throw unusableDatabase(error) ?? error
  }
}

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
