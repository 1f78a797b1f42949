import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import { Failure } from '../../contract/failure.js'
import type { Admission } from '../auth/admission.js'
import type { Credentials, Viewer } from '../auth/viewer.js'
import { allowRoute } from '../auth/who-may.js'
import type { Deliveries } from '../delivery/deliveries.js'
import { sharings } from '../delivery/shared.js'
import type { Operations } from '../operations/index.js'
import type { Answer } from './answer.js'
import { readBody } from './body.js'
import { clusterRoutes } from './cluster.js'
import { dataRoutes } from './data.js'
import { docsPages } from './docs-page.js'
import { failure, success } from './envelope.js'
import { evaluationRoutes } from './evaluations.js'
import { toErrorAnswer } from './failure.js'
import { jobRoutes } from './jobs.js'
import { matchRoute } from './match.js'
import { requestIdOf } from './request-id.js'
import type { Route } from './route.js'
import { type FrameBytes, sendStream } from './sse.js'

/** Every path of the shim begins with this. */
export const restBase = '/v1/modules/scaimind'

/** The rows of the REST contract. */
export const routes: readonly Route[] = [...jobRoutes, ...clusterRoutes, ...evaluationRoutes, ...dataRoutes]

/** What the shim works on. */
export interface RestParts {
  operations: Operations
  /** Says who calls, or throws the Failure that the caller gets. */
  identify(credentials: Credentials): Promise<Viewer>
  admission: Pick<Admission, 'stream'>
  deliveries: Deliveries
  log: Logger
  /** Bytes of a request body. Default 1 MiB. */
  bodyBytesMax?: number
  /** Time between comments on a stream. Default 15 s. */
  heartbeatMs?: number
}

/** Answers requests below `/v1/modules/scaimind`. The promise is kept when the answer is sent, and never broken. */
export function restRouter(parts: RestParts) {
  const { operations, identify, admission, deliveries, log, bodyBytesMax = 1_048_576, heartbeatMs = 15_000 } = parts
  const sharingOf = sharings<FrameBytes>()
  const docs = docsPages(routes, restBase)

  async function answerTo(request: IncomingMessage, requestId: string): Promise<{ viewer: Viewer; answer: Answer }> {
    const { headers } = request
    const viewer = await identify({ authorization: headers.authorization, tenant: first(headers['x-scaigrid-tenant']) })
    const [, search = ''] = (request.url ?? '').split(/\?(.*)/s)
    const { route, id } = matchRoute(routes, request.method ?? '', below(pathOf(request)))
    allowRoute(viewer, `${route.method} ${route.path}`)
    const call = { caller: { viewer, requestId }, operations, headers, id }
    const answer = await route.answer(call, new URLSearchParams(search), { json: () => readBody(request, bodyBytesMax), bytes: request })
    return { viewer, answer }
  }

  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const requestId = requestIdOf(request.headers['x-request-id'])
    response.setHeader('x-request-id', requestId)
    try {
      if (await docs(request, response, pathOf(request).slice(restBase.length))) return
      const { viewer, answer } = await answerTo(request, requestId)
      if (!('feed' in answer)) return sendJson(request, response, answer.status ?? 200, success(answer, requestId))
      const leave = admission.stream(viewer)
      await sendStream(response, answer, {
        deliveries,
        sharing: sharingOf(JSON.stringify([viewer.tenantId, answer.name])),
        ended: viewer.ended,
        heartbeatMs,
        toFault(error) {
          const { code, message } = toErrorAnswer(error, { requestId, log }).body
          return { code, message }
        },
      }).finally(leave)
    } catch (error) {
      // The caller left before the body was whole: there is nobody to answer.
      if (response.destroyed) return
      const { status, headers, body } = toErrorAnswer(error, { requestId, log })
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
      sendJson(request, response, status, failure(body, requestId))
    }
  }
}

function sendJson(request: IncomingMessage, response: ServerResponse, status: number, envelope: object): void {
  const body = Buffer.from(JSON.stringify(envelope))
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': body.length,
    'cache-control': 'no-store',
    // A body that was not read to its end would be read as the next request.
    ...(request.complete ? {} : { connection: 'close' }),
  })
  response.end(body)
}

const pathOf = ({ url = '' }: IncomingMessage) => url.split('?')[0] ?? ''

function below(path: string): string {
  if (!path.startsWith(`${restBase}/`)) throw new Failure('ROUTE_NOT_FOUND', `There is no path ${path.slice(0, 200)} here.`)
  return path.slice(restBase.length)
}

const first = (value: string | string[] | undefined) => (Array.isArray(value) ? value[0] : value)
