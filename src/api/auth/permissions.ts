/** The four permission keys. */
export const permissions = ['scaimind:view', 'scaimind:manage', 'scaimind:evaluate', 'scaimind:cluster_admin'] as const
/** What a caller may be allowed to do. */
export type Permission = (typeof permissions)[number]

/** The default roles and what they hold. `tenant_user` holds nothing: training costs money, so it is granted. */
export const roles = {
  super_admin: permissions,
  partner_admin: permissions,
  tenant_admin: permissions,
  tenant_user: [],
  tenant_viewer: ['scaimind:view'],
} as const satisfies Record<string, readonly Permission[]>
/** A default role. */
export type Role = keyof typeof roles

/** Whether a word is a permission key. */
export const isPermission = (word: string): word is Permission => (permissions as readonly string[]).includes(word)
/** Whether a word is the name of a role. */
export const isRole = (word: string): word is Role => Object.hasOwn(roles, word)

/** What roles and permissions that were granted directly allow together. */
export function permissionsOf(held: readonly Role[], direct: readonly Permission[]): ReadonlySet<Permission> {
  return new Set([...held.flatMap((role): readonly Permission[] => roles[role]), ...direct])
}

/** Reads a key's grants: role names and permission keys, separated by spaces. Words that are neither come back as `unknown`. */
export function parseGrants(text: string): { roles: Role[]; permissions: ReadonlySet<Permission>; unknown: string[] } {
  const words = text.split(/\s+/).filter(Boolean)
  const held = words.filter(isRole)
  return {
    roles: held,
    permissions: permissionsOf(held, words.filter(isPermission)),
    unknown: words.filter((word) => !isRole(word) && !isPermission(word)),
  }
}
