import { status as grpc, Metadata, type ServiceError } from '@grpc/grpc-js'
import { codes } from '../../contract/codes.js'
import { Failure } from '../../contract/failure.js'

/** What the log must know of a fault of ours. */
export interface Fault {
  cause: unknown
  requestId: string
  method: string
}

/**
 * What a caller is answered for whatever was thrown. A Failure becomes its gRPC status, with the code in the trailer `scaimind-code`, the
 * wrong fields as JSON in `scaimind-details-bin`, and the time to wait in `scaimind-retry-after`. Anything else is a bug: it is handed to
 * `report`, and the caller learns nothing of it.
 */
export function toServiceError(
  thrown: unknown,
  report: () => void,
): Partial<ServiceError> & { code: grpc; details: string; metadata: Metadata } {
  const failure = thrown instanceof Failure ? thrown : null
  if (!failure) report()
  const code = failure?.code ?? 'INTERNAL_ERROR'
  const metadata = new Metadata()
  metadata.set('scaimind-code', code)
  if (failure && failure.fields.length > 0) metadata.set('scaimind-details-bin', Buffer.from(JSON.stringify(boundedFields(failure.fields))))
  if (failure?.retryAfterSeconds !== undefined) metadata.set('scaimind-retry-after', String(failure.retryAfterSeconds))
  const message = (failure?.message ?? 'internal error').slice(0, messageMax)
  return { name: code, message, code: codes[code].grpc ?? grpc.INTERNAL, details: message, metadata }
}

// Trailers travel in HTTP/2 headers, of which clients take 16 KB by default; base64 adds a third.
const messageMax = 2000
const detailsBytesMax = 6000

function boundedFields<Field>(fields: Field[]): Field[] {
  const kept: Field[] = []
  let bytes = 2
  for (const field of fields) {
    bytes += Buffer.byteLength(JSON.stringify(field)) + 1
    if (bytes > detailsBytesMax) break
    kept.push(field)
  }
  return kept
}
