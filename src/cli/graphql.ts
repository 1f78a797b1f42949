import { CommandFailed, UsageError } from './failure.js'
import type { ServerAddress } from './job/server.js'

interface GraphqlAnswer<T> {
  data?: T | null
  errors?: { message: string; path?: (string | number)[]; extensions?: { code?: string } }[]
}

/** One GraphQL request over HTTP. Throws UsageError where the request itself is refused, CommandFailed for any other fault. */
export async function graphqlRequest<T>({ url, key }: ServerAddress, query: string, variables: Record<string, unknown> = {}): Promise<T> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({ query, variables }),
  }).catch(() => {
    throw new CommandFailed(`Nothing answers at ${url}. Does \`scaimind up\` run?`)
  })
  const answer = (await response.json().catch(() => ({}))) as GraphqlAnswer<T>
  const problem = answer.errors?.[0]
  if (problem) {
    const text = `${problem.message}${problem.extensions?.code ? ` (${problem.extensions.code})` : ''}`
    // Wrong variables are refused before anything runs, and then name the field.
    throw answer.data == null && problem.path === undefined ? new UsageError(text) : new CommandFailed(text)
  }
  if (answer.data == null) throw new CommandFailed(`The server answered ${response.status} ${response.statusText}.`)
  return answer.data
}
