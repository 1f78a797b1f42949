// Mercurius on Fastify, each query compiled on its first use.
import Fastify from 'fastify'
import mercurius from 'mercurius'
import { resolvers, typeDefs } from './prisma-jobs.mjs'

const app = Fastify({ logger: false })
app.register(mercurius, { schema: typeDefs, resolvers, jit: 1, context: (request) => ({ tenant: request.headers['x-tenant'] }) })
await app.listen({ port: 0, host: '127.0.0.1' })
process.send({ port: app.server.address().port })
