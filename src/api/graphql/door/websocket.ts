import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type ExecutionArgs, execute, GraphQLError, getOperationAST, specifiedRules } from 'graphql'
import { CloseCode, handleProtocols, makeServer } from 'graphql-ws'
import { type WebSocket, WebSocketServer } from 'ws'
import { codes } from '../../../contract/codes.js'
import { Failure } from '../../../contract/failure.js'
import { newId } from '../../../contract/ids.js'
import type { Credentials, Viewer } from '../../auth/viewer.js'
import type { Context } from '../context.js'
import { presentError, presentResult } from '../failure.js'
import { schema } from '../schema.js'
import { Connection } from './connection.js'
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

// 1013 is WebSocket's own "try again later", 1001 says that the server goes away; after both clients come back.
const tryAgainLater = 1013
const goingAway = 1001
// A client that does not answer within this time after a ping is gone.
const pingEveryMs = 12_000

/** What a connection is known by while it is open. */
interface Extra {
  connection: Connection
  headers: IncomingMessage['headers'] | undefined
  viewer: Viewer | undefined
}

/** GraphQL over graphql-ws. The key comes in connectionParams, as `authorization` or `apiKey`, or in the header. */
export function socketServer(parts: SocketParts): SocketServer {
  const { identify, log, limits, documents } = parts
  const streamParts = { ...parts, http: false }
  const sockets = new WebSocketServer({ noServer: true, maxPayload: parts.messageBytesMax, perMessageDeflate: false, handleProtocols })
  const documentOf = knownDocuments([...specifiedRules, ...limitRules(limits)])
  const connections = new Set<Connection>()
  const subscriptions = new WeakMap<ExecutionArgs, { connection: Connection; id: string }>()
  const costly = new WeakSet<ExecutionArgs>()

  const server = makeServer<Record<string, unknown>, Extra>({
    async onConnect({ connectionParams, extra }) {
      const { client } = extra.connection
      try {
        const viewer = await identify(credentialsOf(connectionParams ?? {}, extra.headers ?? {}))
        extra.viewer = viewer
        // Of a request nothing is needed once it is known who sent it.
        extra.headers = undefined
        const end = () => close(client, viewer.ended.reason)
        viewer.ended.addEventListener('abort', end)
        client.once('close', () => viewer.ended.removeEventListener('abort', end))
        return true
      } catch (error) {
        close(client, error)
        // Not `false`: that would close with a code that says too little.
        return new Promise<never>(() => {})
      }
    },

    async onSubscribe({ extra, subscriptions: open }, id, payload) {
      const { operationName, variables, extensions } = payload
      const requestId = newId('req')
      const present = { requestId, log, http: false }
      if (Object.keys(open).length > parts.subscriptionsMax) {
        return [refusal(`A connection has at most ${parts.subscriptionsMax} subscriptions at once.`, requestId)]
      }
      try {
        const { document, errors } = documentOf(documents.textFor(payload as OperationRequest) ?? '')
        if (errors.length > 0) return errors.map((error) => presentError(error, present))
        if (!getOperationAST(document, operationName)) return [presentError(new GraphQLError('Unable to identify operation'), present)]
        const viewer = extra.viewer ?? null
        if (viewer) await parts.admission.request(viewer)
        const contextValue = createContext(parts, viewer, requestId)
        const args = { schema, document, operationName, variableValues: variables, contextValue } as ExecutionArgs
        const refused = refusalsOf(args, contextValue)
        if (refused.length > 0) return refused.map((error) => presentError(error, present))
        if (asksForCost(extensions)) costly.add(args)
        subscriptions.set(args, { connection: extra.connection, id })
        return args
      } catch (error) {
        if (error instanceof GraphQLError) return [presentError(error, present)]
        if (error instanceof Failure) return [presentError(new GraphQLError('Refused.', { originalError: error }), present)]
        throw error
      }
    },

    execute: async (args) => {
      const { requestId } = args.contextValue as Context
      const result = presentResult(await execute(args), { requestId, log, http: false })
      return costly.has(args) ? withCost(result, costOf(args)) : result
    },

    async subscribe(args) {
      const stream = await subscribe(args, streamParts)
      const place = subscriptions.get(args)
      return stream instanceof LiveStream && place ? place.connection.subscription(place.id, stream) : stream
    },
  })

  function open(client: WebSocket, socket: Duplex, { headers }: IncomingMessage): void {
    const connection = new Connection(client, socket)
    connections.add(connection)
    const closed = server.opened(
      {
        protocol: client.protocol,
        send: (data) =>
          new Promise((resolve, reject) => {
            if (client.readyState !== client.OPEN) return resolve()
            client.send(data, (error) => (error ? reject(error) : resolve()))
          }),
        close: (code, reason) => client.close(code, reason),
        onMessage: (take) =>
          client.on('message', (message) => {
            take(String(message)).catch((error: unknown) => {
              log.error({ err: error }, 'a WebSocket message could not be answered')
              client.close(CloseCode.InternalServerError, 'A fault of ours.')
            })
          }),
      },
      { connection, headers, viewer: undefined },
    )
    client.on('pong', () => {
      connection.isAlive = true
    })
    client.once('error', (error) => {
      log.debug({ err: error }, 'a WebSocket connection broke')
      client.terminate()
    })
    client.once('close', (code, reason) => {
      connections.delete(connection)
      void closed(code, String(reason))
    })
  }

  const pings = setInterval(() => {
    for (const connection of connections) {
      // One that takes nothing cannot be asked; it is closed for that before long.
      if (connection.isStalled) continue
      if (connection.isAlive) {
        connection.isAlive = false
        connection.client.ping()
      } else connection.client.terminate()
    }
  }, pingEveryMs)
  pings.unref()

  return {
    upgrade(request, socket, head) {
      sockets.handleUpgrade(request, socket, head, (client) => open(client, socket, request))
    },
    connectionCount: () => connections.size,
    bytesWaiting() {
      let bytes = 0
      for (const { client } of connections) bytes += client.bufferedAmount
      return bytes
    },
    async close() {
      clearInterval(pings)
      const gone = new Promise<void>((resolve) => sockets.close(() => resolve()))
      for (const { client } of connections) client.close(goingAway, 'Going away')
      // Who does not answer the closing is not waited for.
      const timer = setTimeout(() => {
        for (const { client } of connections) client.terminate()
      }, 1000)
      await gone
      clearTimeout(timer)
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
function close(client: WebSocket, error: unknown): void {
  const { code, message } = error instanceof Failure ? error : new Failure('INTERNAL_ERROR', 'A fault of ours.')
  const closeCode = codes[code].http === 401 ? CloseCode.Unauthorized : codes[code].http === 403 ? CloseCode.Forbidden : tryAgainLater
  // The protocol takes 123 bytes of reason.
  client.close(
    closeCode,
    Buffer.from(`${code}: ${message}`)
      .subarray(0, 120)
      .toString('utf8')
      .replace(/\ufffd+$/, ''),
  )
}

const refusal = (message: string, requestId: string) => new GraphQLError(message, { extensions: { code: 'RATE_LIMITED', requestId } })
