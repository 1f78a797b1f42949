import type { IncomingMessage } from 'node:http'
import { isDeeperThan, levelsMax } from '../../contract/depth.js'
import { Failure, InvalidInput } from '../../contract/failure.js'

/**
 * Reads a JSON body; undefined where there is none. Throws UNSUPPORTED_MEDIA_TYPE for a body that is not JSON in UTF-8, InvalidInput for one that is
 * nested too deep, and PAYLOAD_TOO_LARGE without reading on.
 */
export async function readBody(request: IncomingMessage, bytesMax: number): Promise<unknown> {
  const announced = Number(request.headers['content-length'] ?? 0)
  if (announced > bytesMax) throw tooLarge(bytesMax)
  const chunks: Buffer[] = []
  let bytes = 0
  // Leaving the loop must not destroy the connection, which the refusal goes out on.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > bytesMax) throw tooLarge(bytesMax)
    chunks.push(chunk)
  }
  if (bytes === 0) return undefined
  checkType(request)
  const body = parseJson(Buffer.concat(chunks))
  if (isDeeperThan(levelsMax, body))
    throw new InvalidInput([{ path: 'body', message: `The body is nested at most ${levelsMax} levels deep.` }])
  return body
}

function checkType({ headers }: IncomingMessage): void {
  const [type = '', ...parameters] = (headers['content-type'] ?? '').split(';').map((part) => part.trim().toLowerCase())
  if (!/^application\/(?:[\w.+-]+\+)?json$/.test(type)) {
    throw unsupported(`Send the body as JSON, with \`Content-Type: application/json\`${type ? `, not as ${type.slice(0, 100)}` : ''}.`)
  }
  const charset = parameters
    .find((parameter) => parameter.startsWith('charset='))
    ?.slice('charset='.length)
    .replaceAll('"', '')
  if (charset && !/^utf-?8$/.test(charset)) throw unsupported(`JSON is UTF-8; the charset ${charset.slice(0, 40)} is not read.`)
  const encoding = headers['content-encoding']
  if (encoding && encoding !== 'identity') throw unsupported(`Send the body as it is; the encoding ${encoding.slice(0, 40)} is not read.`)
}

/** Reads bytes as JSON. Throws UNSUPPORTED_MEDIA_TYPE with the place of the mistake. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    const detail = cause instanceof SyntaxError ? cause.message : 'it is not UTF-8'
    throw unsupported(`The body is not JSON: ${detail}.`, cause)
  }
}

const unsupported = (message: string, cause?: unknown) => new Failure('UNSUPPORTED_MEDIA_TYPE', message, { cause })

const tooLarge = (bytesMax: number) => new Failure('PAYLOAD_TOO_LARGE', `A body is at most ${bytesMax} bytes.`)
