import type { RestCall } from './answer.js'

/** A header of a request, as it came; the first where there are several. */
export function header({ headers }: Pick<RestCall, 'headers'>, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value[0] : value
}
