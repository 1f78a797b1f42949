import { type DocumentNode, type ExecutionArgs, GraphQLError, getOperationAST, Kind, type OperationDefinitionNode } from 'graphql'
import type { Logger } from 'pino'
import { Failure } from '../../../contract/failure.js'
import type { Caller, Viewer } from '../../auth/viewer.js'
import type { Operations } from '../../operations/index.js'
import type { Context, Limits } from '../context.js'
import { createLoaders, type Loaders } from '../loaders.js'
import { argumentProblems } from './argument-limits.js'

/** What is refused before an operation runs, whichever way it came: a missing key, arguments that are too much. */
export function refusalsOf({ document, operationName, variableValues }: ExecutionArgs, context: Context): GraphQLError[] {
  const anonymous = refuseAnonymous(document, operationName, context)
  return anonymous ? [anonymous] : argumentProblems(document, variableValues ?? {}, context.limits)
}

/** What both transports run operations with. */
export interface ExecutionParts {
  operations: Operations
  limits: Limits
  log: Logger
}

/** The context of one operation. Without a viewer only introspection gets an answer. */
export const createContext = (parts: ExecutionParts, viewer: Viewer | null, requestId: string): Context =>
  new OperationContext(parts, viewer, requestId)

class OperationContext implements Context {
  readonly operations: Operations
  readonly limits: Limits
  #loaders: Loaders | undefined
  #caller: Caller | undefined

  constructor(
    { operations, limits }: ExecutionParts,
    viewer: Viewer | null,
    readonly requestId: string,
  ) {
    this.operations = operations
    this.limits = limits
    this.#caller = viewer ? { viewer, requestId } : undefined
  }

  get caller(): Caller {
    if (!this.#caller) throw new Failure('AUTH_TOKEN_MISSING', 'Send the header `Authorization: Bearer sgk_…` with an API key.')
    return this.#caller
  }

  // Most operations load nothing beside what they list.
  get loaders(): Loaders {
    this.#loaders ??= createLoaders(this.operations, () => this.caller)
    return this.#loaders
  }
}

/** The error that an operation gets that needs a key and came without; null where it may run. */
function refuseAnonymous(document: DocumentNode, operationName: string | null | undefined, context: Context): GraphQLError | null {
  const operation = getOperationAST(document, operationName)
  if (!operation || asksOnlyForTheSchema(operation)) return null
  try {
    void context.caller
    return null
  } catch (error) {
    return new GraphQLError('Not signed in.', { originalError: error as Error })
  }
}

const asksOnlyForTheSchema = ({ selectionSet }: OperationDefinitionNode) =>
  selectionSet.selections.every((node) => node.kind === Kind.FIELD && node.name.value.startsWith('__'))
