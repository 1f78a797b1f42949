import { CommandFailed, UsageError } from '../failure.js'
import type { GapMessage } from './messages.js'
import type { ServerAddress } from './server.js'
import { chunksOf, readFrames, type SseFrame } from './sse.js'

/** A refusal of the API, as its envelope says it. */
export class RestFailure extends CommandFailed {
  readonly code: string
  override readonly exitCode: number

  constructor(code: string, message: string, exitCode: number) {
    super(message)
    this.code = code
    this.exitCode = exitCode
  }
}

/** Query parameters; undefined ones are left out, lists are repeated. */
export type Query = Record<string, string | number | boolean | string[] | undefined>

interface ErrorEnvelope {
  error?: { code?: string; message?: string; details?: { field?: string; message?: string }[] }
}

const pauseFirstMs = 250
const pauseMaxMs = 5000
const reconnectForMs = 120_000
const inputCodes = ['VALIDATION_ERROR', 'INVALID_ARGUMENT', 'PAYLOAD_TOO_LARGE']
const passingCodes = ['COORDINATOR_UNAVAILABLE', 'DATABASE_UNAVAILABLE', 'BACKEND_TIMEOUT', 'RATE_LIMITED', 'INTERNAL_ERROR']

/** Calls of the REST API. Refusals are thrown as RestFailure, with every field that is wrong in the message. */
export function restClient({ url, key }: ServerAddress) {
  const base = `${url}/v1/modules/scaimind`

  async function request(method: string, path: string, { query = {}, body, headers = {} }: RequestOptions = {}): Promise<Response> {
    try {
      return await fetch(`${base}${path}${queryString(query)}`, {
        method,
        headers: { authorization: `Bearer ${key}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    } catch {
      throw new Unreachable(`Nothing answers at ${url}. Does \`scaimind up\` run? Another address goes into --server or SCAIMIND_URL.`)
    }
  }

  async function call<T>(method: string, path: string, options?: RequestOptions): Promise<T> {
    const response = await request(method, path, options)
    if (!response.ok) throw await failureOf(response)
    return ((await response.json()) as { data: T }).data
  }

  return {
    get: <T>(path: string, query?: Query): Promise<T> => call('GET', path, query ? { query } : {}),
    post: <T>(path: string, body: unknown, headers: Record<string, string> = {}): Promise<T> => call('POST', path, { body, headers }),

    /**
     * The messages of server-sent events until the server says that nothing follows. A connection that is lost is opened again, going on after the last
     * frame seen, for two minutes. `onGap` is told of records that are gone.
     */
    async *stream<T>(path: string, { query = {}, onGap = () => undefined }: StreamOptions = {}): AsyncGenerator<T, void, undefined> {
      let lastId: string | undefined
      let pauseMs = pauseFirstMs
      let lostSince: number | undefined
      for (;;) {
        try {
          const headers = { accept: 'text/event-stream', ...(lastId === undefined ? {} : { 'last-event-id': lastId }) }
          const response = await request('GET', path, { query, headers })
          if (!response.ok || response.body === null) throw await failureOf(response)
          for await (const frame of readFrames(chunksOf(response.body))) {
            if (frame.event === 'error') throw failureOfFrame(frame)
            if (frame.data === '[DONE]') return
            pauseMs = pauseFirstMs
            lostSince = undefined
            if (frame.id !== undefined) lastId = frame.id
            if (frame.event === 'gap') onGap(JSON.parse(frame.data) as GapMessage)
            else yield JSON.parse(frame.data) as T
          }
        } catch (error) {
          if (error instanceof RestFailure && !passingCodes.includes(error.code)) throw error
          if (lastId === undefined && error instanceof Unreachable) throw error
          lostSince ??= Date.now()
          if (Date.now() - lostSince > reconnectForMs) throw error
        }
        await new Promise((done) => setTimeout(done, pauseMs))
        pauseMs = Math.min(pauseMs * 2, pauseMaxMs)
      }
    },
  }
}

/** See restClient. */
export type RestClient = ReturnType<typeof restClient>

class Unreachable extends CommandFailed {}

interface StreamOptions {
  query?: Query
  onGap?: (gap: GapMessage) => void
}

interface RequestOptions {
  query?: Query
  body?: unknown
  headers?: Record<string, string>
}

function queryString(query: Query): string {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : value === undefined ? [] : [value]) parameters.append(name, String(one))
  }
  return parameters.size === 0 ? '' : `?${parameters}`
}

async function failureOf(response: Response): Promise<CommandFailed> {
  const text = await response.text()
  const { error } = parseJson<ErrorEnvelope>(text) ?? {}
  if (error?.code === undefined)
    return new CommandFailed(`The server answered ${response.status} ${response.statusText}; is it ScaiMind that answers at this address?`)
  const isInput = inputCodes.includes(error.code)
  const details = isInput ? (error.details ?? []).map(({ field, message }) => `\n  ${field}: ${message}`).join('') : ''
  const heading = details === '' ? error.message : 'The input is not valid:'
  return new RestFailure(error.code, `${heading}${details} (${error.code})`, isInput ? 2 : 1)
}

function failureOfFrame(frame: SseFrame): RestFailure {
  const { code, message } = parseJson<{ code?: string; message?: string }>(frame.data) ?? {}
  return new RestFailure(code ?? 'INTERNAL_ERROR', `${message ?? 'The stream broke off.'} (${code ?? 'INTERNAL_ERROR'})`, 1)
}

function parseJson<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T
  } catch {
    return undefined
  }
}

/** Takes a job id as it was typed, so that nothing else gets into a path. */
export function jobPath(jobId: string, action = ''): string {
  if (!/^[A-Za-z0-9_-]+$/.test(jobId)) throw new UsageError(`${JSON.stringify(jobId)} is not a job id; \`scaimind job list\` shows them.`)
  return `/jobs/${jobId}${action}`
}
