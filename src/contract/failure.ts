import type { Code } from './codes.js'

/** One wrong field: its path in snake_case (`training_config.priority`, `data_config.sources[0].path`) and what would be right. */
export interface FieldProblem {
  path: string
  message: string
}

interface FailureOptions {
  /** For the log, never for the caller. */
  cause?: unknown
  /** The fields that are wrong. */
  fields?: FieldProblem[]
  /** Seconds after which the caller may try again. */
  retryAfterSeconds?: number
}

/** Every refusal and expected fault: a code of the vocabulary and a sentence for the caller. Anything else that is thrown is a bug. */
export class Failure extends Error {
  readonly code: Code
  readonly fields: FieldProblem[]
  readonly retryAfterSeconds: number | undefined

  constructor(code: Code, message: string, { cause, fields = [], retryAfterSeconds }: FailureOptions = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = new.target.name
    this.code = code
    this.fields = fields
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** The job is in a state that the action is not possible from. */
export class JobStateConflict extends Failure {
  readonly state: string
  readonly allowedFrom: readonly string[]

  constructor(action: string, state: string, allowedFrom: readonly string[]) {
    super('JOB_STATE_CONFLICT', `A job that is ${state} cannot be asked to ${action}; that is possible from ${allowedFrom.join(', ')}.`, {
      fields: [
        { path: 'state', message: state },
        { path: 'allowed_from', message: allowedFrom.join(' ') },
      ],
    })
    this.state = state
    this.allowedFrom = allowedFrom
  }
}

/** Fields of the request are wrong: at our door (VALIDATION_ERROR) or at the coordinator's (INVALID_ARGUMENT). */
export class InvalidInput extends Failure {
  constructor(fields: FieldProblem[], code: 'VALIDATION_ERROR' | 'INVALID_ARGUMENT' = 'VALIDATION_ERROR') {
    super(code, fields.map((field) => `${field.path}: ${field.message}`).join(' '), { fields })
  }
}

/** A limit of the caller's tenant is reached. */
export class QuotaExceeded extends Failure {
  readonly limit: number

  constructor(message: string, limit: number, retryAfterSeconds: number) {
    super('RATE_LIMITED', message, { retryAfterSeconds, fields: [{ path: 'limit', message: String(limit) }] })
    this.limit = limit
  }
}
