import type {
  handleUnaryCall,
  Metadata,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  sendUnaryData,
  UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { Failure } from '../../contract/failure.js'
import { answerSpan, type OpenSpan } from '../../tracing.js'
import { isDatabaseAway } from '../jobs/records/database.js'
import type { Log } from '../jobs/records/log.js'
import { type Audience, type Caller, type CallerReader, requestIdOf, traceparentOf } from './caller.js'
import { toServiceError } from './failure.js'

/** A method that answers once. */
type Unary<Request, Response> = (request: Request, caller: Caller) => Promise<Response>
/** A method that answers with a stream; it ends early, and in order, when the signal aborts. */
type Streaming<Request, Response> = (request: Request, caller: Caller, signal: AbortSignal) => AsyncIterable<Response>

/** A method that takes a stream and answers once; the stream breaks off where the caller leaves. */
type Receiving<Request, Response> = (requests: AsyncIterable<Request>, caller: Caller) => Promise<Response>

/** The methods of one service by name; those that are not built yet are left out. */
export type Methods = Record<string, Method>
interface Method extends Audience {
  unary?: Unary<unknown, unknown>
  streaming?: Streaming<unknown, unknown>
  receiving?: Receiving<unknown, unknown>
}

/** A method for one tenant. */
export const unary = <Request, Response>(
  run: Unary<Request, Response>,
  { allowsAllTenants = false, needsAllTenants = false }: Partial<Audience> = {},
): Method => ({
  allowsAllTenants,
  needsAllTenants,
  unary: run as Unary<unknown, unknown>,
})
/** A stream for one tenant. */
export const streaming = <Request, Response>(run: Streaming<Request, Response>, { allowsAllTenants = false } = {}): Method => ({
  allowsAllTenants,
  streaming: run as Streaming<unknown, unknown>,
})
/** A stream to us, for one tenant. */
export const receiving = <Request, Response>(run: Receiving<Request, Response>): Method => ({
  allowsAllTenants: false,
  receiving: run as Receiving<unknown, unknown>,
})
/** Opens a method to `x-tenant-id: *`. */
export const forAllTenants = { allowsAllTenants: true }
/** Keeps a method for those who hold the secret for all tenants. */
export const forAgents = { needsAllTenants: true }

/** What all services stand behind. */
export interface Entrance {
  readCaller: CallerReader
  log: Log
  /** Aborts when the coordinator stops: streams then end with UNAVAILABLE, so that their readers come back. */
  stopping: AbortSignal
  /** Every call is answered with this, once its caller is known; without it calls are answered by their methods. */
  refusal?: () => Failure
}

/**
 * Makes a gRPC service of its methods: each call's caller is read first, and whatever is thrown leaves through `toServiceError`. Every method of the
 * definition that is not among them answers UNIMPLEMENTED.
 */
export function implement(
  service: ServiceDefinition,
  methods: Methods,
  { readCaller, log, stopping, refusal }: Entrance,
): UntypedServiceImplementation {
  const unknown = Object.keys(methods).filter((name) => !(name in service))
  if (unknown.length > 0) throw new Error(`The service has no method ${unknown.join(', ')}.`)
  return Object.fromEntries(
    Object.entries(service).map(([name, { path, requestStream, responseStream }]) => {
      const method = methods[name]
      const spanOf = (metadata: Metadata) => answerSpan(path, { requestId: requestIdOf(metadata), traceparent: traceparentOf(metadata) })
      const failed = (thrown: unknown, metadata: Metadata, span: OpenSpan) => {
        const error = databaseAway(thrown)
        span.end({ error })
        return toServiceError(error, () => log.error({ err: thrown, method: path, request_id: requestIdOf(metadata) }, 'a call failed'))
      }
      const enter = (metadata: Metadata) => {
        const caller = readCaller(metadata, method ?? { allowsAllTenants: true })
        if (refusal) throw refusal()
        if (!method) throw new Failure('NOT_IMPLEMENTED', `${path.slice(1)} is not built yet.`)
        return { caller, method }
      }
      const answersOnce = (
        call: ServerUnaryCall<unknown, unknown> | ServerReadableStream<unknown, unknown>,
        send: sendUnaryData<unknown>,
      ) => {
        const run = async () => {
          const { caller, method: built } = enter(call.metadata)
          if (built.receiving && Symbol.asyncIterator in call) return await built.receiving(wholeStream(call), caller)
          if (!built.unary || !('request' in call)) throw new Error(`${path} is not a unary method here.`)
          return await built.unary(call.request, caller)
        }
        const span = spanOf(call.metadata)
        span.run(run).then(
          (answer) => {
            span.end()
            send(null, answer)
          },
          (thrown: unknown) => send(failed(thrown, call.metadata, span)),
        )
      }
      const answersStream = (call: ServerWritableStream<unknown, unknown>) => {
        const over = new AbortController()
        const end = () => over.abort()
        let isCancelled = false
        const cancel = () => {
          isCancelled = true
          end()
        }
        call.on('cancelled', cancel)
        call.on('close', cancel)
        stopping.addEventListener('abort', end)
        const run = async () => {
          const { caller, method: built } = enter(call.metadata)
          if (!built.streaming) throw new Error(`${path} is not a stream here.`)
          for await (const message of built.streaming(call.request, caller, over.signal)) {
            if (over.signal.aborted) break
            if (!call.write(message)) await untilDrained(call, over.signal)
          }
          if (stopping.aborted) throw new Failure('COORDINATOR_UNAVAILABLE', 'The coordinator is stopping.', { retryAfterSeconds: 1 })
        }
        const span = spanOf(call.metadata)
        span
          .run(run)
          .then(
            () => call.end(),
            (thrown: unknown) => {
              if (!isCancelled) call.emit('error', failed(thrown, call.metadata, span))
            },
          )
          .finally(() => {
            span.end()
            stopping.removeEventListener('abort', end)
          })
      }
      if (requestStream && responseStream) throw new Error(`${path}: streams in both directions are not provided for.`)
      return [name, (responseStream ? answersStream : answersOnce) as handleUnaryCall<unknown, unknown>]
    }),
  )
}

// From the end of a call's messages to the word that it was cancelled it takes a few turns of the event loop.
const toldWithinMs = 50

/** A client's messages to their end. A call that was broken off ends like one that is whole, and is told to be cancelled only after: that is waited for. */
async function* wholeStream(call: ServerReadableStream<unknown, unknown>): AsyncGenerator<unknown, void, undefined> {
  yield* call
  if (!call.cancelled) {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, toldWithinMs)
      call.once('cancelled', () => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
  if (call.cancelled) throw new Failure('INVALID_ARGUMENT', 'The stream broke off before it was whole.')
}

/** A database that is away is no bug: the caller is told to come back. */
function databaseAway(thrown: unknown): unknown {
  if (!isDatabaseAway(thrown)) return thrown
  return new Failure('COORDINATOR_UNAVAILABLE', "The coordinator's database cannot be reached.", { cause: thrown, retryAfterSeconds: 2 })
}

/** A slow reader slows its stream down; nothing piles up for it here. */
async function untilDrained(call: ServerWritableStream<unknown, unknown>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => {
    const done = () => {
      call.off('drain', done)
      signal.removeEventListener('abort', done)
      resolve()
    }
    call.on('drain', done)
    signal.addEventListener('abort', done)
  })
}
