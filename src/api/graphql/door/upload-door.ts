import type { IncomingMessage, ServerResponse } from 'node:http'
import { GraphQLError } from 'graphql'
import type { Logger } from 'pino'
import { codes } from '../../../contract/codes.js'
import { Failure } from '../../../contract/failure.js'
import { presentError } from '../failure.js'
import { type Multipart, type MultipartLimits, readMultipart } from './multipart.js'

/** How an upload is answered. */
export interface UploadDoor extends MultipartLimits {
  /** Runs the operation, a JSON request of which the files are still coming in. */
  run(request: Request, multipart: Multipart): Promise<Response>
  log: Logger
}

const lingerMs = 2000

/** Answers a GraphQL multipart request as soon as there is an answer, which a refusal is before the files are whole. Limits are refused with 413. */
export async function answerUpload(
  request: IncomingMessage,
  response: ServerResponse,
  requestId: string,
  { run, log, ...limits }: UploadDoor,
): Promise<void> {
  try {
    const multipart = await readMultipart(request, limits)
    const answer = await run(asJson(request, multipart.operations), multipart)
    answer.headers.forEach((value, name) => void response.setHeader(name, value))
    await send(request, response, answer.status, await answer.text())
  } catch (error) {
    // The caller left before the request was whole: there is nobody to answer.
    if (response.destroyed) return
    const { code } = error instanceof Failure ? error : new Failure('INTERNAL_ERROR', '')
    const presented = presentError(new GraphQLError('', { originalError: error as Error }), { requestId, log })
    response.setHeader('content-type', 'application/json; charset=utf-8')
    // What is not a multipart request is malformed, not a request whose fields are wrong.
    const status = code === 'VALIDATION_ERROR' ? 400 : codes[code].http
    await send(request, response, status, JSON.stringify({ errors: [presented] }))
  }
}

/** The request as it would be without its files. Streams of results are for requests without them. */
function asJson({ url = '/', headers }: IncomingMessage, operations: string): Request {
  const accept = headers.accept && !/event-stream|multipart/.test(headers.accept) ? headers.accept : 'application/json'
  return new Request(new URL(url, 'http://localhost'), {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept, ...(headers.origin ? { origin: headers.origin } : {}) },
    body: operations,
  })
}

/**
 * Sends a whole answer while the request may still be coming in. Who sends a large body looks for an answer in between, but finds none where the
 * connection is closed under it: so what still comes is thrown away for a while before the connection is closed.
 */
async function send(request: IncomingMessage, response: ServerResponse, status: number, text: string): Promise<void> {
  const body = Buffer.from(text)
  const isWhole = request.complete
  response.writeHead(status, { 'content-length': body.length, ...(isWhole ? {} : { connection: 'close' }) })
  response.write(body)
  if (!isWhole) await restOf(request)
  response.end()
}

function restOf(request: IncomingMessage): Promise<void> {
  request.unpipe()
  request.resume()
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, lingerMs)
    request.once('close', () => resolve())
    request.once('end', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
