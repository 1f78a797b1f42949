import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Logger, pino } from 'pino'
import { type ApiConfig, ConfigError } from '../config.js'
import { Failure } from '../contract/failure.js'
import { withoutSecrets } from '../contract/secrets.js'
import type { JobEvent__Output } from '../generated/proto/scaimind/v1/JobEvent.js'
import type { LogRecord__Output } from '../generated/proto/scaimind/v1/LogRecord.js'
import type { MetricRecord__Output } from '../generated/proto/scaimind/v1/MetricRecord.js'
import { requestSpan, startTracing } from '../tracing.js'
import { admission } from './auth/admission.js'
import { apiKeyStore } from './auth/api-keys.js'
import { jwks } from './auth/jwks.js'
import { type ExchangeTokens, tokenExchange } from './auth/token-exchange.js'
import { type TokenVerifier, tokenVerifier } from './auth/tokens.js'
import { type Credentials, identifyViewer, type Viewer } from './auth/viewer.js'
import { clusterSnapshots } from './cache/cluster-snapshots.js'
import { openDatabase } from './cache/database.js'
import { evaluationsOfJobs } from './cache/evaluations-of-jobs.js'
import { followedJobs } from './cache/followed.js'
import { jobChanges } from './cache/job-changes.js'
import { jobCache } from './cache/jobs.js'
import { connectCoordinator } from './coordinator-client/index.js'
import { deliveries } from './delivery/deliveries.js'
import { doorOf } from './door.js'
import { graphiqlPage, wantsPage } from './graphql/door/graphiql.js'
import { readTrustedDocuments, type TrustedDocuments, trustedDocuments } from './graphql/door/trusted-documents.js'
import { socketServer } from './graphql/door/websocket.js'
import { httpHandler } from './graphql/door/yoga.js'
import { clusterEvents } from './live/cluster-events.js'
import { streamCounts } from './live/counts.js'
import { followJobs } from './live/follow-jobs.js'
import { recordHub } from './live/hub.js'
import { jobEvents } from './live/job-events.js'
import { createOperations } from './operations/index.js'
import { prometheus } from './prometheus.js'
import { requestIdOf } from './rest/request-id.js'
import { restBase, restRouter } from './rest/router.js'

/** A running API. */
export interface Api {
  /** `http://127.0.0.1:8080`. */
  url: string
  port: number
  /** Ends streams in order, and resolves when nothing is left. Twice is fine. */
  close(): Promise<void>
}

// A second of a job that prints 50,000 lines a second.
const logRingBytes = 16 * 1024 * 1024

// Longer than any call of the coordinator, and than the time between two comments on a quiet stream.
const silenceMs = 120_000

/** Starts the API: builds each part once, passes it on, and listens. Throws a ConfigError, one line that names the setting, where database or port cannot be used. */
export async function startApi(config: ApiConfig): Promise<Api> {
  const log = pino(
    { level: config.SCAIMIND_LOG_LEVEL, base: null, timestamp: pino.stdTimeFunctions.isoTime, hooks: { streamWrite: withoutSecrets } },
    pino.destination({ fd: 2, sync: true }),
  )
  const metrics = prometheus()
  const documents = readDocuments(config)

  const database = openDatabase(config.DATABASE_URL)
  await database.$queryRaw`SELECT 1`.catch(async (error: unknown) => {
    await database.$disconnect()
    const reason = error instanceof Failure && error.cause instanceof Error ? error.cause.message : String(error)
    throw new ConfigError(`DATABASE_URL: the database cannot be used: ${reason.trim().split('\n').at(-1)}`, { cause: error })
  })
  const tracing = await startTracing(config, { service: 'scaimind-api', log })
  const keys = apiKeyStore(database)
  const changes = jobChanges()
  const cache = jobCache(database, changes)

  const { SCAIMIND_TLS_CA_FILE: caFile, SCAIMIND_TLS_CERT_FILE: certFile, SCAIMIND_TLS_KEY_FILE: keyFile } = config
  const coordinator = connectCoordinator({
    addresses: config.SCAIMIND_GRPC_HOST.map(({ host, port }) => ({ host, port: port ?? config.SCAIMIND_GRPC_PORT })),
    secret: config.SCAIMIND_API_SECRET,
    tls: config.SCAIMIND_TLS_ENABLED ? { caFile, certFile, keyFile } : undefined,
    timeoutMs: config.SCAIMIND_GRPC_TIMEOUT_S * 1000,
    log,
    onResult: metrics.coordinatorCall,
  })

  const { openStream } = coordinator
  const counts = streamCounts()
  const metricsHub = recordHub<MetricRecord__Output>({
    kind: 'metrics',
    openStream,
    log,
    counts,
    stepOf: ({ attempt, step, values }) => ({ attempt, step: Number(step), kind: Object.keys(values).sort().join() }),
    sizeOf: ({ values }) => 200 + 60 * Object.keys(values).length,
  })
  const logsHub = recordHub<LogRecord__Output>({
    kind: 'logs',
    openStream,
    log,
    counts,
    sizeOf: ({ text }) => 300 + 2 * text.length,
    ringBytes: logRingBytes,
  })
  const isNewest = async ({ tenant_id, job_id, job }: JobEvent__Output) => {
    const newest = await cache.get(tenant_id, job_id)
    return !newest || BigInt(newest.job.revision) <= BigInt(job?.revision ?? 0)
  }
  const events = jobEvents({ openStream, counts, isNewest })
  const followed = followedJobs(database, (jobId, error) => log.error({ err: error, job_id: jobId }, 'a job cannot be kept in the cache'))
  const follower = followJobs({ coordinator, followed, events, changes, log })

  const snapshots = clusterSnapshots(database)
  const cluster = clusterEvents({ openStream, counts })
  const operations = createOperations({
    evaluationsOfJobs: evaluationsOfJobs(database),
    clusterEvents: cluster,
    cache,
    changes,
    coordinator,
    metricsHub,
    logsHub,
    events,
    snapshots,
    log,
    isFresh: follower.isFresh,
    exchangeTokens: exchangeOf(config, log),
    keys,
  })
  const admitted = admission({
    perKey: config.SCAIMIND_RATE_PER_KEY,
    perTenant: config.SCAIMIND_RATE_PER_TENANT,
    streamsPerKey: config.SCAIMIND_MAX_SUBSCRIPTIONS_PER_KEY,
  })
  const identities = { keys, tokens: tokensOf(config) }
  /** Every request asks who sends it, so that this is where it counts. */
  async function identify(credentials: Credentials): Promise<Viewer> {
    const viewer = await identifyViewer(identities, credentials)
    await admitted.request(viewer)
    return viewer
  }
  const limits = {
    depth: config.SCAIMIND_MAX_DEPTH,
    complexity: config.SCAIMIND_MAX_COMPLEXITY,
    aliases: config.SCAIMIND_MAX_ALIASES,
    listLength: config.SCAIMIND_MAX_LIST_LENGTH,
    pageSize: config.SCAIMIND_MAX_PAGE_SIZE,
    introspection: config.SCAIMIND_INTROSPECTION,
  }
  const told = deliveries({ slowMs: config.SCAIMIND_SLOW_READER_MS, stuckMs: config.SCAIMIND_STUCK_READER_S * 1000 })
  const parts = { operations, identify, admission: admitted, deliveries: told, limits, documents, log }
  const bodyBytesMax = config.SCAIMIND_MAX_BODY_BYTES

  const freshness = { version: changes.version, settled: changes.settled, isFresh: follower.isFresh }
  const graphql = httpHandler({ ...parts, bodyBytesMax, uploadBytesMax: config.SCAIMIND_MAX_UPLOAD_BYTES, freshness })
  const page = graphiqlPage()
  const rest = restRouter({ operations, identify, admission: admitted, deliveries: told, log, bodyBytesMax })
  const sockets = socketServer({ ...parts, subscriptionsMax: config.SCAIMIND_MAX_SUBSCRIPTIONS, messageBytesMax: bodyBytesMax })
  metrics.watch({
    connections: sockets.connectionCount,
    isFresh: follower.isFresh,
    counts,
    deliveries: told,
    topics: { metrics: metricsHub.topics, logs: logsHub.topics, events: events.topics, cluster: cluster.topics },
    bytesWaiting: () => told.bytesWaiting() + sockets.bytesWaiting(),
  })

  async function health(): Promise<{ status: number; body: object }> {
    const isDatabaseThere = await database.$queryRaw`SELECT 1`.then(
      () => true,
      () => false,
    )
    const state = { database: isDatabaseThere ? 'ok' : 'unavailable', coordinator: coordinator.isReady() ? 'ok' : 'unavailable' }
    const isWell = Object.values(state).every((word) => word === 'ok')
    return {
      status: isDatabaseThere ? 200 : 503,
      body: { status: isWell ? 'ok' : 'degraded', ...state, cache: follower.isFresh() ? 'fresh' : 'stale' },
    }
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?')[0] ?? '/'
    const requestId = requestIdOf(request.headers['x-request-id'])
    request.headers['x-request-id'] = requestId
    const door = doorOf(request, path)
    metrics.observe(response, door)
    const span = requestSpan({ ...door, requestId, traceparent: request.headers.traceparent })
    response.once('close', () => span.end(response.headersSent ? { httpStatus: response.statusCode } : {}))
    await span.run(() => answerAt(path, { request, response, requestId }))
  }

  async function answerAt(
    path: string,
    { request, response, requestId }: { request: IncomingMessage; response: ServerResponse; requestId: string },
  ): Promise<void> {
    // The contract names both without saying where they are.
    const isOpen = (name: string) => path === name || path === `${restBase}${name}`
    if (path.startsWith(`${restBase}/`) && !isOpen('/health') && !isOpen('/metrics')) return rest(request, response)
    response.setHeader('x-request-id', requestId)
    if (path === '/graphql') return wantsPage(request) ? page(request, response) : graphql(request, response, requestId)
    if (isOpen('/health')) {
      const { status, body } = await health()
      return sendJson(response, status, body)
    }
    if (isOpen('/metrics')) {
      const { contentType, text } = await metrics.render()
      response.writeHead(200, { 'content-type': contentType }).end(text)
      return
    }
    if (path === '/') {
      response.writeHead(302, { location: '/graphql' }).end()
      return
    }
    sendJson(response, 404, {
      status: 'error',
      error: { code: 'ROUTE_NOT_FOUND', message: 'There is no such path.' },
      meta: { request_id: requestId },
    })
  }

  // A large upload takes longer than Node gives a request: what ends one is silence, not its length.
  const server = createServer({ requestTimeout: 0 }, (request, response) => {
    request.setTimeout(silenceMs)
    answer(request, response).catch((error: unknown) => {
      log.error({ err: error, request_id: request.headers['x-request-id'] }, 'a request failed')
      if (response.headersSent) response.destroy()
      else sendJson(response, 500, { status: 'error', error: { code: 'INTERNAL_ERROR', message: 'A fault of ours.' } })
    })
  })
  server.on('upgrade', (request, socket, head) => {
    if ((request.url ?? '').split('?')[0] === '/graphql') sockets.upgrade(request, socket, head)
    else socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n')
  })

  async function release(): Promise<void> {
    keys.close()
    await follower.stop()
    coordinator.close()
    await database.$disconnect()
    await tracing.close()
  }

  const port = await listen(server, config).catch(async (error: unknown) => {
    await release()
    throw error
  })
  log.info({ port }, 'the API listens')

  let closed: Promise<void> | undefined
  async function close(): Promise<void> {
    const ended = new Promise<void>((resolve) => server.close(() => resolve()))
    // Streams end first, so that their clients are told; then what is left of connections.
    told.close()
    await sockets.close()
    metricsHub.close()
    logsHub.close()
    cluster.close()
    const timer = setTimeout(() => server.closeAllConnections(), 2000)
    server.closeIdleConnections()
    await ended
    clearTimeout(timer)
    await release()
  }

  return {
    url: `http://${config.SCAIMIND_HOST.includes(':') ? `[${config.SCAIMIND_HOST}]` : config.SCAIMIND_HOST}:${port}`,
    port,
    close() {
      closed ??= close()
      return closed
    },
  }
}

function tokensOf(config: ApiConfig): TokenVerifier | null {
  const { SCAIMIND_JWT_ISSUER: issuer, SCAIMIND_JWT_AUDIENCE: audience, SCAIMIND_JWT_CLAIMS: claims } = config
  if (!issuer || !audience) return null
  const url = config.SCAIMIND_JWKS_URL ?? `${issuer.replace(/\/$/, '')}/.well-known/jwks.json`
  return tokenVerifier({ issuer, audience, claims, getKey: jwks({ url }) })
}

function exchangeOf(config: ApiConfig, log: Logger): ExchangeTokens {
  const url = config.SCAIMIND_TOKEN_EXCHANGE_URL
  if (!url) return async () => ({})
  return tokenExchange({
    url,
    clientId: config.SCAIMIND_TOKEN_EXCHANGE_CLIENT_ID ?? '',
    clientSecret: config.SCAIMIND_TOKEN_EXCHANGE_CLIENT_SECRET ?? '',
    scaidriveAudience: config.SCAIMIND_SCAIDRIVE_AUDIENCE,
    scaiatlasAudience: config.SCAIMIND_SCAIATLAS_AUDIENCE,
    log,
  })
}

function readDocuments({ SCAIMIND_TRUSTED_DOCUMENTS: path, SCAIMIND_TRUSTED_DOCUMENTS_ONLY: only }: ApiConfig): TrustedDocuments {
  if (only && !path) throw new ConfigError('SCAIMIND_TRUSTED_DOCUMENTS_ONLY needs SCAIMIND_TRUSTED_DOCUMENTS, the file that has them.')
  try {
    return trustedDocuments(path ? readTrustedDocuments(path) : {}, only)
  } catch (error) {
    throw new ConfigError(`SCAIMIND_TRUSTED_DOCUMENTS: ${(error as Error).message}`)
  }
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' }).end(JSON.stringify(body))
}

function listen(server: ReturnType<typeof createServer>, { SCAIMIND_HOST: host, SCAIMIND_PORT: port }: ApiConfig): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'EADDRINUSE' ? 'is taken' : `cannot be listened on (${error.code ?? error.message})`
      reject(
        Object.assign(new ConfigError(`SCAIMIND_PORT: port ${port} of ${host} ${reason}; choose another, or 0 for any free one.`), {
          code: error.code,
        }),
      )
    })
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port))
  })
}
