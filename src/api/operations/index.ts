import { type ApiKeyOperations, type ApiKeyParts, apiKeyOperations } from './api-keys.js'
import type { ArtefactOperations } from './artefact-types.js'
import { artefactOperations } from './artefacts.js'
import { type ClusterParts, clusterOperations } from './cluster.js'
import type { ClusterOperations } from './cluster-types.js'
import { dataOperations } from './data.js'
import type { DataOperations } from './data-types.js'
import type { EvaluationOperations } from './evaluation-types.js'
import { type EvaluationParts, evaluationOperations } from './evaluations.js'
import type { JobParts } from './job-parts.js'
import type { JobOperations } from './job-types.js'
import { jobOperations } from './jobs.js'
import type { ModelOperations } from './model-types.js'
import { modelOperations } from './models.js'

/** Every use case; GraphQL and REST both call these. */
export interface Operations {
  jobs: JobOperations
  evaluations: EvaluationOperations
  artefacts: ArtefactOperations
  cluster: ClusterOperations
  data: DataOperations
  models: ModelOperations
  apiKeys: ApiKeyOperations
}

/** Puts the use cases together from the parts that they work on. */
export function createOperations(parts: JobParts & EvaluationParts & ClusterParts & ApiKeyParts): Operations {
  const jobs = jobOperations(parts)
  return {
    jobs,
    evaluations: evaluationOperations(parts),
    artefacts: artefactOperations({ ...parts, jobs }),
    cluster: clusterOperations(parts),
    data: dataOperations(parts),
    models: modelOperations(parts),
    apiKeys: apiKeyOperations(parts),
  }
}
