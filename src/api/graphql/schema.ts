import './scalars.js'
import './nouns/viewer.js'
import './nouns/api-key.js'
import './nouns/cluster.js'
import './nouns/cluster-control.js'
import './nouns/job-queries.js'
import './nouns/job-mutations.js'
import './nouns/job-subscriptions.js'
import './nouns/job-blockers.js'
import './nouns/job-bulk.js'
import './nouns/job-checkpoints.js'
import './nouns/job-compare.js'
import './nouns/job-content.js'
import './nouns/job-lineage.js'
import './nouns/job-plan.js'
import './nouns/job-retention.js'
import './nouns/evaluation-queries.js'
import './nouns/evaluation-mutations.js'
import './nouns/model-artefact.js'
import './nouns/registered-model.js'
import './nouns/dataset.js'
import './nouns/data.js'
import type { GraphQLSchema } from 'graphql'
import { builder } from './builder.js'
import { withExamples } from './examples.js'

/** The GraphQL schema. Building it has no side effects, so that it can be printed without a server. */
export const schema: GraphQLSchema = Object.assign(withExamples(builder.toSchema()), {
  description:
    'ScaiMind, the training control plane: submit training jobs, watch them live, control and compare them, evaluate their models, and run the cluster that they train on. Every operation but introspection needs an API key or a token in the Authorization header.',
})
