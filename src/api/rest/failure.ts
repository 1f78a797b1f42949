import type { Logger } from 'pino'
import { codes } from '../../contract/codes.js'
import { Failure } from '../../contract/failure.js'
import type { ErrorBody } from './envelope.js'

/** The path exists, but not for this method. */
export class MethodNotAllowed extends Failure {
  readonly allow: string

  constructor(method: string, path: string, allowed: readonly string[]) {
    super('METHOD_NOT_ALLOWED', `${path} answers to ${allowed.join(' and ')}, not to ${method}.`)
    this.allow = allowed.join(', ')
  }
}

/** A refusal as HTTP says it. */
export interface ErrorAnswer {
  status: number
  headers: Record<string, string>
  body: ErrorBody
}

// Where a Failure that may pass does not say when.
const retryAfterSeconds = 2

/** Turns whatever was thrown into an answer. What is not a Failure is a bug of ours: logged with its stack, and told as INTERNAL_ERROR. */
export function toErrorAnswer(error: unknown, { requestId, log }: { requestId: string; log: Logger }): ErrorAnswer {
  if (!(error instanceof Failure)) {
    log.error({ err: error, request_id: requestId }, 'a REST request failed')
    return toErrorAnswer(new Failure('INTERNAL_ERROR', `A fault of ours; the log has it under the request id ${requestId}.`), {
      requestId,
      log,
    })
  }
  const { code, message, fields } = error
  const { http: status, retryable } = codes[code]
  const retryAfter = error.retryAfterSeconds ?? (retryable ? retryAfterSeconds : undefined)
  return {
    status,
    headers: {
      // Whole seconds is all that the header can say.
      ...(retryAfter === undefined ? {} : { 'retry-after': String(Math.ceil(retryAfter)) }),
      ...(error instanceof MethodNotAllowed ? { allow: error.allow } : {}),
      ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    },
    body: {
      code,
      message,
      ...(retryAfter === undefined ? {} : { retry_after: retryAfter }),
      ...(fields.length === 0 ? {} : { details: fields.map(({ path, message }) => ({ field: path, message })) }),
    },
  }
}
