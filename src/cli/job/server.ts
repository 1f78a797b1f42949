import { type Command, Option } from 'commander'
import { UsageError } from '../failure.js'
import { readCredentials } from '../up/credentials.js'

/** The options that say where the API is and who asks. */
export interface ServerOptions {
  server?: string
  key?: string
}

/** Where requests go, and the key that they carry. */
export interface ServerAddress {
  /** Scheme, host and port, without a path. */
  url: string
  key: string
}

/** Adds --server and --key to a command. */
export function withServer(command: Command): Command {
  return command
    .addOption(new Option('--server <url>', 'where the API is').env('SCAIMIND_URL'))
    .addOption(new Option('--key <key>', 'API key; better in the environment, where it is in no process list').env('SCAIMIND_API_KEY'))
}

/**
 * What was asked for, else what a `scaimind up` in this folder (or in SCAIMIND_DATA_DIR) wrote down. Its key is sent to its own address only.
 * Throws UsageError naming what is missing.
 */
export function findServer({ server, key }: ServerOptions, env: Record<string, string | undefined> = process.env): ServerAddress {
  const local = readCredentials(env.SCAIMIND_DATA_DIR || '.scaimind')
  const url = server === undefined ? local?.url : originOf(server)
  if (url === undefined)
    throw new UsageError('No server: start one here with `scaimind up`, or say where it is with --server URL or SCAIMIND_URL.')
  const usable = key ?? (url === local?.url ? local.api_key : undefined)
  if (usable === undefined)
    throw new UsageError(`No API key for ${url}: give one with SCAIMIND_API_KEY or --key; \`scaimind keys create\` makes one.`)
  return { url, key: usable }
}

function originOf(text: string): string {
  const parsed = URL.canParse(text) ? new URL(text) : undefined
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol))
    throw new UsageError(`--server: ${JSON.stringify(text)} is not a URL; it looks like http://127.0.0.1:8080.`)
  // The addresses that `up` prints for GraphQL and REST are accepted as they are; behind a proxy the API may have a path of its own.
  return `${parsed.origin}${parsed.pathname.replace(/\/(graphql|v1\/modules\/scaimind)?\/?$/, '')}`
}
