import { connect, parseDatabaseUrl } from '../../dist/database/connect.js'

/**
 * Changes the newest jobs of a tenant so many times a second, by events of the coordinator, and reads the tenant's list meanwhile: an answer is stale
 * where it shows a job older than the API itself had told on a subscription before it was asked.
 */
export async function watchAnswers({ url, headers, body, stub, databaseUrl, tenant, perSecond }) {
  const connection = await connect(parseDatabaseUrl(databaseUrl, 'the benchmark'), 'the benchmark')
  const rows = await connection.query('SELECT document FROM job WHERE tenant_id = ? ORDER BY created_at DESC, job_id DESC LIMIT 20', [
    tenant,
  ])
  await connection.end()
  const jobs = rows.map(({ document }) => JSON.parse(document))
  const told = new Map()
  const seen = { answers: 0, stale: 0, changes: 0 }
  const stop = new AbortController()
  const json = { 'content-type': 'application/json', ...headers }
  const revisionOf = (name) => Number(/ r(\d+)$/.exec(name)?.[1] ?? 0)

  async function listen() {
    const subscription = JSON.stringify({ query: 'subscription { jobsUpdated { job { jobId name } } }' })
    const response = await fetch(url, {
      method: 'POST',
      headers: { ...json, accept: 'text/event-stream' },
      body: subscription,
      signal: stop.signal,
    })
    let rest = ''
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      const frames = (rest + chunk).split('\n\n')
      rest = frames.pop() ?? ''
      for (const frame of frames) {
        const data = /^data: (.+)$/m.exec(frame)?.[1]
        const job = data && JSON.parse(data).data?.jobsUpdated.job
        if (job) told.set(job.jobId, revisionOf(job.name))
      }
    }
  }

  async function read() {
    while (!stop.signal.aborted) {
      const before = new Map(told)
      const response = await fetch(url, { method: 'POST', headers: json, body, signal: stop.signal })
      const { data } = await response.json()
      seen.answers++
      if (data.jobs.nodes.some(({ jobId, name }) => revisionOf(name) < (before.get(jobId) ?? 0))) seen.stale++
      await new Promise((done) => setTimeout(done, 2))
    }
  }

  let turn = 0
  const timer = setInterval(() => {
    const job = jobs[turn++ % jobs.length]
    job.revision = String(Number(job.revision) + 1)
    job.name = job.name.replace(/( r\d+)?$/, ` r${job.revision}`)
    seen.changes++
    stub.tell(job)
  }, 1000 / perSecond)
  const unlessStopped = (error) => {
    if (!stop.signal.aborted) throw error
  }
  const working = Promise.all([listen().catch(unlessStopped), read().catch(unlessStopped)])
  return {
    async stop() {
      clearInterval(timer)
      stop.abort()
      await working
      return seen
    },
  }
}
