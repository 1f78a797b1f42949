import { permissions, roles } from '../auth/permissions.js'
import type { Viewer } from '../auth/viewer.js'
import { builder } from './builder.js'

const ViewerRef = builder.objectRef<Viewer>('Viewer').implement({
  description: 'Who asks: the API key, its user, and what it may do.',
  fields: (t) => ({
    tenantId: t.exposeString('tenantId', { description: 'The tenant that everything is scoped to.' }),
    userId: t.exposeString('userId', { description: 'The user that the key belongs to.' }),
    keyId: t.exposeID('keyId', { description: 'The key.' }),
    keyName: t.exposeString('keyName', { description: 'The name of the key.' }),
    roles: t.stringList({
      description: `Roles that the key holds, of ${Object.keys(roles).join(', ')}.`,
      resolve: (viewer) => [...viewer.roles],
    }),
    permissions: t.stringList({
      description: `What the key may do, of ${permissions.join(', ')}.`,
      resolve: (viewer) => permissions.filter((permission) => viewer.permissions.has(permission)),
    }),
  }),
})

builder.queryField('viewer', (t) =>
  t.field({ type: ViewerRef, description: 'Who asks.', resolve: (_root, _args, { caller }) => caller.viewer }),
)
