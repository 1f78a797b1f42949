import { z } from 'zod'
import { Failure } from '../../contract/failure.js'
import type { ApiKeyRow, ApiKeyStore } from '../auth/api-keys.js'
import { isPermission, isRole, parseGrants, permissions, roles } from '../auth/permissions.js'
import type { Caller, Viewer } from '../auth/viewer.js'
import { allow } from '../auth/who-may.js'
import type { PageArguments } from './job-types.js'
import { type Page, readPage } from './paging.js'
import { parseInput } from './parse.js'

/** An API key as lists show it: never the key itself. */
export type ApiKeyView = ApiKeyRow

/** What a new key is for; checked by the operation. */
export interface ApiKeyInput {
  name: string
  /** Default: the caller's user. */
  userId?: string | null
  /** Role names and permission keys. */
  grants: readonly string[]
  expiresAt?: Date | null
}

/** The use cases of API keys, each of the caller's tenant only. */
export interface ApiKeyOperations {
  /** Newest first. Throws an InvalidInput or CURSOR_INVALID. */
  page(caller: Caller, page: PageArguments): Promise<Page<ApiKeyView>>
  /** Answers the key itself, this one time. Throws an InvalidInput, and AUTHZ_PERMISSION_DENIED for a grant that the caller does not hold. */
  create(caller: Caller, input: ApiKeyInput): Promise<{ apiKey: ApiKeyView; key: string }>
  /** Ends a key and its open streams, on every instance within a second. Repeating it answers the same key. Throws API_KEY_NOT_FOUND. */
  revoke(caller: Caller, keyId: string): Promise<ApiKeyView>
}

/** What the use cases of API keys work on. */
export interface ApiKeyParts {
  keys: Pick<ApiKeyStore, 'create' | 'some' | 'get' | 'revoke'>
}

const words = [...Object.keys(roles), ...permissions]
const isGrant = (word: string) => isRole(word) || isPermission(word)
const inputSchema = z.object({
  name: z.string().regex(/^\P{Cc}{1,255}$/u, 'A name has 1 to 255 characters, none of them a control character'),
  user_id: z
    .string()
    .regex(/^\P{Cc}{1,255}$/u, 'A user is named by 1 to 255 characters, none of them a control character')
    .optional(),
  grants: z
    .array(z.string().refine(isGrant, `This is one of ${words.join(', ')}`))
    .min(1, 'Grant at least one role or permission')
    .max(words.length, `There are ${words.length} roles and permissions`),
  expires_at: z
    .date()
    .refine((time) => time.getTime() > Date.now(), 'This is a time to come')
    .optional(),
})

const keyIdPattern = /^key_[0-9a-z]{26}$/

/** The use cases of API keys. */
export function apiKeyOperations({ keys }: ApiKeyParts): ApiKeyOperations {
  return {
    async page({ viewer }, page) {
      allow(viewer, 'manageKeys')
      const { size, backward, after, before } = readPage(page)
      const place = backward ? before : after
      const beyond = place ? keyIdIn(place, backward ? 'before' : 'after') : undefined
      const rows = await keys.some(viewer.tenantId, { count: size + 1, backward, beyond })
      const hasMore = rows.length > size
      const shown = rows.slice(0, size)
      if (backward) shown.reverse()
      const edges = shown.map((node) => ({ node, cursor: cursorOf(node) }))
      return {
        edges,
        pageInfo: {
          hasNextPage: backward ? Boolean(before) : hasMore,
          hasPreviousPage: backward ? hasMore : Boolean(after),
          startCursor: edges[0]?.cursor ?? null,
          endCursor: edges.at(-1)?.cursor ?? null,
        },
      }
    },

    async create({ viewer }, { name, userId, grants, expiresAt }) {
      allow(viewer, 'manageKeys')
      const input = parseInput(inputSchema, { name, user_id: userId, grants, expires_at: expiresAt })
      refuseMoreThan(viewer, input.grants)
      const { key, ...apiKey } = await keys.create({
        tenantId: viewer.tenantId,
        userId: input.user_id ?? viewer.userId,
        name: input.name,
        grants: input.grants,
        expiresAt: input.expires_at ?? null,
      })
      return { apiKey, key }
    },

    async revoke({ viewer }, keyId) {
      allow(viewer, 'manageKeys')
      await keys.revoke(keyId, viewer.tenantId)
      const revoked = await keys.get(viewer.tenantId, keyId)
      if (!revoked) throw new Failure('API_KEY_NOT_FOUND', `There is no API key ${JSON.stringify(keyId.slice(0, 64))}.`)
      return revoked
    },
  }
}

/** A caller grants at most what they hold; roles that reach beyond a tenant are a super_admin's to give. */
function refuseMoreThan(viewer: Viewer, grants: readonly string[]): void {
  const { roles: granted, permissions: wanted } = parseGrants(grants.join(' '))
  const beyond = granted.filter((role) => role === 'super_admin' || role === 'partner_admin')
  if (beyond.length > 0 && !viewer.roles.includes('super_admin')) {
    throw new Failure('AUTHZ_PERMISSION_DENIED', `grants: only a super_admin may grant ${beyond.join(' and ')}.`)
  }
  const missing = [...wanted].filter((permission) => !viewer.permissions.has(permission))
  if (missing.length > 0) {
    throw new Failure('AUTHZ_PERMISSION_DENIED', `grants: the caller does not hold ${missing.join(', ')}, and may not grant it.`)
  }
}

const cursorOf = ({ keyId }: ApiKeyView) => Buffer.from(keyId).toString('base64url')

function keyIdIn(cursor: string, argument: string): string {
  const keyId = Buffer.from(cursor, 'base64url').toString()
  if (!keyIdPattern.test(keyId)) throw new Failure('CURSOR_INVALID', `${argument}: this is not a cursor of a list of API keys.`)
  return keyId
}
