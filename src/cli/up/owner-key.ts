import { Failure } from '../../contract/failure.js'
import type { TenantId } from '../../contract/ids.js'
import { withApiKeys } from '../api-keys.js'

/** The tenant of a machine with one owner. */
const ownTenant = 'local' as TenantId

/** The key that `scaimind up` keeps for its owner: the one that it has, if the database still knows it, else a new one that may do everything. */
export async function ensureOwnerKey(databaseUrl: string, present: string | undefined): Promise<string> {
  return await withApiKeys(databaseUrl, async (keys) => {
    if (present !== undefined && (await works(keys, present))) return present
    const { key } = await keys.create({ tenantId: ownTenant, userId: 'owner', name: 'scaimind up', grants: ['super_admin'] })
    return key
  })
}

async function works(keys: { verify(key: string): Promise<unknown> }, key: string): Promise<boolean> {
  try {
    await keys.verify(key)
    return true
  } catch (error) {
    if (error instanceof Failure && error.code === 'AUTH_TOKEN_INVALID') return false
    throw error
  }
}
