import { type Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { z } from 'zod'
import { codeOfGrpcStatus, isCode } from '../../contract/codes.js'
import { Failure, type FieldProblem, InvalidInput, JobStateConflict, QuotaExceeded } from '../../contract/failure.js'

const details = z.array(z.object({ path: z.string(), message: z.string() }))

/** Seconds after which a caller may try a coordinator that cannot be reached again. */
const retryAfterSeconds = 2

/** The coordinator cannot be reached. */
export const coordinatorUnavailable = (cause?: unknown): Failure =>
  new Failure('COORDINATOR_UNAVAILABLE', 'The coordinator cannot be reached now.', { cause, retryAfterSeconds })

/** Turns what a call ended with into ours. What the coordinator says of its own faults is for the log, so it is only in the `cause`. */
export function toFailure(error: unknown): Failure {
  if (error instanceof Failure) return error
  if (!isServiceError(error)) return new Failure('INTERNAL_ERROR', 'The coordinator sent an answer that cannot be read.', { cause: error })
  if (error.code === status.UNAVAILABLE || error.code === status.CANCELLED) return coordinatorUnavailable(error)
  if (error.code === status.DEADLINE_EXCEEDED) {
    return new Failure('BACKEND_TIMEOUT', 'The coordinator did not answer in time.', { cause: error, retryAfterSeconds })
  }
  const named = trailer(error.metadata, 'scaimind-code')
  const code = isCode(named) ? named : codeOfGrpcStatus(error.code)
  const fields = readFields(error.metadata)
  const field = (path: string) => fields.find((problem) => problem.path === path)?.message
  const retryAfter = Number(trailer(error.metadata, 'scaimind-retry-after')) || undefined
  switch (code) {
    case 'INTERNAL_ERROR':
      return new Failure(code, 'The coordinator failed; the log has the detail under the request id.', { cause: error })
    case 'INVALID_ARGUMENT':
      return withMessage(new InvalidInput(fields, 'INVALID_ARGUMENT'), error)
    case 'JOB_STATE_CONFLICT':
      return withMessage(
        new JobStateConflict('do this', field('state') ?? '', (field('allowed_from') ?? '').split(' ').filter(Boolean)),
        error,
      )
    case 'RATE_LIMITED':
      if (field('limit')) return withMessage(new QuotaExceeded(error.details, Number(field('limit')), retryAfter ?? 1), error)
      return new Failure(code, error.details, { cause: error, fields, retryAfterSeconds: retryAfter ?? 1 })
    default:
      return new Failure(code, error.details, { cause: error, fields, ...(retryAfter ? { retryAfterSeconds: retryAfter } : {}) })
  }
}

/** A gRPC error, as opposed to a bug on our side. */
export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'metadata' in error
}

// The coordinator's own sentence says more than the one we would build from the fields.
function withMessage<T extends Failure>(failure: T, error: ServiceError): T {
  return Object.assign(failure, { message: error.details || failure.message, cause: error })
}

const trailer = (metadata: Metadata, name: string): string => String(metadata.get(name)[0] ?? '')

function readFields(metadata: Metadata): FieldProblem[] {
  try {
    return details.parse(JSON.parse(trailer(metadata, 'scaimind-details-bin')))
  } catch {
    // Another coordinator may send none, or others: the sentence is still there.
    return []
  }
}
