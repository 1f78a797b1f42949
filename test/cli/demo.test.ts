import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildSchema } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import { follow, subscriptionClient } from '../../src/cli/demo/follow.js'
import { countJournal } from '../../src/cli/demo/journal.js'

const closers: (() => unknown)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

const query = 'subscription ($after: Int) { message: counted(after: $after) { cursor } }'

/** A server that counts to `end`, and loses every connection after three messages. */
async function unreliableServer(end: number): Promise<string> {
  const http = createServer().listen(0, '127.0.0.1')
  await once(http, 'listening')
  const sockets = new WebSocketServer({ server: http })
  closers.push(
    () => sockets.close(),
    () => http.close(),
    () => http.closeAllConnections(),
  )
  useServer(
    {
      schema: buildSchema('type Query { a: Int } type Counted { cursor: Int! } type Subscription { counted(after: Int): Counted! }'),
      roots: {
        subscription: {
          counted: async function* ({ after = 0 }: { after?: number }) {
            for (let cursor = after + 1; cursor <= end; cursor++) {
              if (cursor > after + 3) {
                for (const socket of sockets.clients) socket.terminate()
                return
              }
              yield { counted: { cursor } }
            }
          },
        },
      },
      onConnect: ({ connectionParams }) => connectionParams?.authorization === 'Bearer right',
    },
    sockets,
  )
  return `ws://127.0.0.1:${(http.address() as AddressInfo).port}`
}

describe('a subscription of the demo', () => {
  it('brings every message once over lost connections', async () => {
    const client = subscriptionClient(await unreliableServer(8), 'right')
    closers.push(() => client.dispose())
    const cursors: unknown[] = []
    for await (const { cursor } of follow<{ cursor: string }>(client, query, {})) cursors.push(cursor)
    expect(cursors).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  })

  it('stops at once where the server refuses the key', async () => {
    const client = subscriptionClient(await unreliableServer(8), 'wrong')
    closers.push(() => client.dispose())
    await expect(follow(client, query, {}).next()).rejects.toMatchObject({ code: 4403 })
  })
})

it('a journal is counted over all attempts and ranks, by whole lines', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'scaimind-journal-'))
  closers.push(() => rmSync(folder, { recursive: true, force: true }))
  const write = (attempt: string, file: string, text: string) => {
    mkdirSync(join(folder, 'attempts', attempt), { recursive: true })
    writeFileSync(join(folder, 'attempts', attempt, file), text)
  }
  write('1', 'metrics.jsonl', '{}\n{}\n{"cut')
  write('1', 'logs.0.jsonl', '{}\n')
  write('1', 'logs.1.jsonl', '{}\n{}\n')
  write('2', 'metrics.jsonl', '{}\n')
  expect(await countJournal(folder)).toEqual({ metrics: 3, logLines: 3 })
})
