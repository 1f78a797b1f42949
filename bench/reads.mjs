import { join } from 'node:path'
import { cpuMs, median, rounded, spread } from './support/figures.mjs'
import { prepare } from './support/packages.mjs'

const connections = 10
const clients = 32
const rounds = 5
const roundMs = 3000
const jobCount = 100_000
const tenantCount = 20
const hotTenant = 7
const query =
  'query ($after: String) { jobs(first: 20, after: $after) { nodes { jobId name status userId contentHash createdAt startedAt finishedAt } pageInfo { endCursor hasNextPage } } }'
const base64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** The list of jobs, by us and by what others would write: cold, and again and again while its jobs change. */
export async function measure() {
  prepare()
  const { benchServer } = await import('./support/database.mjs')
  const { startApi, startLoad, startServer } = await import('./support/processes.mjs')
  const { startStubCoordinator } = await import('./support/stub-coordinator.mjs')
  const { fillJobs, makeKeys, tenantName } = await import('./support/jobs.mjs')
  const { watchAnswers } = await import('./support/watch-answers.mjs')

  const server = await benchServer()
  const running = []
  const keep = (started) => {
    running.push(started)
    return started
  }
  try {
    const databaseUrl = await server.database('api')
    process.stderr.write(`Making ${jobCount} jobs …\n`)
    await fillJobs(databaseUrl, { jobs: jobCount, tenants: tenantCount })
    const keys = await makeKeys(databaseUrl, tenantCount)
    const stub = keep(await startStubCoordinator())
    const env = { BENCH_PEER: JSON.stringify({ databaseUrl, connections }) }
    const peer = async (name) => keep(await startServer(join(import.meta.dirname, `peers/${name}.mjs`), { env }))
    const servers = {
      raw: await peer('raw'),
      apollo: await peer('apollo'),
      mercurius: await peer('mercurius'),
      ours: keep(
        await startApi({
          DATABASE_URL: databaseUrl,
          SCAIMIND_GRPC_PORT: String(stub.port),
          SCAIMIND_API_SECRET: 'bench-secret-0123456789',
        }),
      ),
    }
    const load = keep(startLoad())

    const bearer = (tenant) => ({ authorization: `Bearer ${keys[tenant]}` })
    const places = await somePlaces(databaseUrl)
    /** The request for a page, as each server is asked. */
    const asks = {
      raw: (tenant, place) => ({ body: JSON.stringify({ tenant: tenantName(tenant), after: place && base64(place) }) }),
      apollo: (tenant, place) => ({
        headers: { 'x-tenant': tenantName(tenant) },
        body: JSON.stringify({ query, variables: { after: place && base64(place) } }),
      }),
      ours: (tenant, place) => ({
        headers: bearer(tenant),
        body: JSON.stringify({ query, variables: { after: place && base64(['created_at', true, ...place]) } }),
      }),
    }
    asks.mercurius = asks.apollo
    await sendTheSame(servers, asks, places[0])

    const cold = Object.fromEntries(
      Object.entries(asks).map(([name, ask]) => [name, places.map(({ tenant, place }) => ask(tenant, place))]),
    )
    const kinds = {
      raw: { at: servers.raw, requests: cold.raw },
      ours: { at: servers.ours, requests: cold.ours },
      apollo: { at: servers.apollo, requests: cold.apollo },
      mercurius: { at: servers.mercurius, requests: cold.mercurius },
      floor: { at: servers.ours, requests: [{ headers: bearer(0), body: '{"query":"{__typename}"}' }], expect: '"__typename"' },
      // Not plain enough for the short way: what Yoga itself costs.
      yoga: {
        at: servers.ours,
        requests: [{ path: '/graphql?', headers: bearer(0), body: '{"query":"{__typename}"}' }],
        expect: '"__typename"',
      },
      hot_raw: { at: servers.raw, requests: [asks.raw(hotTenant)], isHot: true },
      hot_ours: { at: servers.ours, requests: [asks.ours(hotTenant)], isHot: true },
    }
    const run = async ({ at, requests, expect = '"hasNextPage"' }, durationMs) => {
      const before = cpuMs(at.pid)
      const figures = await load.run({ port: at.port, requests, connections: clients, durationMs, expect })
      return { ...figures, cpuUs: ((cpuMs(at.pid) - before) * 1000) / figures.count }
    }
    for (const kind of Object.values(kinds)) await run(kind, 1500)

    const found = Object.fromEntries(Object.keys(kinds).map((name) => [name, []]))
    const watched = { answers: 0, stale: 0, changes: 0 }
    for (let round = 1; round <= rounds; round++) {
      process.stderr.write(`Round ${round} of ${rounds} …\n`)
      const changing = await watchAnswers({
        url: `http://127.0.0.1:${servers.ours.port}/graphql`,
        headers: bearer(hotTenant),
        body: asks.ours(hotTenant).body,
        stub,
        databaseUrl,
        tenant: tenantName(hotTenant),
        perSecond: 10,
      })
      for (const [name, kind] of Object.entries(kinds)) if (kind.isHot) found[name].push(await run(kind, roundMs))
      const { answers, stale, changes } = await changing.stop()
      watched.answers += answers
      watched.stale += stale
      watched.changes += changes
      for (const [name, kind] of Object.entries(kinds)) if (!kind.isHot) found[name].push(await run(kind, roundMs))
    }
    return figuresOf(found, watched)
  } finally {
    for (const one of running.reverse()) await one.stop()
    await server.stop()
  }
}

function figuresOf(found, watched) {
  const perSecond = (name) => median(found[name].map((figures) => figures.perSecond))
  const cpu = (name) => median(found[name].map((figures) => figures.cpuUs))
  // Of the same round, so that what else the machine does weighs on both.
  const ratio = (name, to) => rounded(median(found[name].map((figures, round) => figures.perSecond / found[to][round].perSecond)))
  return {
    ratio_to_raw: ratio('ours', 'raw'),
    ratio_to_apollo: ratio('ours', 'apollo'),
    ratio_to_mercurius: ratio('ours', 'mercurius'),
    floor: ratio('floor', 'raw'),
    yoga_floor: ratio('yoga', 'raw'),
    hot_ratio_to_raw: ratio('hot_ours', 'hot_raw'),
    stale_answers: watched.stale,
    watched_answers: watched.answers,
    watched_changes: watched.changes,
    cpu_ratio_to_raw: rounded(cpu('raw') / cpu('ours')),
    raw_spread: rounded(spread(found.raw.map((figures) => figures.perSecond))),
    ...Object.fromEntries(Object.keys(found).map((name) => [`${name}_per_second`, Math.round(perSecond(name))])),
    ...Object.fromEntries(Object.keys(found).map((name) => [`${name}_p50_ms`, rounded(median(found[name].map(({ p50 }) => p50)))])),
    ...Object.fromEntries(Object.keys(found).map((name) => [`${name}_cpu_us`, Math.round(cpu(name))])),
  }
}

/** Places all over the lists of all tenants, each asked for once in many seconds. */
async function somePlaces(databaseUrl) {
  const { connect, parseDatabaseUrl } = await import('../dist/database/connect.js')
  const connection = await connect(parseDatabaseUrl(databaseUrl, 'the benchmark'), 'the benchmark')
  try {
    const rows = await connection.query('SELECT tenant_id, job_id, created_at FROM job ORDER BY MD5(job_id) LIMIT 30000')
    return rows.map((row) => ({ tenant: Number(row.tenant_id.slice(-2)), place: [row.created_at, row.job_id] }))
  } finally {
    await connection.end()
  }
}

/** Throws where the servers do not send the same jobs. */
async function sendTheSame(servers, asks, { tenant, place }) {
  const answers = await Promise.all(
    Object.entries(servers).map(async ([name, { port }]) => {
      const { headers, body } = asks[name](tenant, place)
      const response = await fetch(`http://127.0.0.1:${port}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body,
      })
      const { data } = await response.json()
      return [name, JSON.stringify([data?.jobs.nodes, data?.jobs.pageInfo.hasNextPage])]
    }),
  )
  const [, expected] = answers.find(([name]) => name === 'raw')
  for (const [name, answer] of answers)
    if (answer !== expected) throw new Error(`${name} sends something else than raw:\n${answer}\n${expected}`)
}
