import type { IncomingMessage } from 'node:http'
import { restBase } from './rest/router.js'

/** What metrics and traces say of a request: nothing that its sender can choose freely. */
export interface Door {
  door: 'rest' | 'graphql' | 'other'
  method: 'GET' | 'POST' | 'DELETE' | 'other'
}

/** The door that a request came to, and how. */
export function doorOf({ method }: IncomingMessage, path: string): Door {
  return {
    door: path.startsWith(restBase) ? 'rest' : path === '/graphql' ? 'graphql' : 'other',
    method: method === 'GET' || method === 'POST' || method === 'DELETE' ? method : 'other',
  }
}
