import { randomFillSync } from 'node:crypto'
import { Failure } from './failure.js'

declare const brand: unique symbol
type Branded<Name extends string> = string & { readonly [brand]: Name }

/** `job_` (an evaluation's: `eval_`) and 26 lower-case characters that sort by time of creation. */
export type JobId = Branded<'JobId'>
/** 1 to 64 characters of `A-Z a-z 0-9 _ -`, beginning with a letter or digit. */
export type TenantId = Branded<'TenantId'>

// Crockford's alphabet: no letters that are mistaken for digits.
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'

/** A new id: the time in ms as ten characters, then sixteen random ones (80 bits). */
export function newId(prefix: string, now = Date.now()): string {
  let time = ''
  for (let rest = now, i = 0; i < 10; i++, rest = Math.floor(rest / 32)) time = alphabet[rest % 32] + time
  let random = ''
  for (const byte of sixteenRandomBytes()) random += alphabet[byte % 32]
  return `${prefix}_${time}${random}`
}

// Every request gets an id, and to ask the system for 16 bytes costs as much as for 4096.
const pool = new Uint8Array(4096)
let taken = pool.length

function sixteenRandomBytes(): Uint8Array {
  if (taken === pool.length) {
    randomFillSync(pool)
    taken = 0
  }
  taken += 16
  return pool.subarray(taken - 16, taken)
}

/** A new job id. */
export const newJobId = (now?: number): JobId => newId('job', now) as JobId

/** The id of a new evaluation, which is a job. */
export const newEvaluationId = (now?: number): JobId => newId('eval', now) as JobId

const jobIdPattern = /^(?:job|eval)_[0-9a-z]{26}$/

/** Takes a caller's text as a job id. Throws JOB_NOT_FOUND: an id that cannot exist is answered like one that does not. */
export function parseJobId(text: string): JobId {
  if (!jobIdPattern.test(text)) throw new Failure('JOB_NOT_FOUND', `There is no job ${JSON.stringify(text.slice(0, 64))}.`)
  return text as JobId
}

/** Takes a caller's text as the id of an evaluation. Throws EVALUATION_NOT_FOUND. */
export function parseEvaluationId(text: string): JobId {
  if (!/^eval_[0-9a-z]{26}$/.test(text))
    throw new Failure('EVALUATION_NOT_FOUND', `There is no evaluation ${JSON.stringify(text.slice(0, 64))}.`)
  return text as JobId
}

const tenantIdPattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/

/** Whether a text can name a tenant; tenants are also names of folders. */
export function isTenantId(text: string): text is TenantId {
  return tenantIdPattern.test(text)
}
