import { createHash } from 'node:crypto'
import type { Logger } from 'pino'
import { z } from 'zod'
import { Failure } from '../../contract/failure.js'
import type { Viewer } from './viewer.js'

/** Tokens that a job fetches its data and its model with. */
export interface DownstreamTokens {
  scaidriveToken?: string
  scaiatlasToken?: string
}

/** Exchanges a caller's token for those of ScaiDrive and ScaiAtlas. An API key has none to exchange, so that nothing is forwarded for it. */
export type ExchangeTokens = (viewer: Viewer) => Promise<DownstreamTokens>

/** Where and as whom tokens are exchanged. */
export interface TokenExchange {
  url: string
  clientId: string
  clientSecret: string
  /** The audiences asked for; without one, no such token is. */
  scaidriveAudience?: string | undefined
  scaiatlasAudience?: string | undefined
  log: Logger
}

interface Issued {
  token: Promise<string>
  /** When it is not forwarded any more; unknown while it is being asked for. */
  until: number
}

const answerSchema = z.object({ access_token: z.string().min(1), expires_in: z.number().positive().optional() })
const refusalSchema = z.object({ error: z.string(), error_description: z.string().optional() })

// A job may wait a little before it fetches with what it was given.
const earlierMs = 60_000
// RFC 8693 only recommends saying how long a token lives.
const lifetimeSecondsDefault = 300
const timeoutMs = 5000
const retryAfterSeconds = 2

/** RFC 8693. Tokens are kept in memory until a minute before they expire, or half their life where that is less; at most `keptMax` of them. Callers who want the same at once share one exchange. */
export function tokenExchange(settings: TokenExchange, { keptMax = 10_000 } = {}): ExchangeTokens {
  const issued = new Map<string, Issued>()
  const { scaidriveAudience, scaiatlasAudience } = settings

  function exchanged(subject: string, audience: string): Promise<string> {
    const name = createHash('sha256').update(audience).update('\n').update(subject).digest('base64')
    const known = issued.get(name)
    if (known && known.until > Date.now()) return known.token
    issued.delete(name)
    const asked: Issued = { token: Promise.resolve(''), until: Number.POSITIVE_INFINITY }
    asked.token = ask(settings, subject, audience).then(
      ({ token, lifetimeMs }) => {
        asked.until = Date.now() + Math.max(lifetimeMs - earlierMs, lifetimeMs / 2)
        return token
      },
      (failure) => {
        if (issued.get(name) === asked) issued.delete(name)
        throw failure
      },
    )
    for (const oldest of issued.keys()) {
      if (issued.size < keptMax) break
      issued.delete(oldest)
    }
    issued.set(name, asked)
    return asked.token
  }

  return async ({ subjectToken }) => {
    if (!subjectToken) return {}
    const of = (audience: string | undefined) => (audience ? exchanged(subjectToken(), audience) : undefined)
    const [scaidriveToken, scaiatlasToken] = await Promise.all([of(scaidriveAudience), of(scaiatlasAudience)])
    return { ...(scaidriveToken ? { scaidriveToken } : {}), ...(scaiatlasToken ? { scaiatlasToken } : {}) }
  }
}

async function ask({ url, clientId, clientSecret, log }: TokenExchange, subject: string, audience: string) {
  const body = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: subject,
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    audience,
  })
  const basic = Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`).toString('base64')
  const away = (cause: unknown) =>
    new Failure('BACKEND_TIMEOUT', `No token for ${audience} can be had now: the token exchange does not answer.`, {
      cause,
      retryAfterSeconds,
    })

  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Basic ${basic}`, accept: 'application/json' },
    body,
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  }).catch((cause: unknown) => {
    throw away(cause)
  })
  const answer: unknown = await response.json().catch(() => undefined)
  if (response.status >= 500 || response.status === 429) throw away(new Error(`the token exchange answered ${response.status}`))
  if (!response.ok) {
    const { error, error_description: description } = refusalSchema.safeParse(answer).data ?? { error: `HTTP ${response.status}` }
    // Ours to mend: the caller can do nothing about it.
    if (error === 'invalid_client' || response.status === 404) {
      log.error(
        { event: 'scaimind_token_exchange', audience, status: response.status, error, description },
        'the token exchange refused this API',
      )
      throw new Failure('INTERNAL_ERROR', `No token for ${audience} can be had: the token exchange does not accept this API.`)
    }
    if (error === 'invalid_grant')
      throw new Failure('AUTH_TOKEN_INVALID', `The token exchange does not accept the caller's token for ${audience}.`)
    throw new Failure('AUTHZ_PERMISSION_DENIED', `The token exchange grants the caller no token for ${audience} (${error}).`)
  }
  const read = answerSchema.safeParse(answer)
  // A newline would end the metadata that it travels in.
  if (!read.success || !/^[\x21-\x7e]+$/.test(read.data.access_token)) throw away(new Error('the token exchange answered without a token'))
  return { token: read.data.access_token, lifetimeMs: (read.data.expires_in ?? lifetimeSecondsDefault) * 1000 }
}
