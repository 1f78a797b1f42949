import { type Command, InvalidArgumentError } from 'commander'
import type { ApiKeyRow } from '../api/auth/api-keys.js'
import { databaseUrls } from '../config.js'
import { Failure } from '../contract/failure.js'
import { isTenantId, type TenantId } from '../contract/ids.js'
import { checkDatabase } from '../database/connect.js'
import { withApiKeys } from './api-keys.js'
import { CommandFailed, UsageError } from './failure.js'
import { localDatabaseUrl } from './local-database.js'

interface CreateOptions {
  tenant: TenantId
  user: string
  name: string
  grant: string[]
  expires?: Date
  json?: boolean
}

/** `scaimind keys` and its subcommands, which work on the database itself: they need no server and no key. */
export function addKeys(program: Command): void {
  const keys = program
    .command('keys')
    .description('make, list and revoke API keys')
    .addHelpText('after', '\nThe database is DATABASE_URL, else the one of the `scaimind up` that runs in this folder.')

  keys
    .command('create')
    .description('make a key; this is the only time that it is shown')
    .requiredOption('--tenant <id>', 'the tenant that it belongs to', parseTenant)
    .requiredOption('--user <id>', 'the user that it acts for')
    .option('--name <text>', 'what it is for', 'made by scaimind keys')
    .option('--grant <role-or-permission...>', 'what it may do', ['tenant_admin'])
    .option('--expires <time>', 'when it stops working: a date, or days from now such as 30d', parseExpiry)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Roles: super_admin, partner_admin, tenant_admin, tenant_viewer, tenant_user.
Permissions: scaimind:view, scaimind:manage, scaimind:evaluate, scaimind:cluster_admin.

Examples:
  scaimind keys create --tenant acme --user ada
  scaimind keys create --tenant acme --user ci --grant scaimind:view scaimind:manage --expires 30d`,
    )
    .action(async ({ tenant, user, name, grant, expires, json }: CreateOptions) => {
      const created = await withKeys((store) =>
        store.create({ tenantId: tenant, userId: user, name, grants: grant, expiresAt: expires ?? null }).catch((error: unknown) => {
          throw error instanceof Failure && error.code === 'VALIDATION_ERROR' ? new UsageError(`--grant: ${error.message}`) : error
        }),
      )
      process.stdout.write(json ? `${JSON.stringify({ ...toJson(created), key: created.key })}\n` : `${created.key}\n`)
      if (!json) process.stderr.write(`This is ${created.keyId}; the key itself is not shown again.\n`)
    })

  keys
    .command('list')
    .description('list keys, newest first')
    .option('--tenant <id>', "only this tenant's", parseTenant)
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  scaimind keys list --tenant acme')
    .action(async ({ tenant, json }: { tenant?: TenantId; json?: boolean }) => {
      const rows = await withKeys((store) => store.list(tenant))
      process.stdout.write(json ? `${JSON.stringify({ keys: rows.map(toJson) })}\n` : render(rows))
    })

  keys
    .command('revoke')
    .description('end a key; it stops working within a second')
    .argument('<key-id>', 'as `scaimind keys list` shows it')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  scaimind keys revoke key_01kab…')
    .action(async (keyId: string, { json }: { json?: boolean }) => {
      const isRevoked = await withKeys((store) => store.revoke(keyId))
      if (!isRevoked) throw new CommandFailed(`There is no key ${JSON.stringify(keyId)} that works; \`scaimind keys list\` shows them.`)
      process.stdout.write(json ? `${JSON.stringify({ key_id: keyId, revoked: true })}\n` : `${keyId} is revoked.\n`)
    })
}

async function withKeys<T>(work: Parameters<typeof withApiKeys<T>>[1]): Promise<T> {
  const url = databaseUrls(process.env).api || localDatabaseUrl(process.env.SCAIMIND_DATA_DIR || '.scaimind')
  if (!url) throw new UsageError('No database: set DATABASE_URL (mysql://user:password@host:3306), or start one here with `scaimind up`.')
  await checkDatabase(url, 'DATABASE_URL')
  return await withApiKeys(url, work)
}

function toJson(row: ApiKeyRow) {
  return {
    key_id: row.keyId,
    tenant_id: row.tenantId,
    user_id: row.userId,
    name: row.name,
    prefix: row.prefix,
    grants: row.grants.split(' '),
    created_at: row.createdAt,
    expires_at: row.expiresAt,
    revoked_at: row.revokedAt,
    last_used_at: row.lastUsedAt,
  }
}

function render(rows: ApiKeyRow[]): string {
  if (rows.length === 0) return 'No keys.\n'
  return rows
    .map((row) => `${[row.keyId, row.tenantId, row.userId, `${row.prefix}…`, stateOf(row), row.grants, row.name].join('  ')}\n`)
    .join('')
}

function stateOf({ revokedAt, expiresAt }: ApiKeyRow): string {
  if (revokedAt) return `revoked ${revokedAt.toISOString()}`
  if (!expiresAt) return 'works'
  return `${expiresAt.getTime() < Date.now() ? 'expired' : 'works until'} ${expiresAt.toISOString()}`
}

function parseTenant(text: string): TenantId {
  if (!isTenantId(text)) throw new InvalidArgumentError('It is 1 to 64 letters, digits, - or _, beginning with a letter or digit.')
  return text
}

function parseExpiry(text: string): Date {
  const days = /^(\d+)d$/.exec(text)?.[1]
  const time = days === undefined ? new Date(text) : new Date(Date.now() + Number(days) * 86_400_000)
  if (Number.isNaN(time.getTime()) || time.getTime() < Date.now())
    throw new InvalidArgumentError('It is a time to come, such as 2030-01-31, or days such as 30d.')
  return time
}
