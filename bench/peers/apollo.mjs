// Apollo Server on its own HTTP server, in production mode, without its usage and landing-page plugins.
import { ApolloServer } from '@apollo/server'
import { ApolloServerPluginLandingPageDisabled } from '@apollo/server/plugin/disabled'
import { startStandaloneServer } from '@apollo/server/standalone'
import { resolvers, typeDefs } from './prisma-jobs.mjs'

const server = new ApolloServer({ typeDefs, resolvers, csrfPrevention: false, plugins: [ApolloServerPluginLandingPageDisabled()] })
const { url } = await startStandaloneServer(server, {
  listen: { port: 0, host: '127.0.0.1', path: '/graphql' },
  context: async ({ req }) => ({ tenant: req.headers['x-tenant'] }),
})
process.send({ port: Number(new URL(url).port) })
