import { permissions, roles } from '../../auth/permissions.js'
import { credentialKinds, type Viewer } from '../../auth/viewer.js'
import { builder } from '../builder.js'

const CredentialEnum = builder.enumType('Credential', {
  description: 'What a request was signed in with.',
  values: Object.fromEntries(
    credentialKinds.map((kind) => [kind, { description: { API_KEY: 'An API key, `sgk_…`.', JWT: 'A token of ScaiKey.' }[kind] }]),
  ) as Record<Viewer['credential'], { description: string }>,
})

const ViewerRef = builder.objectRef<Viewer>('Viewer').implement({
  description: 'Who asks: the API key or token, its user, and what it may do.',
  fields: (t) => ({
    tenantId: t.exposeString('tenantId', {
      description: 'The tenant that everything is scoped to: the caller’s own, or the one that `x-scaigrid-tenant` chose.',
    }),
    userId: t.exposeString('userId', { description: 'The user that the key or token belongs to.' }),
    credential: t.expose('credential', { type: CredentialEnum, description: 'What the request was signed in with.' }),
    keyId: t.exposeID('keyId', { nullable: true, description: 'The API key; null for a token.' }),
    keyName: t.exposeString('keyName', { nullable: true, description: 'The name of the API key; null for a token.' }),
    expiresAt: t.expose('expiresAt', {
      type: 'DateTime',
      nullable: true,
      description: 'When the key or token stops working, and its open streams end; null for a key that does not expire.',
    }),
    roles: t.stringList({
      description: `Roles that the caller holds, of ${Object.keys(roles).join(', ')}.`,
      resolve: (viewer) => [...viewer.roles],
    }),
    permissions: t.stringList({
      description: `What the caller may do, by role or granted directly, of ${permissions.join(', ')}.`,
      resolve: (viewer) => permissions.filter((permission) => viewer.permissions.has(permission)),
    }),
  }),
})

builder.queryField('viewer', (t) =>
  t.field({
    type: ViewerRef,
    description: 'Who asks. Needs no permission; AUTH_TOKEN_MISSING without a key or token.',
    resolve: (_root, _args, { caller }) => caller.viewer,
  }),
)
