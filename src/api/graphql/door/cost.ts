import { complexityFromQuery } from '@pothos/plugin-complexity'
import type { ExecutionArgs, ExecutionResult } from 'graphql'
import type { Context } from '../context.js'
import { measure } from './limits.js'

/** Whether a request asks what it costs: `extensions: {"cost": true}`. */
export const asksForCost = (extensions: Readonly<Record<string, unknown>> | null | undefined): boolean => extensions?.cost === true

/** What an operation costs and may cost, as `extensions.cost` of its answer. */
export function costOf({ schema, document, variableValues, contextValue }: ExecutionArgs) {
  const context = contextValue as Context
  const { limits } = context
  const { depth, aliases } = measure(document, limits.depth)
  return {
    complexity: complexityFromQuery(document, { schema, ctx: context, variables: { ...variableValues } }).complexity,
    complexityMax: limits.complexity,
    depth,
    depthMax: limits.depth,
    aliases,
    aliasesMax: limits.aliases,
  }
}

/** The answer with its cost. */
export const withCost = <Result extends ExecutionResult>(result: Result, cost: object): Result => ({
  ...result,
  extensions: { ...result.extensions, cost },
})
