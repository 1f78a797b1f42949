import { type ExecutionArgs, parse } from 'graphql'
import { expect, it } from 'vitest'
import { createContext } from '../../../src/api/graphql/door/execution.js'
import { type StreamParts, subscribe } from '../../../src/api/graphql/door/live-stream.js'
import { schema } from '../../../src/api/graphql/schema.js'
import { callerOf, silent } from '../../support/api.js'

it.each([
  ['is refused', '{ jobMetrics(jobId: "not an id") { __typename } }', {}],
  ['cannot be begun', '{ queueUpdated { depth } }', 'no variables'],
])('a subscription that %s counts no more', async (_name, text, variableValues) => {
  let open = 0
  const parts = {
    operations: {},
    limits: {},
    log: silent,
    admission: {
      request: async () => {},
      stream() {
        open++
        return () => open--
      },
    },
  } as unknown as StreamParts
  const contextValue = createContext(parts, callerOf('acme').viewer, 'test')
  const args = { schema, document: parse(`subscription ${text}`), variableValues, contextValue } as ExecutionArgs
  await subscribe(args, parts).catch(() => {})
  expect(open).toBe(0)
})
