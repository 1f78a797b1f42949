import type { ClientReadableStream } from '@grpc/grpc-js'
import type { Logger } from 'pino'
import type { Failure } from '../../contract/failure.js'
import { callSpan } from '../../tracing.js'
import { type CallContext, logged, metadataOf } from './call.js'
import type { Channel } from './channel.js'
import { coordinatorUnavailable, toFailure } from './failure.js'
import { type Method, methodOf, type RequestOf, type ResponseOf } from './methods.js'

/** The streams of the coordinator. */
export type StreamMethod = 'StreamJobMetrics' | 'StreamJobLogs' | 'StreamJobEvents' | 'StreamClusterEvents'

/** How a stream is kept open. */
export interface StreamOptions<M extends StreamMethod> {
  method: M
  /** Its `after` is where the stream begins. */
  request: RequestOf<M> & { after?: string }
  context: CallContext
  signal: AbortSignal
  /** Whether nothing follows this message; without it nothing follows where the coordinator ends the stream. A stream that ends before is opened again. */
  isLast?(message: ResponseOf<M>): boolean
  /** Told when a stream is open and when it was lost. */
  onConnected?(connected: boolean): void
}

/** Opens streams of the coordinator. */
export type OpenStream = <M extends StreamMethod>(options: StreamOptions<M>) => AsyncGenerator<ResponseOf<M>, void, undefined>

const firstWaitMs = 100
const longestWaitMs = 2000
// A coordinator that answers every attempt with a fault of its own is asked so often before the readers are told.
const faultsMax = 5
const temporary = new Set(['COORDINATOR_UNAVAILABLE', 'BACKEND_TIMEOUT', 'RATE_LIMITED', 'INTERNAL_ERROR'])

/**
 * Makes the function that opens streams. A stream goes on over lost connections: it is opened again after the last cursor, with waits that grow
 * and differ, so that nothing is lost or told twice. It throws Failures that asking again would not mend, and ends when `signal` is aborted.
 */
export function createOpenStream(channel: Channel, { log }: { log: Logger }): OpenStream {
  return async function* open(options) {
    const { method, signal, context, onConnected } = options
    let after = options.request.after ?? ''
    let failed = 0
    while (!signal.aborted) {
      try {
        for await (const message of once(channel, { ...options, request: { ...options.request, after } })) {
          failed = 0
          after = (message as { cursor?: string }).cursor || after
          yield message
          if (options.isLast?.(message)) return
        }
        if (!options.isLast) return
      } catch (error) {
        if (signal.aborted) return
        const failure: Failure = logged(error, { method, context, log })
        if (!temporary.has(failure.code) || (failure.code === 'INTERNAL_ERROR' && failed >= faultsMax)) throw failure
      } finally {
        onConnected?.(false)
      }
      await pause(Math.min(longestWaitMs, firstWaitMs * 2 ** failed++) * (0.5 + Math.random() / 2), signal)
    }
  }
}

/** One stream, until it ends, fails or is aborted. It is read no faster than its messages are taken. */
async function* once<M extends StreamMethod>(channel: Channel, { method, request, context, signal, onConnected }: StreamOptions<M>) {
  if (!(await channel.becomesReady(longestWaitMs))) throw coordinatorUnavailable()
  if (signal.aborted) return
  const { path, requestSerialize, responseDeserialize } = methodOf<Method>(method)
  const span = callSpan(path, context)
  const metadata = span.run(() => metadataOf(channel, context))
  const { client, left } = channel
  const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request, metadata)
  const cancel = () => stream.cancel()
  for (const end of [signal, left]) end.addEventListener('abort', cancel)
  onConnected?.(true)
  try {
    for await (const message of stream as ClientReadableStream<ResponseOf<M>> & AsyncIterable<ResponseOf<M>>) yield message
  } catch (error) {
    if (!signal.aborted) span.end({ error: toFailure(error) })
    throw error
  } finally {
    span.end()
    for (const end of [signal, left]) end.removeEventListener('abort', cancel)
    // Destroying a stream that was left early reports its own cancellation, which nobody is there to hear.
    stream.on('error', () => {})
    stream.cancel()
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
    if (signal.aborted) done()
  })
}
