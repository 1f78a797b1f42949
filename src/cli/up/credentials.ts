import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** What `scaimind up` keeps for itself and for the commands that are run beside it; only the owner can read it. */
export interface Credentials {
  /** An API key with every permission; absent until the database has one. */
  api_key?: string
  /** What the API shows to the coordinator. */
  api_secret: string
  /** Where the API listens, or listened last. */
  url?: string
}

/** Reads the credentials of a data folder. Undefined where none were made yet. */
export function readCredentials(dataDir: string): Credentials | undefined {
  const path = pathIn(dataDir)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Credentials) : undefined
}

/** Reads the credentials of a data folder, or makes a new secret. */
export function readOrCreateCredentials(dataDir: string): Credentials {
  const present = readCredentials(dataDir)
  if (present !== undefined) return present
  const created = { api_secret: randomBytes(32).toString('base64url') }
  writeCredentials(dataDir, created)
  return created
}

/** Replaces the file in one step. */
export function writeCredentials(dataDir: string, credentials: Credentials): void {
  const path = pathIn(dataDir)
  writeFileSync(`${path}.tmp`, `${JSON.stringify(credentials, null, 2)}\n`, { mode: 0o600 })
  renameSync(`${path}.tmp`, path)
}

function pathIn(dataDir: string): string {
  return join(dataDir, 'credentials.json')
}
