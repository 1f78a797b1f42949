import { Metadata } from '@grpc/grpc-js'
import type { Logger } from 'pino'
import type { Failure } from '../../contract/failure.js'
import { callSpan, inSpan, traceparentHere } from '../../tracing.js'
import type { Channel } from './channel.js'
import { coordinatorUnavailable, isServiceError, toFailure } from './failure.js'
import { isRepeatable, type Method, methodOf, type RequestOf, type ResponseOf } from './methods.js'

/** For whom a call is made. */
export interface CallContext {
  /** `*`: all tenants. */
  tenantId: string
  userId?: string
  requestId: string
  /** Forwarded on submissions only; never logged, never stored here. */
  scaidriveToken?: string
  scaiatlasToken?: string
}

/** Calls of the coordinator. */
export type Call = <M extends Method>(method: M, request: RequestOf<M>, context: CallContext) => Promise<ResponseOf<M>>

// Long enough for a connection to a coordinator that is there, short enough to say at once that it is not.
const connectWithinMs = 2000

/**
 * Makes the function that calls the coordinator. It throws Failures only; COORDINATOR_UNAVAILABLE at once, not after the deadline, where there
 * is no connection. A call that may be repeated is sent once more when its connection broke.
 */
export function createCall(
  channel: Channel,
  { timeoutMs, log, onResult }: { timeoutMs: number; log: Logger; onResult?: (method: Method, code: string) => void },
): Call {
  async function once<M extends Method>(method: M, request: RequestOf<M>, context: CallContext): Promise<ResponseOf<M>> {
    if (!(await channel.becomesReady(connectWithinMs))) throw coordinatorUnavailable()
    const { path, requestSerialize, responseDeserialize } = methodOf(method)
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + timeoutMs }
      const { client, left } = channel
      const leave = () => call.cancel()
      const call = client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadataOf(channel, context),
        options,
        (error, response) => {
          left.removeEventListener('abort', leave)
          if (error) reject(error)
          else if (response === undefined) reject(new Error(`${method} answered nothing`))
          else resolve(response)
        },
      )
      left.addEventListener('abort', leave)
    }).catch((error: unknown) => {
      throw logged(error, { method, context, log })
    }) as Promise<ResponseOf<M>>
  }

  async function counted<M extends Method>(method: M, request: RequestOf<M>, context: CallContext): Promise<ResponseOf<M>> {
    try {
      return await once(method, request, context)
        .catch((failure: Failure) => {
          // Without a cause there was no connection to begin with: asking again would only keep the caller waiting.
          if (failure.code !== 'COORDINATOR_UNAVAILABLE' || !failure.cause || !isRepeatable(method, request as object)) throw failure
          return once(method, request, context)
        })
        .then((response) => {
          onResult?.(method, 'OK')
          return response
        })
    } catch (failure) {
      onResult?.(method, (failure as Failure).code)
      throw failure
    }
  }

  return (method, request, context) => inSpan(callSpan(methodOf(method).path, context), () => counted(method, request, context))
}

/** The metadata that every call carries. */
export function metadataOf({ secret }: Channel, context: CallContext): Metadata {
  const { tenantId, userId, requestId, scaidriveToken, scaiatlasToken } = context
  const metadata = new Metadata()
  metadata.set('x-api-secret', secret)
  metadata.set('x-tenant-id', tenantId)
  metadata.set('x-request-id', requestId)
  // Metadata holds printable ASCII only.
  if (userId && /^[\x20-\x7e]+$/.test(userId)) metadata.set('x-user-id', userId)
  const traceparent = traceparentHere()
  if (traceparent) metadata.set('traceparent', traceparent)
  if (scaidriveToken) metadata.set('x-scaidrive-token', scaidriveToken)
  if (scaiatlasToken) metadata.set('x-scaiatlas-token', scaiatlasToken)
  return metadata
}

/** Turns an error into a Failure; the coordinator's own faults are logged, for their detail is hidden from the caller. */
export function logged(error: unknown, { method, context, log }: { method: Method; context: CallContext; log: Logger }): Failure {
  const failure = toFailure(error)
  const raw = isServiceError(error) ? error.details : String(error)
  if (failure.code === 'INTERNAL_ERROR' || failure.code === 'AUTH_TOKEN_INVALID') {
    log.error({ event: 'scaimind_coordinator_error', method, request_id: context.requestId, raw_detail: raw }, 'the coordinator failed')
  }
  return failure
}
