import { type Connection, createConnection, type SqlError } from 'mariadb'

/** A database that cannot be used; the message is one line and names the setting to change. */
export class DatabaseUnusable extends Error {}

/** Where a database is, as its URL says it. The name is undefined where the URL has no path. */
export interface DatabaseAddress {
  host: string
  port: number
  user: string
  password: string
  name: string | undefined
}

/**
 * Takes `mysql://user:password@host:port/name` apart. `setting` is the name of the setting that holds it, for the message
 * when it is not such a URL.
 */
export function parseDatabaseUrl(url: string, setting: string): DatabaseAddress {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !['mysql:', 'mariadb:'].includes(parsed.protocol) || parsed.hostname === '') {
    throw new DatabaseUnusable(`${setting} is not a database URL; it looks like mysql://user:password@host:3306/name.`)
  }
  const name = decodeURIComponent(parsed.pathname.slice(1))
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, ''),
    port: parsed.port === '' ? 3306 : Number(parsed.port),
    user: decodeURIComponent(parsed.username),
    password: decodeURIComponent(parsed.password),
    name: name === '' ? undefined : name,
  }
}

/** Opens one connection, or throws DatabaseUnusable with one line that names the setting. */
export async function connect(address: DatabaseAddress, setting: string, timeoutMs = 5000): Promise<Connection> {
  try {
    return await createConnection({
      host: address.host,
      port: address.port,
      user: address.user,
      password: address.password,
      ...(address.name === undefined ? {} : { database: address.name }),
      connectTimeout: timeoutMs,
      multipleStatements: true,
      timezone: 'Z',
    })
  } catch (error) {
    throw new DatabaseUnusable(`${setting}: ${explain(address, error)}`, { cause: error })
  }
}

/** Resolves when the database answers a query; otherwise throws DatabaseUnusable. */
export async function checkDatabase(url: string, setting: string): Promise<void> {
  const connection = await connect(parseDatabaseUrl(url, setting), setting)
  try {
    await connection.query('SELECT 1')
  } finally {
    await connection.end()
  }
}

/** The error code that MariaDB or the socket gave, such as ER_ACCESS_DENIED_ERROR or ECONNREFUSED. */
export function sqlErrorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

function explain(address: DatabaseAddress, error: unknown): string {
  const where = `${address.host}:${address.port}`
  switch (sqlErrorCode(error)) {
    case 'ECONNREFUSED':
      return `no database answers at ${where} (connection refused).`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `there is no host called ${address.host}.`
    case 'ER_SOCKET_TIMEOUT':
    case 'ER_CONNECTION_TIMEOUT':
    case 'ETIMEDOUT':
      return `the database at ${where} did not answer in time.`
    case 'ER_ACCESS_DENIED_ERROR':
    case 'ER_ACCESS_DENIED_NO_PASSWORD_ERROR':
      return `the database at ${where} refuses user ${JSON.stringify(address.user)} with this password.`
    case 'ER_DBACCESS_DENIED_ERROR':
      return `user ${JSON.stringify(address.user)} may not use database ${JSON.stringify(address.name)} at ${where}.`
    case 'ER_BAD_DB_ERROR':
      return `there is no database ${JSON.stringify(address.name)} at ${where}; \`scaimind migrate\` creates it where the user may.`
    default:
      return `the database at ${where} cannot be used: ${firstLine(error)}`
  }
}

function firstLine(error: unknown): string {
  const message = error instanceof Error ? ((error as SqlError).sqlMessage ?? error.message) : String(error)
  return message.split('\n')[0] ?? ''
}
