import { type ExecutionResult, GraphQLError } from 'graphql'
import type { Logger } from 'pino'
import { camelPath } from '../../contract/casing.js'
import { type Code, codes, isCode } from '../../contract/codes.js'
import { Failure, type FieldProblem, InvalidInput, JobStateConflict, QuotaExceeded } from '../../contract/failure.js'
import { jobStatuses } from '../../contract/statuses.js'
import { builder } from './builder.js'
import { ErrorCodeEnum, JobStatusEnum, known } from './enums.js'

/** Paths as this door spells them. */
const camelFields = (fields: FieldProblem[]): FieldProblem[] => fields.map(({ path, message }) => ({ path: camelPath(path), message }))

// The message of an InvalidInput is made of its fields, whose paths are camelCase here.
const messageOf = (failure: Failure): string =>
  failure.fields.reduce((message, { path }) => message.replaceAll(`${path}: `, `${camelPath(path)}: `), failure.message)

// Subclasses come first, for the plugin asks `instanceof` in order.
const errorTypes = [InvalidInput, JobStateConflict, QuotaExceeded, Failure]

/** What all errors have in common. */
export const ErrorInterface = builder.interfaceRef<Failure>('Error').implement({
  description: 'Why something was not done.',
  // By name, for an answered Failure comes wrapped, and is no instance then.
  resolveType: ({ name }) => (errorTypes.some((type) => type !== Failure && type.name === name) ? name : 'RequestFailed'),
  // So that a field of this type may answer a Failure, which graphql-js would take for thrown otherwise.
  extensions: { pothosErrorTypes: errorTypes },
  fields: (t) => ({
    code: t.field({ type: ErrorCodeEnum, description: 'What went wrong, for programs.', resolve: ({ code }) => code }),
    message: t.string({ description: 'What went wrong, for people.', resolve: messageOf }),
  }),
})

const FieldProblemRef = builder.objectRef<FieldProblem>('FieldProblem').implement({
  description: 'A field that is wrong.',
  fields: (t) => ({
    path: t.exposeString('path', { description: 'The field: `trainingConfig.priority`, `dataConfig.sources[0].path`.' }),
    message: t.exposeString('message', { description: 'What would be right.' }),
  }),
})

builder.objectType(InvalidInput, {
  name: 'InvalidInput',
  description: 'Fields of the input are wrong.',
  interfaces: [ErrorInterface],
  fields: (t) => ({
    fields: t.field({ type: [FieldProblemRef], description: 'Every field that is wrong.', resolve: ({ fields }) => camelFields(fields) }),
  }),
})

builder.objectType(JobStateConflict, {
  name: 'JobStateConflict',
  description: 'The action is not possible from the state that the job is in.',
  interfaces: [ErrorInterface],
  fields: (t) => ({
    state: t.field({
      type: JobStatusEnum,
      nullable: true,
      description: 'The state that the job is in; null where it is not known.',
      resolve: ({ state }) => known(jobStatuses, state),
    }),
    allowedFrom: t.field({
      type: [JobStatusEnum],
      description: 'The states that the action is possible from.',
      resolve: ({ allowedFrom }) => jobStatuses.filter((status) => allowedFrom.includes(status)),
    }),
  }),
})

builder.objectType(QuotaExceeded, {
  name: 'QuotaExceeded',
  description: 'A limit of the tenant is reached.',
  interfaces: [ErrorInterface],
  fields: (t) => ({
    limit: t.exposeInt('limit', { description: 'The limit: how many of what the message names.' }),
    retryAfterSeconds: t.int({
      nullable: true,
      description: 'Seconds to wait before it makes sense to try again; null where waiting would not help.',
      resolve: retryAfter,
    }),
  }),
})

builder.objectType(Failure, {
  name: 'RequestFailed',
  description: 'Any other reason; `code` says which.',
  interfaces: [ErrorInterface],
  fields: (t) => ({
    retryAfterSeconds: t.int({
      nullable: true,
      description: 'Seconds to wait before it makes sense to try again; null where waiting would not help.',
      resolve: retryAfter,
    }),
  }),
})

function retryAfter({ retryAfterSeconds }: Failure): number | null {
  return retryAfterSeconds === undefined ? null : Math.ceil(retryAfterSeconds)
}

/** The errors of a mutation, and the name of its union: `SubmitJobResult`. */
export const mutationErrors = (mutation: string) => ({
  types: errorTypes,
  directResult: true as const,
  union: {
    name: `${mutation}Result`,
    description: `What ${mutation[0]?.toLowerCase()}${mutation.slice(1)} answers: the success, or why not.`,
  },
})

/** What an error is presented with. */
interface Presenting {
  requestId: string
  log: Logger
  /** Whether Yoga is to answer with the status and headers of the error; false where the answer is on its way already, or goes over a WebSocket. */
  http?: boolean | undefined
}

/** An error of a whole operation or of a field, as callers see it. What is neither a Failure nor a fault of the query is a bug: logged and hidden. */
export function presentError(error: GraphQLError, { requestId, log, http = true }: Presenting): GraphQLError {
  const cause = rootOf(error)
  const { nodes, source, positions, path } = error
  const present = (message: string, extensions: Record<string, unknown>) =>
    new GraphQLError(message, { nodes, source, positions, path, extensions: { ...extensions, requestId } })
  if (cause instanceof Failure) {
    const { code, fields, retryAfterSeconds } = cause
    return present(messageOf(cause), {
      code,
      ...(cause instanceof InvalidInput ? { fields: camelFields(fields) } : {}),
      ...(cause instanceof QuotaExceeded ? { limit: cause.limit } : {}),
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
      ...(http && code.startsWith('AUTH_') ? { http: { status: codes[code].http } } : {}),
      ...(http && retryAfterSeconds !== undefined && !path ? { http: laterAs(cause) } : {}),
    })
  }
  // graphql-js and Yoga say themselves what is wrong with a query.
  if (cause instanceof GraphQLError) return present(error.message, inOurWords(error.extensions))
  log.error({ err: cause, request_id: requestId, path: path?.join('.') }, 'a resolver failed')
  return present('A fault of ours; the log has its detail under the request id.', { code: 'INTERNAL_ERROR' })
}

/** What HTTP says of a whole operation that may succeed later. */
const laterAs = (failure: Failure) => ({ status: codes[failure.code].http, headers: { 'retry-after': String(retryAfter(failure)) } })

/** The same for all errors of a result. */
export function presentResult<Result extends ExecutionResult>(result: Result, context: Presenting): Result {
  return result.errors ? { ...result, errors: result.errors.map((error) => presentError(error, context)) } : result
}

function rootOf(error: unknown): unknown {
  return error instanceof GraphQLError && error.originalError ? rootOf(error.originalError) : error
}

/** Yoga and graphql-js have codes of their own; what is wrong with a query is a VALIDATION_ERROR in ours. */
function inOurWords(extensions: Readonly<Record<string, unknown>>): Record<string, unknown> {
  // A body that could not be parsed comes with the parser's error, which would tell our readers of the server and not of the body.
  const { originalError, ...others } = extensions
  if (typeof others.code === 'string' && isCode(others.code)) return others
  const { spec, ...http } = (others.http ?? {}) as { spec?: boolean; status?: number }
  const code = protocolCodes.find((known) => codes[known].http === http.status) ?? 'VALIDATION_ERROR'
  // With `spec`, Yoga would answer 200 to those who accept application/json: right for a query, wrong for what is none.
  return { ...others, code, ...(originalError ? { http } : {}) }
}

const protocolCodes: Code[] = ['METHOD_NOT_ALLOWED', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE']
