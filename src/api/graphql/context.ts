import type { Caller } from '../auth/viewer.js'
import type { Operations } from '../operations/index.js'
import type { Loaders } from './loaders.js'

/** What resolvers have: the use cases, who asks, and what this operation has loaded already. */
export interface Context {
  operations: Operations
  /** Throws AUTH_TOKEN_MISSING where the request carries no key; such a request only gets to introspection. */
  readonly caller: Caller
  requestId: string
  readonly loaders: Loaders
  limits: Limits
}

/** What one operation may ask for. */
export interface Limits {
  depth: number
  complexity: number
  aliases: number
  /** Items of a list in an argument. */
  listLength: number
  /** Items of a page. */
  pageSize: number
  /** Whether the schema may be asked for. */
  introspection: boolean
}
