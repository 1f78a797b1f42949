import { createHash, timingSafeEqual } from 'node:crypto'
import type { Metadata } from '@grpc/grpc-js'
import { Failure, InvalidInput } from '../../contract/failure.js'
import { isTenantId } from '../../contract/ids.js'

/** Who calls. */
export interface Caller {
  /** The tenant, or `*` where the method allows all of them. */
  tenantId: string
  /** Empty where unknown. */
  userId: string
  requestId: string
}

/** The secrets that callers prove themselves with. */
export interface Secrets {
  /** May act for any tenant: the API's own. */
  allTenants: string
  /** May act for one tenant each. */
  byTenant: ReadonlyMap<string, string>
}

/** Whom a method is for. */
export interface Audience {
  /** Whether it may be asked for all tenants, as `*`. */
  allowsAllTenants: boolean
  /** Whether only the secret for all tenants will do. Default false. */
  needsAllTenants?: boolean
}

/**
 * Reads who calls from the metadata of a call. Throws AUTH_TOKEN_INVALID for a secret that is missing, wrong or another tenant's, AUTHZ_PERMISSION_DENIED for a
 * tenant's secret where only that for all tenants will do, and INVALID_ARGUMENT for a tenant that is missing, malformed, or `*` where one tenant must be named.
 */
export function callerReader({ allTenants, byTenant }: Secrets) {
  const hashOfAll = hash(allTenants)
  const hashes = new Map([...byTenant].map(([tenant, secret]) => [tenant, hash(secret)]))
  return (metadata: Metadata, { allowsAllTenants, needsAllTenants = false }: Audience): Caller => {
    const given = hash(first(metadata, 'x-api-secret'))
    const tenantId = first(metadata, 'x-tenant-id')
    const ofTenant = hashes.get(tenantId)
    // Both are compared whatever the first says, each in the same time for any secret.
    const isForAll = timingSafeEqual(given, hashOfAll)
    const isForTenant = timingSafeEqual(given, ofTenant ?? hashOfAll) && ofTenant !== undefined
    if (!isForAll && !isForTenant) throw new Failure('AUTH_TOKEN_INVALID', 'x-api-secret is missing, wrong, or not for this tenant.')
    if (needsAllTenants && !isForAll)
      throw new Failure('AUTHZ_PERMISSION_DENIED', 'This method is for node agents, which hold the secret that acts for all tenants.')
    if (tenantId === '*') {
      if (!allowsAllTenants) refuse('x-tenant-id', 'This method acts for one tenant; name it instead of *.')
    } else if (!isTenantId(tenantId)) {
      refuse('x-tenant-id', 'A tenant is 1 to 64 letters, digits, _ and -, beginning with a letter or digit.')
    }
    return { tenantId, userId: first(metadata, 'x-user-id').slice(0, 255), requestId: requestIdOf(metadata) }
  }
}

/** How callers are read. */
export type CallerReader = ReturnType<typeof callerReader>

/** The caller's id of the request, for the log. */
export const requestIdOf = (metadata: Metadata): string => first(metadata, 'x-request-id').slice(0, 128)

const hash = (text: string): Buffer => createHash('sha256').update(text).digest()

/** The caller's span, where calls are traced; undefined where there is none. */
export const traceparentOf = (metadata: Metadata): string | undefined => first(metadata, 'traceparent') || undefined

function first(metadata: Metadata, name: string): string {
  const [value] = metadata.get(name)
  return value === undefined ? '' : value.toString()
}

function refuse(path: string, message: string): never {
  throw new InvalidInput([{ path, message }], 'INVALID_ARGUMENT')
}
