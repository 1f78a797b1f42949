import './scalars.js'
import './viewer.js'
import './cluster.js'
import './job-queries.js'
import './job-mutations.js'
import './job-subscriptions.js'
import './job-blockers.js'
import './job-bulk.js'
import './job-checkpoints.js'
import './job-compare.js'
import './job-content.js'
import './job-lineage.js'
import './job-plan.js'
import './job-retention.js'
import type { GraphQLSchema } from 'graphql'
import { builder } from './builder.js'

/** The GraphQL schema. Building it has no side effects, so that it can be printed without a server. */
export const schema: GraphQLSchema = builder.toSchema()
