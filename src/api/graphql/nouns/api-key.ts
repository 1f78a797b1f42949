import { parseGrants, permissions, roles } from '../../auth/permissions.js'
import type { ApiKeyView } from '../../operations/api-keys.js'
import { builder } from '../builder.js'
import { mutationErrors } from '../failure.js'

const ApiKeyRef = builder.objectRef<ApiKeyView>('ApiKey').implement({
  description: 'An API key of the tenant. The key itself is shown once, when it is made.',
  fields: (t) => ({
    keyId: t.exposeID('keyId', { description: 'The id that it is revoked by.' }),
    name: t.exposeString('name', { description: 'What it is for, 1 to 255 characters.' }),
    userId: t.exposeString('userId', { description: 'The user that it acts for.' }),
    prefix: t.exposeString('prefix', { description: 'The first characters of the key, to recognise it by.' }),
    roles: t.stringList({
      description: `Roles that it holds, of ${Object.keys(roles).join(', ')}.`,
      resolve: ({ grants }) => parseGrants(grants).roles,
    }),
    permissions: t.stringList({
      description: `What it may do, by role or granted directly, of ${permissions.join(', ')}.`,
      resolve: ({ grants }) => permissions.filter((permission) => parseGrants(grants).permissions.has(permission)),
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When it was made.' }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it stops working, and its open streams end; null: when it is revoked.',
    }),
    revokedAt: t.expose('revokedAt', { type: 'DateTime', nullable: true, description: 'When it was revoked; null where it was not.' }),
    lastUsedAt: t.expose('lastUsedAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When it was last used, to the minute; null: never.',
    }),
  }),
})

const CreateApiKeyInput = builder.inputType('CreateApiKeyInput', {
  description: 'An API key to make.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'What it is for, 1 to 255 characters.' }),
    userId: t.string({ description: 'The user that it acts for, 1 to 255 characters; default the caller’s.' }),
    grants: t.stringList({
      required: true,
      description: `What it may do: roles, of ${Object.keys(roles).join(', ')}, and permissions, of ${permissions.join(', ')}. A caller may grant what they hold.`,
    }),
    expiresAt: t.field({ type: 'DateTime', description: 'When it stops working; default: when it is revoked.' }),
  }),
})

const CreateApiKeySuccess = builder.objectRef<{ apiKey: ApiKeyView; key: string }>('CreateApiKeySuccess').implement({
  description: 'The key was made.',
  fields: (t) => ({
    apiKey: t.field({ type: ApiKeyRef, description: 'The key as lists show it.', resolve: ({ apiKey }) => apiKey }),
    key: t.exposeString('key', { description: 'The key itself, `sgk_…`. It is shown this once; only its hash is stored.' }),
  }),
})

const RevokeApiKeySuccess = builder.objectRef<ApiKeyView>('RevokeApiKeySuccess').implement({
  description: 'The key does not work any more.',
  fields: (t) => ({ apiKey: t.field({ type: ApiKeyRef, description: 'The key as it is now.', resolve: (apiKey) => apiKey }) }),
})

builder.queryField('apiKeys', (t) =>
  t.connection(
    {
      type: ApiKeyRef,
      description:
        'The tenant’s API keys, newest first, those that were revoked or have expired included. DATABASE_UNAVAILABLE where the database is away. Needs scaimind:cluster_admin.',
      complexity: ({ first, last }) => ({ field: 10, multiplier: Math.max(1, first ?? last ?? 20) }),
      resolve: (_root, page, { operations, caller }) => operations.apiKeys.page(caller, page),
    },
    { name: 'ApiKeyConnection', description: 'A page of API keys.' },
    { name: 'ApiKeyEdge', description: 'An API key and its place in the list.' },
  ),
)

builder.mutationField('createApiKey', (t) =>
  t.field({
    type: CreateApiKeySuccess,
    errors: mutationErrors('CreateApiKey'),
    complexity: 10,
    description:
      'Makes an API key of the tenant. InvalidInput names what is wrong; RequestFailed with AUTHZ_PERMISSION_DENIED for a grant that the caller does not hold; only a super_admin grants super_admin and partner_admin. Needs scaimind:cluster_admin.',
    args: { input: t.arg({ type: CreateApiKeyInput, required: true, description: 'The key.' }) },
    resolve: (_root, { input }, { operations, caller }) => operations.apiKeys.create(caller, input),
  }),
)

builder.mutationField('revokeApiKey', (t) =>
  t.field({
    type: RevokeApiKeySuccess,
    errors: mutationErrors('RevokeApiKey'),
    complexity: 10,
    description:
      'Ends an API key of the tenant and its open streams, everywhere within a second. Repeating it answers the same key. RequestFailed with API_KEY_NOT_FOUND for one that is not the tenant’s. Needs scaimind:cluster_admin.',
    args: { keyId: t.arg.id({ required: true, description: 'The key, by its id.' }) },
    resolve: (_root, { keyId }, { operations, caller }) => operations.apiKeys.revoke(caller, keyId),
  }),
)
