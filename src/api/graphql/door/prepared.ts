import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  execute,
  type GraphQLObjectType,
  getNamedType,
  getOperationAST,
  isObjectType,
  Kind,
  type SelectionSetNode,
  specifiedRules,
  type ValidationRule,
  validate,
} from 'graphql'
import { type CompiledQuery, compileQuery, isCompiledQuery } from 'graphql-jit'
import { schema } from '../schema.js'
import { parseDocument } from './parse-document.js'

/** An operation that was parsed and found valid before. */
export interface Prepared {
  document: DocumentNode
  /** Whether its answer is made of the tenant's cached jobs alone. */
  isOfCachedJobs: boolean
  execute(args: Omit<ExecutionArgs, 'schema' | 'document'>): Promise<ExecutionResult> | ExecutionResult
}

const textLengthMax = 20_000

/**
 * Parses and validates documents, each once while it is among those that were used last: of `lengthMax` characters together, for a parsed document takes up to
 * 170 times the bytes of its text. Undefined for what is not a valid query: others say why.
 */
export function preparedQueries(rules: readonly ValidationRule[], { lengthMax = 1_000_000 } = {}) {
  const prepared = new Map<string, Prepared | undefined>()
  let length = 0
  return (text: string, operationName: string | null | undefined): Prepared | undefined => {
    if (text.length > textLengthMax) return undefined
    // In quotes, so that no other name and text together make the same key.
    const key = JSON.stringify(operationName ?? null) + text
    const known = prepared.get(key)
    if (known || prepared.has(key)) {
      // The last used is the last to go.
      prepared.delete(key)
      prepared.set(key, known)
      return known
    }
    const made = prepare(text, operationName, rules)
    prepared.set(key, made)
    length += key.length
    for (const oldest of prepared.keys()) {
      if (length <= lengthMax) break
      prepared.delete(oldest)
      length -= oldest.length
    }
    return made
  }
}

function prepare(text: string, operationName: string | null | undefined, rules: readonly ValidationRule[]): Prepared | undefined {
  let document: DocumentNode
  try {
    document = parseDocument(text)
  } catch {
    return undefined
  }
  const operation = getOperationAST(document, operationName)
  const query = schema.getQueryType()
  if (operation?.operation !== 'query' || !query || validate(schema, document, [...specifiedRules, ...rules]).length > 0) return undefined
  const interpret: Prepared['execute'] = (args) => execute({ ...args, schema, document })
  const isOfJobs = isOfCachedJobs(document, query, operation.selectionSet)
  return { document, isOfCachedJobs: isOfJobs, execute: isOfJobs ? compiled(document, operationName, interpret) : interpret }
}

const compiledAtUse = 3

/**
 * Lists of jobs that are asked for again are compiled: 20 jobs of 8 fields take 250 µs of processor time that way and 330 interpreted, in all. Only what went
 * well is believed; an execution with errors is done once more by graphql-js, which words them.
 */
function compiled(document: DocumentNode, operationName: string | null | undefined, interpret: Prepared['execute']): Prepared['execute'] {
  let uses = 0
  let program: CompiledQuery | undefined
  return async (args) => {
    if (++uses === compiledAtUse) {
      const made = compileQuery(schema, document, operationName ?? undefined)
      program = isCompiledQuery(made) ? made : undefined
    }
    if (!program) return interpret(args)
    const result = (await program.query(undefined, args.contextValue, args.variableValues ?? {})) as ExecutionResult
    return result.errors ? interpret(args) : result
  }
}

/** Whether everything selected is `jobs` and, of them, fields that are columns of the cache. */
function isOfCachedJobs(document: DocumentNode, type: GraphQLObjectType, { selections }: SelectionSetNode): boolean {
  return selections.every((node) => {
    if (node.kind === Kind.INLINE_FRAGMENT) return isOfCachedJobs(document, type, node.selectionSet)
    if (node.kind === Kind.FRAGMENT_SPREAD) {
      const fragment = document.definitions.find(
        (definition) => definition.kind === Kind.FRAGMENT_DEFINITION && definition.name.value === node.name.value,
      )
      return fragment?.kind === Kind.FRAGMENT_DEFINITION && isOfCachedJobs(document, type, fragment.selectionSet)
    }
    if (node.name.value === '__typename') return true
    const field = type.getFields()[node.name.value]
    if (!field || (type.name === 'Query' && field.name !== 'jobs')) return false
    if (type.name === 'Job') return field.extensions.columns !== undefined
    const inner = getNamedType(field.type)
    return !node.selectionSet || (isObjectType(inner) && isOfCachedJobs(document, inner, node.selectionSet))
  })
}
