import { rounded } from './support/figures.mjs'
import { prepare } from './support/packages.mjs'

const pageSize = 10
const query = `query ($after: String) {
  jobs(first: ${pageSize}, after: $after) { nodes { jobId name status userId contentHash createdAt startedAt finishedAt } pageInfo { endCursor hasNextPage } }
}`

/** The first and the hundredth page of a list among 1,000 jobs of one tenant and among 1,000,000 of twenty: milliseconds of a page that nobody asked for before. */
export async function measure() {
  prepare()
  const { benchServer } = await import('./support/database.mjs')
  const { httpClient, medians } = await import('./support/client.mjs')
  const { fillJobs, makeKeys } = await import('./support/jobs.mjs')
  const { startApi } = await import('./support/processes.mjs')
  const { startStubCoordinator } = await import('./support/stub-coordinator.mjs')
  const server = await benchServer()
  const running = []
  try {
    const stub = await startStubCoordinator()
    running.push(stub)
    let asked = 0

    /** The ways to the two pages of a database with so many jobs. */
    async function pages(name, jobs, tenants) {
      const databaseUrl = await server.database('api', name)
      process.stderr.write(`Making ${jobs} jobs …\n`)
      await fillJobs(databaseUrl, { jobs, tenants })
      const keys = await makeKeys(databaseUrl, tenants)
      const api = await startApi({
        DATABASE_URL: databaseUrl,
        SCAIMIND_GRPC_PORT: String(stub.port),
        SCAIMIND_API_SECRET: 'bench-secret-0123456789',
      })
      running.push(api)
      const clients = keys.map((key) => httpClient(api.port, { authorization: `Bearer ${key}` }))
      for (const client of clients) running.push({ stop: () => client.close() })
      // A variable that nobody reads makes each request another, so that none is answered from memory.
      const read = async (tenant, after) => {
        const { data } = await clients[tenant].post('/graphql', JSON.stringify({ query, variables: { after, asked: ++asked } }))
        if (data.jobs.nodes.length !== pageSize) throw new Error(`A page of ${data.jobs.nodes.length} jobs.`)
        return data.jobs.pageInfo.endCursor
      }
      const places = []
      for (let tenant = 0; tenant < tenants; tenant++) {
        let after = null
        for (let page = 1; page < 100; page++) after = await read(tenant, after)
        places.push(after)
      }
      const tenantOf = (turn) => (turn + 1000) % tenants
      return {
        [`first_${name}`]: (turn) => read(tenantOf(turn), null),
        [`hundredth_${name}`]: (turn) => read(tenantOf(turn), places[tenantOf(turn)]),
      }
    }

    const ways = { ...(await pages('1k', 1000, 1)), ...(await pages('1m', 1_000_000, 20)) }
    const p50 = await medians(ways, { turns: 1000, warm: 300 })
    const [first, hundredth] = ['first', 'hundredth'].map((page) => p50[`${page}_1m`] / p50[`${page}_1k`])
    return {
      ratio_1m_to_1k: rounded(Math.max(first, hundredth)),
      first_ratio: rounded(first),
      hundredth_ratio: rounded(hundredth),
      ...Object.fromEntries(Object.entries(p50).map(([name, ms]) => [`${name}_p50_ms`, rounded(ms)])),
    }
  } finally {
    for (const one of running.reverse()) await one.stop()
    await server.stop()
  }
}
