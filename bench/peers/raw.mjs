// A plain server: node:http, the driver, JSON.stringify. It sends the fields that the others are asked for, and knows no schema, no keys and no limits.
import { createServer } from 'node:http'
import { createPool } from 'mariadb'

const { databaseUrl, connections } = JSON.parse(process.env.BENCH_PEER)
const at = new URL(databaseUrl)
const pool = createPool({
  host: at.hostname,
  port: Number(at.port),
  user: at.username,
  password: at.password,
  database: at.pathname.slice(1),
  connectionLimit: connections,
  prepareCacheLength: 0,
  timezone: 'Z',
})

const columns = 'job_id, name, status, user_id, content_hash, created_at, started_at, finished_at'
const list = `SELECT ${columns} FROM job WHERE tenant_id = ? AND is_evaluation = FALSE AND is_archived = FALSE`
const order = 'ORDER BY created_at DESC, job_id DESC LIMIT 21'

async function answer({ tenant, after }) {
  const [time, id] = after ? JSON.parse(Buffer.from(after, 'base64url').toString()) : []
  const rows = after
    ? await pool.query(`${list} AND (created_at < ? OR (created_at = ? AND job_id < ?)) ${order}`, [
        tenant,
        new Date(time),
        new Date(time),
        id,
      ])
    : await pool.query(`${list} ${order}`, [tenant])
  const shown = rows.slice(0, 20)
  const nodes = shown.map((row) => ({
    jobId: row.job_id,
    name: row.name,
    status: row.status,
    userId: row.user_id,
    contentHash: row.content_hash,
    createdAt: row.created_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
  }))
  const last = shown.at(-1)
  const endCursor = last ? Buffer.from(JSON.stringify([last.created_at, last.job_id])).toString('base64url') : null
  return { data: { jobs: { nodes, pageInfo: { endCursor, hasNextPage: rows.length > 20 } } } }
}

const server = createServer((request, response) => {
  let body = ''
  request.setEncoding('utf8')
  request.on('data', (chunk) => {
    body += chunk
  })
  request.on('end', async () => {
    try {
      const text = JSON.stringify(await answer(JSON.parse(body)))
      response.writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'content-length': Buffer.byteLength(text) }).end(text)
    } catch (error) {
      response.writeHead(500).end(String(error))
    }
  })
})
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
