import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type ExecutionArgs, execute, GraphQLError, getOperationAST, specifiedRules, validate } from 'graphql'
import { CloseCode } from 'graphql-ws'
import { useServer } from 'graphql-ws/use/ws'
import { WebSocketServer } from 'ws'
import { codes } from '../../../contract/codes.js'
import { Failure } from '../../../contract/failure.js'
import { newId } from '../../../contract/ids.js'
import type { Credentials, Viewer } from '../../auth/viewer.js'
import type { Context } from '../context.js'
import { presentError, presentResult } from '../failure.js'
import { schema } from '../schema.js'
import { asksForCost, costOf, withCost } from './cost.js'
import { createContext, refusalsOf, type StreamParts, subscribe } from './execution.js'
import { limitRules } from './limits.js'
import { parseDocument } from './parse-document.js'
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
  /** Closes all connections with 1001 and waits until they are gone. */
  close(): Promise<void>
}

// 1013 is WebSocket's own "try again later"; clients do.
const tryAgainLater = 1013

/** GraphQL over graphql-ws. The key comes in connectionParams, as `authorization` or `apiKey`, or in the header. */
export function socketServer(parts: SocketParts): SocketServer {
  const { identify, log, limits, documents } = parts
  const sockets = new WebSocketServer({ noServer: true, maxPayload: parts.messageBytesMax, perMessageDeflate: false })
  const rules = [...specifiedRules, ...limitRules(limits)]
  const viewers = new WeakMap<object, Viewer>()
  const costly = new WeakSet<ExecutionArgs>()

  const server = useServer(
    {
      async onConnect({ connectionParams, extra }) {
        try {
          const viewer = await identify(credentialsOf(connectionParams ?? {}, extra.request))
          viewers.set(extra, viewer)
          const end = () => close(extra.socket, viewer.ended.reason)
          viewer.ended.addEventListener('abort', end)
          extra.socket.once('close', () => viewer.ended.removeEventListener('abort', end))
          return true
        } catch (error) {
          close(extra.socket, error)
          // Not `false`: that would close with a code that says too little.
          return new Promise<never>(() => {})
        }
      },

      async onSubscribe({ extra, subscriptions }, _id, payload) {
        const { operationName, variables, extensions } = payload
        const requestId = newId('req')
        const present = { requestId, log, http: false }
        if (Object.keys(subscriptions).length > parts.subscriptionsMax) {
          return [refusal(`A connection has at most ${parts.subscriptionsMax} subscriptions at once.`, requestId)]
        }
        try {
          const document = parseDocument(documents.textFor(payload as OperationRequest) ?? '')
          const errors = validate(schema, document, rules)
          if (errors.length > 0) return errors.map((error) => presentError(error, present))
          if (!getOperationAST(document, operationName)) return [presentError(new GraphQLError('Unable to identify operation'), present)]
          const viewer = viewers.get(extra) ?? null
          if (viewer) await parts.admission.request(viewer)
          const contextValue = createContext(parts, viewer, requestId)
          const args = { schema, document, operationName, variableValues: variables, contextValue } as ExecutionArgs
          const refused = refusalsOf(args, contextValue)
          if (refused.length > 0) return refused.map((error) => presentError(error, present))
          if (asksForCost(extensions)) costly.add(args)
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
      subscribe: (args) => subscribe(args, { ...parts, http: false }),
    },
    sockets,
  )

  return {
    upgrade(request, socket, head) {
      sockets.handleUpgrade(request, socket, head, (client) => sockets.emit('connection', client, request))
    },
    connectionCount: () => sockets.clients.size,
    async close() {
      const gone = server.dispose()
      // Who does not answer the closing is not waited for.
      const timer = setTimeout(() => {
        for (const client of sockets.clients) client.terminate()
      }, 1000)
      await gone
      clearTimeout(timer)
    },
  }
}

function credentialsOf(parameters: Record<string, unknown>, { headers }: IncomingMessage): Credentials {
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
function close(socket: { close(code: number, reason: string): void }, error: unknown): void {
  const { code, message } = error instanceof Failure ? error : new Failure('INTERNAL_ERROR', 'A fault of ours.')
  const closeCode = codes[code].http === 401 ? CloseCode.Unauthorized : codes[code].http === 403 ? CloseCode.Forbidden : tryAgainLater
  // The protocol takes 123 bytes of reason.
  socket.close(closeCode, Buffer.from(`${code}: ${message}`).subarray(0, 120).toString('utf8').replace(/�+$/, ''))
}

const refusal = (message: string, requestId: string) => new GraphQLError(message, { extensions: { code: 'RATE_LIMITED', requestId } })
