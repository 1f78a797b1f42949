import { status as grpc } from '@grpc/grpc-js'

/** What one error code means at every door. */
interface CodeRow {
  /** HTTP status of REST answers. */
  http: number
  /** gRPC status; null where the coordinator never answers with it. */
  grpc: grpc | null
  /** Whether the same request may succeed later. */
  retryable: boolean
  /** One sentence for people who look the code up. */
  meaning: string
}

/** The error vocabulary of `docs` and the REST contract: the only place where a code meets a status. */
export const codes = {
  AUTH_TOKEN_MISSING: { http: 401, grpc: null, retryable: false, meaning: 'The request carries no API key and no token.' },
  AUTH_TOKEN_INVALID: {
    http: 401,
    grpc: grpc.UNAUTHENTICATED,
    retryable: false,
    meaning: 'The key or token is unknown, revoked, expired or not for this API.',
  },
  AUTHZ_PERMISSION_DENIED: { http: 403, grpc: grpc.PERMISSION_DENIED, retryable: false, meaning: 'The caller lacks the permission.' },
  JOB_NOT_FOUND: { http: 404, grpc: grpc.NOT_FOUND, retryable: false, meaning: "There is no such job in the caller's tenant." },
  EVALUATION_NOT_FOUND: {
    http: 404,
    grpc: grpc.NOT_FOUND,
    retryable: false,
    meaning: "There is no such evaluation in the caller's tenant.",
  },
  NODE_NOT_FOUND: { http: 404, grpc: grpc.NOT_FOUND, retryable: false, meaning: 'The cluster has no such node.' },
  CHECKPOINT_NOT_FOUND: { http: 404, grpc: grpc.NOT_FOUND, retryable: false, meaning: 'The job has no such complete checkpoint.' },
  DATASET_NOT_FOUND: { http: 404, grpc: grpc.NOT_FOUND, retryable: false, meaning: "There is no such data set in the caller's tenant." },
  MODEL_NOT_FOUND: {
    http: 404,
    grpc: grpc.NOT_FOUND,
    retryable: false,
    meaning: "There is no such registered model in the caller's tenant.",
  },
  API_KEY_NOT_FOUND: { http: 404, grpc: null, retryable: false, meaning: "There is no such API key in the caller's tenant." },
  ROUTE_NOT_FOUND: { http: 404, grpc: null, retryable: false, meaning: 'There is no such path.' },
  METHOD_NOT_ALLOWED: { http: 405, grpc: null, retryable: false, meaning: 'The path exists, but not for this method.' },
  JOB_STATE_CONFLICT: {
    http: 409,
    grpc: grpc.FAILED_PRECONDITION,
    retryable: false,
    meaning: "The action is not possible from the job's state.",
  },
  IDEMPOTENCY_CONFLICT: {
    http: 409,
    grpc: grpc.ALREADY_EXISTS,
    retryable: false,
    meaning: 'The idempotency key was used for another request.',
  },
  CURSOR_INVALID: { http: 400, grpc: grpc.INVALID_ARGUMENT, retryable: false, meaning: "The cursor is malformed or another stream's." },
  CURSOR_EXPIRED: { http: 410, grpc: grpc.OUT_OF_RANGE, retryable: false, meaning: 'The cursor is older than what is kept.' },
  PAYLOAD_TOO_LARGE: { http: 413, grpc: grpc.INVALID_ARGUMENT, retryable: false, meaning: 'The body is over the limit.' },
  UNSUPPORTED_MEDIA_TYPE: {
    http: 415,
    grpc: null,
    retryable: false,
    meaning: 'The body is not JSON, or the answer cannot have the media type that is accepted.',
  },
  VALIDATION_ERROR: {
    http: 422,
    grpc: null,
    retryable: false,
    meaning: 'The request does not match the schema; every wrong field is named.',
  },
  INVALID_ARGUMENT: {
    http: 400,
    grpc: grpc.INVALID_ARGUMENT,
    retryable: false,
    meaning: 'The coordinator refused the request; the wrong fields are named.',
  },
  RATE_LIMITED: {
    http: 429,
    grpc: grpc.RESOURCE_EXHAUSTED,
    retryable: true,
    meaning: 'Too much at once; try again after `retry_after` seconds.',
  },
  NOT_IMPLEMENTED: { http: 501, grpc: grpc.UNIMPLEMENTED, retryable: false, meaning: 'The coordinator has no such method.' },
  BACKEND_TIMEOUT: {
    http: 504,
    grpc: grpc.DEADLINE_EXCEEDED,
    retryable: true,
    meaning: 'The coordinator, or the issuer of tokens, did not answer in time.',
  },
  INTERNAL_ERROR: {
    http: 500,
    grpc: grpc.INTERNAL,
    retryable: false,
    meaning: 'A fault of ours; the log has its detail under the request id.',
  },
  DATABASE_UNAVAILABLE: { http: 503, grpc: null, retryable: true, meaning: 'The database is away.' },
  COORDINATOR_UNAVAILABLE: { http: 503, grpc: grpc.UNAVAILABLE, retryable: true, meaning: 'The coordinator cannot be reached.' },
} as const satisfies Record<string, CodeRow>

/** A word of the error vocabulary. */
export type Code = keyof typeof codes

/** The code that a bare gRPC status stands for, where the answer did not name one. */
export function codeOfGrpcStatus(status: grpc): Code {
  if (status === grpc.ABORTED) return 'JOB_STATE_CONFLICT'
  const generic: Code[] = ['INVALID_ARGUMENT']
  for (const code of [...generic, ...(Object.keys(codes) as Code[])]) if (codes[code].grpc === status) return code
  return 'INTERNAL_ERROR'
}

/** Whether a text is a word of the vocabulary. */
export function isCode(text: string): text is Code {
  return Object.hasOwn(codes, text)
}
