import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ExecutionArgs, execute, GraphQLError } from 'graphql'
import { createYoga, type GraphQLParams, type Plugin } from 'graphql-yoga'
import type { Credentials, Viewer } from '../../auth/viewer.js'
import type { Context } from '../context.js'
import { presentResult } from '../failure.js'
import { schema } from '../schema.js'
import type { Freshness } from './answers.js'
import { asksForCost, costOf, withCost } from './cost.js'
import { createContext, refusalsOf } from './execution.js'
import { resumeAfter } from './last-event-id.js'
import { limitRules } from './limits.js'
import { LiveStream, type StreamParts, subscribe } from './live-stream.js'
import { isMultipart, type Multipart } from './multipart.js'
import { parseDocument } from './parse-document.js'
import { type Begun, shortWay } from './short-way.js'
import { sseWithCursors } from './sse.js'
import type { TrustedDocuments } from './trusted-documents.js'
import { answerUpload } from './upload-door.js'

/** What GraphQL over HTTP needs. */
export interface HttpParts extends StreamParts {
  identify(credentials: Credentials): Promise<Viewer>
  /** Bytes of a request body. */
  bodyBytesMax: number
  /** Bytes of a multipart request, its files included; `bodyBytesMax` is for what is beside the files. */
  uploadBytesMax: number
  documents: TrustedDocuments
  freshness: Freshness
}

interface ServerContext extends Begun {
  req: IncomingMessage
  res: ServerResponse
  requestId: string
  /** Set where files come with the request. */
  multipart?: Multipart
}

// Yoga copies contexts, which would ask an anonymous one for its caller: ours travels inside.
interface YogaContext {
  inner: Context
}

/** GraphQL over HTTP (POST, GET, multipart) and over SSE, with its limits. */
export function httpHandler(parts: HttpParts): (request: IncomingMessage, response: ServerResponse, requestId: string) => Promise<void> {
  const streams = new WeakMap<ServerResponse, LiveStream>()
  const yoga = createYoga<ServerContext, YogaContext>({
    schema,
    graphqlEndpoint: '/graphql',
    graphiql: false,
    landingPage: false,
    logging: false,
    // Errors are presented by our own plugin, which knows the request id.
    maskedErrors: { maskError: (error) => error as Error },
    maxRequestBodySize: parts.bodyBytesMax,
    // Our own reading does not hold the files.
    multipart: false,
    extraParamNames: ['documentId'],
    cors: { origin: '*', credentials: false, exposedHeaders: ['x-request-id', 'retry-after'] },
    plugins: [operationRules(parts, streams), sseWithCursors((response) => streams.get(response))],
    async context({ req, requestId, viewer = viewerOf(req) }) {
      return { inner: createContext(parts, await viewer, requestId) }
    },
  })

  // Without a header the operation may still be introspection.
  async function viewerOf({ headers }: IncomingMessage): Promise<Viewer | null> {
    const { authorization, 'x-scaigrid-tenant': tenant } = headers
    return authorization ? parts.identify({ authorization, tenant: tenant?.toString() }) : null
  }
  const answer = shortWay({ ...parts, viewerOf })

  return async (request, response, requestId) => {
    response.setHeader('x-request-id', requestId)
    if (isMultipart(request)) {
      const run = async (json: Request, multipart: Multipart) =>
        await yoga.fetch(json, { req: request, res: response, requestId, multipart })
      return answerUpload(request, response, requestId, { ...parts, run })
    }
    const begun = await answer(request, response, requestId)
    if (begun) await yoga(request, response, { requestId, ...begun })
  }
}

/** What Yoga reads of a request. It takes JSON in a URL for granted. */
async function parsed<Read>(read: () => Read): Promise<Awaited<Read>> {
  try {
    return await read()
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new GraphQLError('variables and extensions are JSON objects, also in a URL.', { extensions: { http: { status: 400 } } })
  }
}

const refusedMediaTypes: Record<number, (request: Request) => string> = {
  415: ({ headers }) =>
    `content-type: ${headers.get('content-type') ?? 'none'} is not read here; application/json and multipart/form-data are.`,
  406: ({ headers }) =>
    `accept: ${headers.get('accept')} cannot be answered; application/json, application/graphql-response+json and, for subscriptions, text/event-stream can.`,
}

/** The limits, the key that operations need, our way of subscribing, and errors as callers see them. */
function operationRules(
  parts: HttpParts,
  streams: WeakMap<ServerResponse, LiveStream>,
): Plugin<YogaContext & ServerContext, ServerContext> {
  const rules = limitRules(parts.limits)
  const own = (args: ExecutionArgs): ExecutionArgs & { contextValue: Context } => ({
    ...args,
    contextValue: (args.contextValue as YogaContext).inner,
  })
  const refused = (args: ExecutionArgs) => refusalsOf(args, (args.contextValue as YogaContext).inner)

  return {
    onParams({ request, params: given, setParams, context }) {
      const { multipart } = context as ServerContext
      const params = multipart ? { ...given, variables: multipart.variables } : given
      const documentId = (params as { documentId?: unknown }).documentId ?? new URL(request.url).searchParams.get('documentId')
      const query = parts.documents.textFor({ ...params, documentId })
      if (query !== params.query || multipart) setParams({ ...params, query })
    },
    onRequestParse({ requestParser, setRequestParser }) {
      if (requestParser) setRequestParser((request) => parsed(() => requestParser(request)))
    },
    onParse({ setParseFn }) {
      setParseFn(parseDocument)
    },
    onValidate({ addValidationRule }) {
      for (const rule of rules) addValidationRule(rule)
    },
    onExecute({ args, setExecuteFn, setResultAndStopExecution }) {
      const { result } = args.contextValue as ServerContext
      if (result) return setResultAndStopExecution(result)
      const errors = refused(args)
      if (errors.length > 0) return setResultAndStopExecution({ errors })
      const { extensions } = (args.contextValue as unknown as { params: GraphQLParams }).params
      setExecuteFn(async (given: ExecutionArgs) => {
        const ours = own(given)
        const result = await execute(ours)
        return asksForCost(extensions) ? withCost(result, costOf(ours)) : result
      })
    },
    onSubscribe({ args, setSubscribeFn, setResultAndStopExecution }) {
      const errors = refused(args)
      if (errors.length > 0) return setResultAndStopExecution({ errors })
      const { req, res } = args.contextValue as ServerContext
      const cursor = req.headers['last-event-id']?.toString()
      setSubscribeFn(async (given: ExecutionArgs) => {
        const { document, operationName, variableValues } = given
        const resumed = cursor ? resumeAfter(schema, document, operationName, variableValues ?? {}, cursor) : document
        const stream = await subscribe({ ...own(given), document: resumed }, parts)
        if (stream instanceof LiveStream) {
          streams.set(res, stream)
          // Yoga drops the stream of a client who has gone.
          if (res.destroyed) stream.left()
          else res.once('close', () => stream.left())
        }
        return stream
      })
    },
    // The one place that all results pass, of requests that Yoga refuses itself also.
    onResultProcess({ result, setResult, serverContext }) {
      if (Array.isArray(result) || Symbol.asyncIterator in result || !result.errors) return
      setResult(presentResult(result, { requestId: (serverContext as ServerContext).requestId, log: parts.log }))
    },
    // Yoga refuses media types without a word.
    onResponse({ request, response, setResponse, fetchAPI, serverContext }) {
      const message = refusedMediaTypes[response.status]?.(request)
      if (!message || response.body) return
      const { status, headers } = response
      const { requestId } = serverContext as unknown as ServerContext
      const errors = [{ message, extensions: { code: 'UNSUPPORTED_MEDIA_TYPE', requestId } }]
      const body = JSON.stringify({ errors })
      setResponse(
        new fetchAPI.Response(body, {
          status,
          headers: { ...Object.fromEntries(headers), 'content-type': 'application/json; charset=utf-8' },
        }),
      )
    },
  }
}
