import { type Client, createClient } from 'graphql-ws'
import WebSocket from 'ws'
import { CommandFailed } from '../failure.js'

const pauseMs = 300
const giveUpAfterMs = 60_000

/** A connection for subscriptions. Lost connections are for the reader of a stream to resume, so the client itself does not retry. */
export function subscriptionClient(url: string, key: string): Client {
  return createClient({
    url,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${key}` },
    retryAttempts: 0,
    lazyCloseTimeout: 1000,
  })
}

/**
 * Reads a subscription to its end. When the connection is lost, it subscribes again after the last cursor, so that every message comes
 * exactly once.
 */
export async function* follow<Message extends { cursor?: string | null }>(
  client: Client,
  query: string,
  variables: Record<string, unknown>,
): AsyncGenerator<Message, void, undefined> {
  let after: string | undefined
  let lostSince: number | undefined
  for (;;) {
    const messages = client.iterate<{ message: Message }>({ query, variables: { ...variables, after } })
    try {
      for await (const { data, errors } of messages) {
        if (errors?.[0]) throw new CommandFailed(errors.map(({ message }) => message).join('; '))
        if (!data) continue
        lostSince = undefined
        after = data.message.cursor ?? after
        yield data.message
      }
      return
    } catch (error) {
      if (error instanceof CommandFailed || isRefusal(error)) throw error
      lostSince ??= Date.now()
      if (Date.now() - lostSince > giveUpAfterMs) throw new CommandFailed('The API has not answered for a minute.', { cause: error })
      await new Promise((done) => setTimeout(done, pauseMs))
    }
  }
}

/** What the server refused it refuses again: GraphQL errors, and close codes of the protocol other than "try again". */
function isRefusal(error: unknown): boolean {
  if (Array.isArray(error)) return true
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
  return typeof code === 'number' && code >= 4400 && code < 4500
}
