import { Failure } from '../../contract/failure.js'
import { isTenantId, type TenantId } from '../../contract/ids.js'
import type { ApiKeyStore, VerifiedKey } from './api-keys.js'
import type { Permission, Role } from './permissions.js'
import type { TokenVerifier } from './tokens.js'

/** What a request was signed in with. */
export const credentialKinds = ['API_KEY', 'JWT'] as const

/** Who calls, for which tenant, and what they may do. */
export interface Viewer {
  /** The tenant that every read and write is scoped to. */
  tenantId: TenantId
  /** The tenant that key or token belong to. */
  homeTenantId: TenantId
  userId: string
  credential: (typeof credentialKinds)[number]
  /** The API key; null for a token. */
  keyId: string | null
  keyName: string | null
  /** When key or token stops working; null: when it is revoked. */
  expiresAt: Date | null
  roles: readonly Role[]
  permissions: ReadonlySet<Permission>
  /** Aborted when the key or token stops working; its reason is the Failure that open streams end with. */
  ended: AbortSignal
  /** The token, for the exchange for others; null for an API key. A function, so that nothing that prints a viewer prints it. */
  subjectToken: (() => string) | null
}

/** A viewer and the request that they make. */
export interface Caller {
  viewer: Viewer
  /** Goes into every log line, into the coordinator's metadata and into error answers. */
  requestId: string
}

/** What a request says about who sends it; header values as they came. */
export interface Credentials {
  /** `Bearer <token>`. */
  authorization: string | undefined
  /** `x-scaigrid-tenant`: the tenant to act for, where it is not the caller's own. */
  tenant: string | undefined
}

/** Who knows what is signed in with. */
export interface Identities {
  keys: Pick<ApiKeyStore, 'verify'>
  /** Null where no issuer of tokens is set. */
  tokens: TokenVerifier | null
}

/** Says who calls. Throws AUTH_TOKEN_MISSING, AUTH_TOKEN_INVALID, AUTHZ_PERMISSION_DENIED for another tenant, DATABASE_UNAVAILABLE or BACKEND_TIMEOUT where it cannot be said now. */
export async function identifyViewer({ keys, tokens }: Identities, { authorization, tenant }: Credentials): Promise<Viewer> {
  const [, token] = /^Bearer +(\S+) *$/i.exec(authorization ?? '') ?? []
  if (!authorization?.trim()) throw new Failure('AUTH_TOKEN_MISSING', 'Send the header `Authorization: Bearer sgk_…` with an API key.')
  if (!token) throw new Failure('AUTH_TOKEN_INVALID', 'The Authorization header must read `Bearer sgk_…`.')
  if (token.startsWith('sgk_')) {
    return viewerOf(await keys.verify(token), tenant)
  }
  if (!tokens) {
    throw new Failure(
      'AUTH_TOKEN_INVALID',
      'This is not an API key, which begins with sgk_, and no other tokens are taken here: no issuer is set.',
    )
  }
  const { tenants, ...verified } = await tokens.verify(token)
  return {
    ...verified,
    credential: 'JWT',
    keyId: null,
    keyName: null,
    subjectToken: () => token,
    homeTenantId: verified.tenantId,
    tenantId: chosenTenant({ ...verified, tenants }, tenant),
  }
}

// Most requests are of keys that were there a moment ago, for their own tenant.
const viewers = new WeakMap<VerifiedKey, Viewer>()

function viewerOf(key: VerifiedKey, tenant: string | undefined): Viewer {
  const known = tenant ? undefined : viewers.get(key)
  if (known) return known
  // A partner's tenants are known to the identity provider only, so that a partner's API key acts for its own tenant.
  const tenantId = chosenTenant({ ...key, tenants: [] }, tenant)
  const viewer: Viewer = { ...key, credential: 'API_KEY', subjectToken: null, homeTenantId: key.tenantId, tenantId }
  if (!tenant) viewers.set(key, viewer)
  return viewer
}

interface Reach {
  tenantId: TenantId
  roles: readonly Role[]
  tenants: readonly string[]
}

function chosenTenant({ tenantId, roles, tenants }: Reach, asked: string | undefined): TenantId {
  if (!asked || asked === tenantId) return tenantId
  const mayReach = roles.includes('super_admin') || (roles.includes('partner_admin') && tenants.includes(asked))
  if (mayReach && isTenantId(asked)) return asked
  throw new Failure('AUTHZ_PERMISSION_DENIED', 'x-scaigrid-tenant: the caller may not act for that tenant.')
}
