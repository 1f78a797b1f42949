import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type ExecutionArgs, execute, GraphQLError, getOperationAST, specifiedRules } from 'graphql'
import { CloseCode, handleProtocols, makeServer } from 'graphql-ws'
import { type WebSocket, WebSocketServer } from 'ws'
import { codes } from '../../../contract/codes.js'
import { Failure } from '../../../contract/failure.js'
import { newId } from '../../../contract/ids.js'
import { inSpan, requestSpan } from '../../../tracing.js'
import type { Credentials, Viewer } from '../../auth/viewer.js'
import type { Context } from '../context.js'
import { presentError, presentResult } from '../failure.js'
import { schema } from '../schema.js'
import { Connection, ConnectionSocket } from './connection.js'
import { asksForCost, costOf, withCost } from './cost.js'
import { createContext, refusalsOf } from './execution.js'
import { knownDocuments } from './known-documents.js'
import { limitRules } from './limits.js'
import { LiveStream, type StreamParts, subscribe } from './live-stream.js'
import type { OperationRequest, TrustedDocuments } from './trusted-documents.js'

/** What GraphQL over WebSocket needs. */
export interface SocketParts extends StreamParts {
  identify(credentials: Credentials): Promise<Viewer>
  /** Subscriptions on one connection. */
  subscriptionsMax: number
  /** Bytes of one message. */
  messageBytesMax: number
  documents: TrustedDocuments
}

/** The WebSocket door. */
export interface SocketServer {
  /** Takes over a connection that asked to be upgraded. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  connectionCount(): number
  /** Bytes that were written and not sent yet. */
  bytesWaiting(): number
  /** Closes all connections with 1001 and waits until they are gone. */
  close(): Promise<void>
}

/** Where a subscription goes, and what is open there by id. */
interface SubscriptionPlace {
  connection: Connection
  id: string
  open: Readonly<Record<string, unknown>>
}

// 1013 is WebSocket's own "try again later", 1001 says that the server goes away; after both clients come back.
const tryAgainLater = 1013
const goingAway = 1001
// A client that does not answer within this time after a ping is gone.
const pingEveryMs = 12_000

/** GraphQL over graphql-ws. The key comes in connectionParams, as `authorization` or `apiKey`, or in the header. */
export function socketServer(parts: SocketParts): SocketServer {
  const { identify, log, limits, documents } = parts
  const streamParts = { ...parts, http: false }
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: parts.messageBytesMax,
    perMessageDeflate: false,
    handleProtocols,
    WebSocket: Connection,
  })
  const documentOf = knownDocuments([...specifiedRules, ...limitRules(limits)])
  const connections = new Set<Connection>()
  const signedIn = connectionsByKey()
  const places = new WeakMap<ExecutionArgs, SubscriptionPlace>()
  const costly = new WeakSet<ExecutionArgs>()

  const server = makeServer<Record<string, unknown>, Connection>({
    async onConnect(context) {
      const { connectionParams, extra: connection } = context
      try {
        connection.viewer = await identify(credentialsOf(connectionParams ?? {}, connection.headers ?? {}))
        // Nothing of it is needed any more, and a key is not kept.
        connection.headers = undefined
        Object.assign(context, { connectionParams: undefined })
        if (connection.readyState === connection.OPEN) signedIn.add(connection, connection.viewer.ended)
        return true
      } catch (error) {
        close(connection, error)
        // Not `false`: that would close with a code that says too little.
        return new Promise<never>(() => {})
      }
    },

    async onSubscribe({ extra: connection, subscriptions: open }, id, payload) {
      const { operationName, variables, extensions } = payload
      const requestId = newId('req')
      // Under its id until it has begun, so that it is told from the next of that id.
      const place: SubscriptionPlace = { connection, id, open }
      Object.assign(open, { [id]: place })
      const present = { requestId, log, http: false }
      if (Object.keys(open).length > parts.subscriptionsMax) {
        return [refusal(`A connection has at most ${parts.subscriptionsMax} subscriptions at once.`, requestId)]
      }
      try {
        const { document, errors } = documentOf(documents.textFor(payload as OperationRequest) ?? '')
        if (errors.length > 0) return errors.map((error) => presentError(error, present))
        if (!getOperationAST(document, operationName)) return [presentError(new GraphQLError('Unable to identify operation'), present)]
        // graphql-ws keeps the message as long as the subscription: the text that all readers have in common will do.
        if (document.loc) Object.assign(payload, { query: document.loc.source.body })
        const viewer = connection.viewer ?? null
        if (viewer) await parts.admission.request(viewer)
        const contextValue = createContext(parts, viewer, requestId)
        const args = { schema, document, operationName, variableValues: variables, contextValue } as ExecutionArgs
        const refused = refusalsOf(args, contextValue)
        if (refused.length > 0) return refused.map((error) => presentError(error, present))
        if (asksForCost(extensions)) costly.add(args)
        places.set(args, place)
        return args
      } catch (error) {
        if (error instanceof GraphQLError) return [presentError(error, present)]
        if (error instanceof Failure) return [presentError(new GraphQLError('Refused.', { originalError: error }), present)]
        throw error
      }
    },

    execute: (args) => {
      const { requestId } = args.contextValue as Context
      return inSpan(operationSpan(requestId), async () => {
        const result = presentResult(await execute(args), { requestId, log, http: false })
        return costly.has(args) ? withCost(result, costOf(args)) : result
      })
    },

    async subscribe(args) {
      const { requestId } = args.contextValue as Context
      const span = operationSpan(requestId)
      const stream = await span
        .run(() => subscribe(args, streamParts))
        .catch((error: unknown) => {
          span.end({ error })
          throw error
        })
      const place = places.get(args)
      places.delete(args)
      if (place && place.id in place.open && place.open[place.id] !== place) {
        // It was completed meanwhile, and its id is another's: what is said under it now is of that one.
        span.end()
        if (stream instanceof LiveStream) await stream.return()
        return new Promise<never>(() => {})
      }
      if (stream instanceof LiveStream && place) return place.connection.subscription(place.id, stream, span)
      span.end()
      return stream
    },
  })

  function failed(this: Connection, error: unknown): void {
    log.error({ err: error }, 'a WebSocket message could not be answered')
    this.close(CloseCode.InternalServerError, 'A fault of ours.')
  }

  function onPong(this: WebSocket): void {
    if (this instanceof Connection) this.isAlive = true
  }

  function onError(this: WebSocket, error: Error): void {
    log.debug({ err: error }, 'a WebSocket connection broke')
    this.terminate()
  }

  function onClose(this: WebSocket, code: number, reason: Buffer): void {
    if (!(this instanceof Connection)) return
    connections.delete(this)
    if (this.viewer) signedIn.remove(this, this.viewer.ended)
    void this.closed?.(code, String(reason))
  }

  function open(connection: Connection, socket: Duplex, { headers }: IncomingMessage): void {
    connection.begin(socket, headers)
    connections.add(connection)
    connection.on('pong', onPong)
    connection.on('error', onError)
    connection.on('close', onClose)
    connection.closed = server.opened(new ConnectionSocket(connection, failed.bind(connection)), connection)
  }

  const pings = setInterval(() => {
    for (const connection of connections) {
      // One that takes nothing cannot be asked; it is closed for that before long.
      if (connection.isStalled) continue
      if (connection.isAlive) {
        connection.isAlive = false
        connection.ping()
      } else connection.terminate()
    }
  }, pingEveryMs)
  pings.unref()

  return {
    upgrade(request, socket, head) {
      sockets.handleUpgrade(request, socket, head, (connection) => open(connection, socket, request))
    },
    connectionCount: () => connections.size,
    bytesWaiting() {
      let bytes = 0
      for (const { bufferedAmount } of connections) bytes += bufferedAmount
      return bytes
    },
    async close() {
      clearInterval(pings)
      const gone = new Promise<void>((resolve) => sockets.close(() => resolve()))
      for (const connection of connections) connection.close(goingAway, 'Going away')
      // Who does not answer the closing is not waited for.
      const timer = setTimeout(() => {
        for (const connection of connections) connection.terminate()
      }, 1000)
      await gone
      clearTimeout(timer)
    },
  }
}

const operationSpan = (requestId: string) => requestSpan({ door: 'graphql', method: 'WEBSOCKET', requestId, traceparent: undefined })

/** The connections of each key: one that stops working takes all of its connections along. */
function connectionsByKey() {
  const keys = new Map<AbortSignal, { connections: Set<Connection>; end: () => void }>()
  return {
    add(connection: Connection, ended: AbortSignal): void {
      const known = keys.get(ended)
      if (known) known.connections.add(connection)
      else {
        const connections = new Set([connection])
        const end = () => {
          for (const one of connections) close(one, ended.reason)
        }
        keys.set(ended, { connections, end })
        ended.addEventListener('abort', end)
      }
      if (ended.aborted) close(connection, ended.reason)
    },
    remove(connection: Connection, ended: AbortSignal): void {
      const known = keys.get(ended)
      if (!known?.connections.delete(connection) || known.connections.size > 0) return
      keys.delete(ended)
      ended.removeEventListener('abort', known.end)
    },
  }
}

function credentialsOf(parameters: Record<string, unknown>, headers: IncomingMessage['headers']): Credentials {
  const named = (name: string) => {
    const key = Object.keys(parameters).find((given) => given.toLowerCase() === name)
    const value = key === undefined ? undefined : parameters[key]
    return typeof value === 'string' && value ? value : undefined
  }
  const apiKey = named('apikey')
  return {
    authorization: named('authorization') ?? (apiKey ? `Bearer ${apiKey}` : headers.authorization),
    tenant: named('x-scaigrid-tenant') ?? headers['x-scaigrid-tenant']?.toString(),
  }
}

/** Closes a connection so that its client knows whether to come back: 4401 without a key that works, 4403 where it may not, 1013 for later. */
function close(connection: Connection, error: unknown): void {
  const { code, message } = error instanceof Failure ? error : new Failure('INTERNAL_ERROR', 'A fault of ours.')
  const closeCode = codes[code].http === 401 ? CloseCode.Unauthorized : codes[code].http === 403 ? CloseCode.Forbidden : tryAgainLater
  // The protocol takes 123 bytes of reason.
  connection.close(
    closeCode,
    Buffer.from(`${code}: ${message}`)
      .subarray(0, 120)
      .toString('utf8')
      .replace(/\ufffd+$/, ''),
  )
}

const refusal = (message: string, requestId: string) => new GraphQLError(message, { extensions: { code: 'RATE_LIMITED', requestId } })
