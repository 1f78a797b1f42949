import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import { Failure } from '../../contract/failure.js'

interface JwksOptions {
  url: string
  /** Time that the issuer has to answer. Default 5 s. */
  timeoutMs?: number
  /** Age at which known keys are asked for again, beside the requests that they serve. Default 10 min. */
  maxAgeMs?: number
  /** Least time between two questions that an unknown key or a silent issuer leads to. Default 10 s. */
  cooldownMs?: number
}

const isKeySet = (value: unknown): value is JSONWebKeySet => Array.isArray((value as { keys?: unknown } | null)?.keys)

/**
 * The public keys of an issuer. A key that is not known is looked for at the issuer at once, so that keys may be rotated; who invents key ids makes it ask
 * once per `cooldownMs`. While the issuer is away, known keys go on, and unknown ones throw BACKEND_TIMEOUT, for whether they are its own cannot be said.
 */
export function jwks({ url, timeoutMs = 5000, maxAgeMs = 600_000, cooldownMs = 10_000 }: JwksOptions): JWTVerifyGetKey {
  let known: ReturnType<typeof createLocalJWKSet> | undefined
  let loadedAt = 0
  let failure: Failure | undefined
  /** When the issuer was last asked for a reason that comes with the request. */
  let soughtAt = Number.NEGATIVE_INFINITY
  let loading: Promise<void> | undefined

  async function load(): Promise<void> {
    try {
      const response = await fetch(url, {
        signal: AbortSignal.timeout(timeoutMs),
        redirect: 'error',
        headers: { accept: 'application/json' },
      })
      const keys: unknown = response.ok ? await response.json() : undefined
      if (!isKeySet(keys)) throw new Error(`${url} answered ${response.status}, and no key set`)
      known = createLocalJWKSet(keys)
      loadedAt = Date.now()
      failure = undefined
    } catch (cause) {
      failure = new Failure('BACKEND_TIMEOUT', 'The token cannot be checked now: its issuer does not answer.', {
        cause,
        retryAfterSeconds: Math.ceil(cooldownMs / 1000),
      })
    }
  }

  /** At most one question at a time; all who wait for it share it. */
  function ask(): Promise<void> {
    loading ??= load().finally(() => {
      loading = undefined
    })
    return loading
  }

  /** Asks because of a request, unless that was just done. */
  async function seek(): Promise<void> {
    if (loading) return loading
    if (Date.now() - soughtAt < cooldownMs) return
    soughtAt = Date.now()
    await ask()
  }

  return async (header, token) => {
    if (!known) {
      // The first question does not count as sought: a rotation right after it is seen at once.
      if (failure) await seek()
      else await ask()
    } else if (Date.now() - loadedAt > maxAgeMs && (!failure || Date.now() - soughtAt >= cooldownMs)) {
      soughtAt = Date.now()
      void ask()
    }
    if (!known) throw failure
    try {
      return await known(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      await seek()
      if (failure) throw failure
      return known(header, token)
    }
  }
}
