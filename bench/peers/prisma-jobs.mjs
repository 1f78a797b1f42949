// What Apollo Server and Mercurius answer with: a schema of the same fields, and one Prisma query that reads only their columns.
import { PrismaMariaDb } from '@prisma/adapter-mariadb'
import { PrismaClient } from '../../dist/generated/prisma/api/client.js'

export const { databaseUrl, connections } = JSON.parse(process.env.BENCH_PEER)

export const typeDefs = `
  scalar DateTime
  type Query { jobs(first: Int, after: String): JobConnection! }
  type JobConnection { nodes: [Job!]! pageInfo: PageInfo! }
  type PageInfo { endCursor: String hasNextPage: Boolean! }
  type Job {
    jobId: ID! name: String! status: String! userId: String! contentHash: String
    createdAt: DateTime startedAt: DateTime finishedAt: DateTime
  }`

const at = new URL(databaseUrl)
const adapter = new PrismaMariaDb({
  host: at.hostname,
  port: Number(at.port),
  user: at.username,
  password: at.password,
  database: at.pathname.slice(1),
  connectionLimit: connections,
})
const prisma = new PrismaClient({ adapter })
const select = {
  jobId: true,
  name: true,
  status: true,
  userId: true,
  contentHash: true,
  createdAt: true,
  startedAt: true,
  finishedAt: true,
}

export const resolvers = {
  Query: {
    async jobs(_root, { first, after }, { tenant: tenantId }) {
      const [time, id] = after ? JSON.parse(Buffer.from(after, 'base64url').toString()) : []
      const beyond = after ? { OR: [{ createdAt: { lt: new Date(time) } }, { createdAt: new Date(time), jobId: { lt: id } }] } : {}
      const where = { tenantId, isEvaluation: false, isArchived: false, ...beyond }
      const rows = await prisma.job.findMany({ where, select, orderBy: [{ createdAt: 'desc' }, { jobId: 'desc' }], take: first + 1 })
      const nodes = rows.slice(0, first)
      const last = nodes.at(-1)
      const endCursor = last ? Buffer.from(JSON.stringify([last.createdAt, last.jobId])).toString('base64url') : null
      return { nodes, pageInfo: { endCursor, hasNextPage: rows.length > first } }
    },
  },
}
