import { resolve } from 'node:path'
import { databaseUrls } from '../config.js'
import { privateServerUrl } from '../database/private-server.js'

/** The API's database of the `scaimind up` that runs on this data folder. Undefined where it has no private server. */
export function localDatabaseUrl(dataDir: string): string | undefined {
  const server = privateServerUrl(resolve(dataDir))
  return server === undefined ? undefined : databaseUrls({ DATABASE_URL: server }).api
}
