import { newId } from '../../contract/ids.js'

/** Keeps the caller's `x-request-id` where it is 1 to 128 characters of `A-Z a-z 0-9 . _ : -`, and makes one otherwise. */
export function requestIdOf(given: string | string[] | undefined): string {
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : newId('req')
}
