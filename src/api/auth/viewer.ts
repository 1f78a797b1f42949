import { Failure } from '../../contract/failure.js'
import { isTenantId, type TenantId } from '../../contract/ids.js'
import type { ApiKeyStore, VerifiedKey } from './api-keys.js'
import type { Permission, Role } from './permissions.js'

/** Who calls, for which tenant, and what they may do. */
export interface Viewer {
  /** The tenant that every read and write is scoped to. */
  tenantId: TenantId
  userId: string
  /** The API key that the request came with. */
  keyId: string
  keyName: string
  roles: readonly Role[]
  permissions: ReadonlySet<Permission>
  /** Aborted when the key stops working; its reason is the Failure that open streams end with. */
  ended: AbortSignal
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

/** Says who calls. Throws AUTH_TOKEN_MISSING, AUTH_TOKEN_INVALID, AUTHZ_PERMISSION_DENIED for another tenant, or DATABASE_UNAVAILABLE. */
export async function identifyViewer(keys: ApiKeyStore, { authorization, tenant }: Credentials): Promise<Viewer> {
  const [, token] = /^Bearer +(\S+) *$/i.exec(authorization ?? '') ?? []
  if (!authorization?.trim()) throw new Failure('AUTH_TOKEN_MISSING', 'Send the header `Authorization: Bearer sgk_…` with an API key.')
  if (!token) throw new Failure('AUTH_TOKEN_INVALID', 'The Authorization header must read `Bearer sgk_…`.')
  const key = await keys.verify(token)
  return { ...key, tenantId: chosenTenant(key, tenant) }
}

function chosenTenant(key: VerifiedKey, asked: string | undefined): TenantId {
  if (!asked || asked === key.tenantId) return key.tenantId
  // A partner's tenants are known to the identity provider only, so that a partner's API key acts for its own tenant.
  if (!key.roles.includes('super_admin') || !isTenantId(asked)) {
    throw new Failure('AUTHZ_PERMISSION_DENIED', 'x-scaigrid-tenant: this key may not act for that tenant.')
  }
  return asked
}
