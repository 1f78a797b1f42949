import { connect, createServer, type Server, type Socket } from 'node:net'
import { runInNewContext, Script } from 'node:vm'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { graphiqlScript } from '../../src/api/graphql/door/graphiql-script.js'
import { type Api, startApi } from '../../src/api/server.js'
import { readApiConfig } from '../../src/config.js'
import { type ApiUnderTest, eventually, graphql, startApiUnderTest } from '../support/api.js'

let under: ApiUnderTest

beforeAll(async () => {
  under = await startApiUnderTest()
})
afterAll(() => under?.close())

const startAnother = (databaseUrl: string): Promise<Api> =>
  startApi(
    readApiConfig({
      DATABASE_URL: databaseUrl,
      SCAIMIND_PORT: '0',
      SCAIMIND_GRPC_PORT: String(under.stub.port),
      SCAIMIND_API_SECRET: under.stub.secret,
      SCAIMIND_LOG_LEVEL: 'silent',
    }),
  )

/** A way to the database that can be cut. */
async function cable(to: URL): Promise<{ url: string; cut(): void; mend(): void; close(): void }> {
  const sockets = new Set<Socket>()
  let isCut = false
  const server: Server = createServer((socket) => {
    if (isCut) return void socket.destroy()
    const other = connect(Number(to.port), to.hostname)
    for (const end of [socket, other]) {
      sockets.add(end)
      end
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(end)
          socket.destroy()
          other.destroy()
        })
    }
    socket.pipe(other).pipe(socket)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as { port: number }
  const cut = () => {
    isCut = true
    for (const socket of sockets) socket.destroy()
  }
  return {
    url: Object.assign(new URL(to), { hostname: '127.0.0.1', port: String(port) }).href,
    cut,
    mend: () => {
      isCut = false
    },
    close: () => {
      cut()
      server.close()
    },
  }
}

describe('Several instances and their database', () => {
  it('a job that one instance submitted is read from the other at once', async () => {
    const other = await startAnother(under.databaseUrl)
    const tenant = await under.tenant()
    const { job_id } = under.stub.addJob(tenant.id)
    for (let round = 0; round < 5; round++) {
      const priority = `mutation ($id: ID!, $p: Int) { updateJob(jobId: $id, priority: $p) { __typename } }`
      await tenant.graphql(priority, { id: job_id, p: round })
      const { data } = await graphql(other.url, tenant.key, `{ jobs { nodes { trainingConfig { priority } } } }`)
      expect(data.jobs.nodes).toEqual([{ trainingConfig: { priority: round } }])
    }
    await other.close()
  })

  it('without the database a known key goes on, what needs the database says so, and all is well when it is back', async () => {
    const way = await cable(new URL(under.databaseUrl))
    const api = await startAnother(way.url)
    const tenant = await under.tenant()
    const stranger = await under.tenant()
    const { job_id } = under.stub.addJob(tenant.id, { name: 'before' })
    const ask = (key: string, query: string) => graphql(api.url, key, query)
    const names = async () => (await ask(tenant.key, '{ jobs { nodes { name stale } } }')).data?.jobs?.nodes?.[0]?.name
    await eventually(names, (name) => name === 'before')
    way.cut()
    const list = await ask(tenant.key, '{ jobs { nodes { name } } }')
    expect(list.errors?.[0]?.extensions).toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    expect(list.errors?.[0]?.extensions.retryAfterSeconds).toBeGreaterThan(0)
    expect((await ask(stranger.key, '{ viewer { userId } }')).errors?.[0]?.extensions.code).toBe('DATABASE_UNAVAILABLE')
    const paused = await ask(tenant.key, `mutation { pauseJob(jobId: "${job_id}") { ... on PauseJobSuccess { job { status } } } }`)
    expect(paused.data.pauseJob.job.status).toBe('PAUSED')
    expect((await fetch(`${api.url}/health`)).status).toBe(503)
    under.stub.change(job_id, { name: 'meanwhile' })
    way.mend()
    await eventually(names, (name) => name === 'meanwhile')
    await api.close()
    way.close()
  })
})

describe('The page', () => {
  it('tells subscriptions from other operations', () => {
    // A page of the browser, as far as the script looks at it.
    const page = {
      location: { href: 'http://x/graphql', hash: '', pathname: '/graphql', search: '' },
      document: { querySelector: () => null },
      URL,
      YogaGraphiQL: { renderYogaGraphiQL() {} },
    }
    new Script(graphiqlScript)
    const isSubscription = runInNewContext(`${graphiqlScript}; isSubscription`, page) as (query: string, name?: string) => boolean
    expect(isSubscription('{ viewer { userId } }')).toBe(false)
    expect(isSubscription('subscription { jobsUpdated { cursor } }')).toBe(true)
    const both = 'query A { viewer { userId } }\n# subscription C {\nsubscription B($id: ID!) { jobUpdated(jobId: $id) { cursor } }'
    expect([isSubscription(both, 'A'), isSubscription(both, 'B')]).toEqual([false, true])
  })
})
