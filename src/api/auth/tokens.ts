import { createHash } from 'node:crypto'
import { getEventListeners, setMaxListeners } from 'node:events'
import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { Failure } from '../../contract/failure.js'
import { isTenantId, type TenantId } from '../../contract/ids.js'
import { isPermission, isRole, type Permission, permissionsOf, type Role } from './permissions.js'

/** Whose tokens are taken, and where they say what. */
export interface TokenTrust {
  issuer: string
  audience: string
  /** Names of the claims. */
  claims: TokenClaims
  getKey: JWTVerifyGetKey
}

/** The names of the claims beside `sub`: default `tenant_id`, `roles`, `permissions`, and `tenants` for the tenants of a partner. */
export interface TokenClaims {
  tenant: string
  roles: string
  permissions: string
  tenants: string
}

/** A token that works now. */
export interface VerifiedToken {
  tenantId: TenantId
  userId: string
  /** The tenants that a partner_admin may act for. */
  tenants: readonly string[]
  roles: readonly Role[]
  permissions: ReadonlySet<Permission>
  expiresAt: Date
  /** Aborted with a Failure when the token expires. */
  ended: AbortSignal
}

/** ScaiKey's tokens. */
export interface TokenVerifier {
  /** Throws AUTH_TOKEN_INVALID for a token that does not work here, BACKEND_TIMEOUT where that cannot be said now. */
  verify(token: string): Promise<VerifiedToken>
}

interface Known {
  token: VerifiedToken
  end: AbortController
  timer: NodeJS.Timeout
  checkedAt: number
}

// Between clocks of the issuer and ours.
const toleranceSeconds = 5
const tokenLengthMax = 16_384
// Longest that a timer of Node can wait.
const timerMsMax = 2 ** 31 - 1

/**
 * Checks RS256 tokens: signature, `iss`, `aud`, `exp`, `nbf`, and the claims that say who calls. A token that was checked is not checked again for
 * `recheckMs`, or, so often a token is used, its signature would cost more than most requests; at most `knownMax` are remembered.
 */
export function tokenVerifier(
  { issuer, audience, claims, getKey }: TokenTrust,
  { recheckMs = 60_000, knownMax = 10_000 } = {},
): TokenVerifier {
  const tokens = new Map<string, Known>()

  function drop(hash: string, reason: Failure): void {
    const known = tokens.get(hash)
    if (!known) return
    tokens.delete(hash)
    clearTimeout(known.timer)
    known.end.abort(reason)
  }

  function endAtExpiry(hash: string, expiresAt: Date): NodeJS.Timeout {
    const timer = setTimeout(
      () => {
        const known = tokens.get(hash)
        if (!known) return
        if (known.token.expiresAt.getTime() <= Date.now()) drop(hash, invalid(`The token expired at ${expiresAt.toISOString()}.`))
        else known.timer = endAtExpiry(hash, expiresAt)
      },
      Math.min(timerMsMax, Math.max(0, expiresAt.getTime() - Date.now())),
    )
    return timer.unref()
  }

  /** The least used that no stream holds go. */
  function makeRoom(): void {
    for (const [hash, { token, timer }] of tokens) {
      if (tokens.size < knownMax) return
      if (getEventListeners(token.ended, 'abort').length > 0) continue
      clearTimeout(timer)
      tokens.delete(hash)
    }
  }

  async function payloadOf(token: string): Promise<JWTPayload> {
    try {
      const { payload } = await jwtVerify(token, getKey, {
        algorithms: ['RS256'],
        issuer,
        audience,
        clockTolerance: toleranceSeconds,
        requiredClaims: ['sub', 'exp'],
      })
      return payload
    } catch (error) {
      throw error instanceof Failure ? error : invalid(whatIsWrong(error))
    }
  }

  return {
    async verify(token) {
      if (token.length > tokenLengthMax) throw invalid(`A token has at most ${tokenLengthMax} characters.`)
      const hash = createHash('sha256').update(token).digest('base64')
      const known = tokens.get(hash)
      if (known) {
        tokens.delete(hash)
        tokens.set(hash, known)
        if (Date.now() - known.checkedAt < recheckMs) return known.token
      }
      const payload = await payloadOf(token).catch((failure: Failure) => {
        if (failure.code === 'AUTH_TOKEN_INVALID') drop(hash, failure)
        throw failure
      })
      const again = tokens.get(hash)
      if (again) {
        again.checkedAt = Date.now()
        return again.token
      }
      const end = new AbortController()
      // Every connection and stream of the token listens.
      setMaxListeners(0, end.signal)
      const verified = { ...callerIn(payload, claims), ended: end.signal }
      makeRoom()
      tokens.set(hash, { token: verified, end, timer: endAtExpiry(hash, verified.expiresAt), checkedAt: Date.now() })
      return verified
    },
  }
}

const invalid = (message: string) => new Failure('AUTH_TOKEN_INVALID', message)

/** In words that name the claim, and never repeat the token. */
function whatIsWrong(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'The token has expired.'
  if (error instanceof errors.JWTClaimValidationFailed) return `The token's claim "${error.claim}" is missing or not right for this API.`
  if (error instanceof errors.JOSEAlgNotAllowed) return 'The token must be signed with RS256.'
  if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSNoMatchingKey) {
    return "The token's signature is not its issuer's."
  }
  return 'This is neither an API key (sgk_…) nor a token that can be read.'
}

function callerIn(payload: JWTPayload, claims: TokenClaims): Omit<VerifiedToken, 'ended'> {
  const { sub, exp = 0 } = payload
  const tenantId = payload[claims.tenant]
  if (typeof sub !== 'string' || !/^\P{Cc}{1,255}$/u.test(sub))
    throw invalid('The token\'s claim "sub" must name a user in 1 to 255 characters.')
  if (typeof tenantId !== 'string' || !isTenantId(tenantId)) {
    throw invalid(`The token's claim "${claims.tenant}" must name a tenant: 1 to 64 letters, digits, _ and -.`)
  }
  // A token may carry roles and permissions of other modules: what is not ours grants nothing here.
  const roles = wordsIn(payload, claims.roles).filter(isRole)
  const permissions = permissionsOf(roles, wordsIn(payload, claims.permissions).filter(isPermission))
  // One that the tolerance lets in works until the tolerance is over.
  const expiresAt = new Date((exp * 1000 > Date.now() ? exp : exp + toleranceSeconds) * 1000)
  return { tenantId, userId: sub, tenants: wordsIn(payload, claims.tenants).filter(isTenantId), roles, permissions, expiresAt }
}

/** A list of texts, or texts with spaces between them; absent means none. */
function wordsIn(payload: JWTPayload, claim: string): string[] {
  const value = payload[claim]
  if (value === undefined || value === null) return []
  const list = typeof value === 'string' ? value.split(/\s+/).filter(Boolean) : value
  if (!Array.isArray(list) || !list.every((word): word is string => typeof word === 'string')) {
    throw invalid(`The token's claim "${claim}" must be a list of texts.`)
  }
  return list
}
