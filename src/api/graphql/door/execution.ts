import {
  createSourceEventStream,
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  execute,
  GraphQLError,
  getOperationAST,
  Kind,
  type OperationDefinitionNode,
} from 'graphql'
import type { Logger } from 'pino'
import { Failure } from '../../../contract/failure.js'
import type { Admission } from '../../auth/admission.js'
import type { Caller, Viewer } from '../../auth/viewer.js'
import type { Operations } from '../../operations/index.js'
import type { Context, Limits } from '../context.js'
import { presentError, presentResult } from '../failure.js'
import { createLoaders, type Loaders } from '../loaders.js'
import { argumentProblems } from './argument-limits.js'

/** The cursor of a subscription's message, beside the result: SSE tells it as the event's id whatever the operation selects. */
export const cursorOf = Symbol('cursor')
/** A message of a subscription. */
export type LiveResult = ExecutionResult & { [cursorOf]?: string }

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

/** What both transports subscribe with. */
export interface StreamParts extends ExecutionParts {
  admission: Admission
  /** Whether a refusal may set the status of the answer; default true. */
  http?: boolean
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

/**
 * Runs a subscription: each message of the source is one execution with loaders of its own, and carries its cursor. An error of the source (a revoked
 * key, a cursor that is gone) is the last message.
 */
export async function subscribe(
  args: ExecutionArgs,
  parts: StreamParts,
): Promise<AsyncGenerator<LiveResult, void, void> | ExecutionResult> {
  const context = args.contextValue as Context
  const refusing = { requestId: context.requestId, log: parts.log, http: parts.http }
  const present = { ...refusing, http: false }
  const entered = enter(context, parts)
  if (entered instanceof GraphQLError) return presentResult({ errors: [entered] }, refusing)
  const leave = entered
  const source = await createSourceEventStream(args)
  if (!(Symbol.asyncIterator in source)) {
    leave()
    return presentResult(source, refusing)
  }
  const events = source[Symbol.asyncIterator]() as AsyncIterator<{ cursor?: string }>
  let ended = false

  const results: AsyncGenerator<LiveResult, void, void> = {
    [Symbol.asyncIterator]: () => results,
    async [Symbol.asyncDispose]() {
      await results.return()
    },
    async next() {
      if (ended) return { done: true, value: undefined }
      try {
        const { done, value: event } = await events.next()
        if (done) return finish()
        const contextValue = createContext(parts, context.caller.viewer, context.requestId)
        const result = await execute({ ...args, rootValue: event, contextValue })
        return { done: false, value: { ...presentResult(result, present), ...(event.cursor ? { [cursorOf]: event.cursor } : {}) } }
      } catch (error) {
        finish()
        const wrapped = new GraphQLError('The stream ended.', { originalError: error instanceof Error ? error : new Error(String(error)) })
        return { done: false, value: { errors: [presentError(wrapped, present)] } }
      }
    },
    async return() {
      await events.return?.()
      return finish()
    },
    async throw(error) {
      await events.return?.()
      finish()
      throw error
    },
  }

  function finish(): IteratorReturnResult<void> {
    ended = true
    leave()
    return { done: true, value: undefined }
  }
  return results
}

/** Counts the stream of a caller; an error where they have too many. */
function enter({ caller }: Context, { admission }: StreamParts): (() => void) | GraphQLError {
  try {
    return admission.stream(caller.viewer)
  } catch (refused) {
    return new GraphQLError('Too many streams.', { originalError: refused as Error })
  }
}
