import './scalars.js'
import './viewer.js'
import './api-key.js'
import './cluster.js'
import './cluster-control.js'
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
import './evaluation-queries.js'
import './evaluation-mutations.js'
import './model-artefact.js'
import './dataset.js'
import './data.js'
import type { GraphQLSchema } from 'graphql'
import { builder } from './builder.js'
import { withExamples } from './examples.js'

/** The GraphQL schema. Building it has no side effects, so that it can be printed without a server. */
export const schema: GraphQLSchema = Object.assign(withExamples(builder.toSchema()), {
  description:
    'ScaiMind, the training control plane: submit training jobs, watch them live, control and compare them, evaluate their models, and run the cluster that they train on. Every operation but introspection needs an API key or a token in the Authorization header.',
})
