import type { Code } from '../../contract/codes.js'
import type { JsonAnswer } from './answer.js'

/** What an error answer says. */
export interface ErrorBody {
  code: Code
  message: string
  /** Seconds after which the caller may try again. */
  retry_after?: number
  /** The fields that are wrong. */
  details?: { field: string; message: string }[]
}

/** The documented envelope of a success. `meta` says `stale` and `synced_at` only where the data comes from the cache because the coordinator is away. */
export function success({ data, freshness }: JsonAnswer, requestId: string) {
  const meta = freshness?.stale
    ? { request_id: requestId, stale: true, synced_at: freshness.syncedAt?.toISOString() ?? null }
    : { request_id: requestId }
  return { status: 'ok', data, meta }
}

/** The documented envelope of a refusal or a fault. */
export function failure(error: ErrorBody, requestId: string) {
  return { status: 'error', error, meta: { request_id: requestId } }
}
