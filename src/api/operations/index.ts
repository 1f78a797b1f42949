import { type ClusterParts, clusterOperations } from './cluster.js'
import type { ClusterOperations } from './cluster-types.js'
import type { JobOperations } from './job-types.js'
import { type JobParts, jobOperations } from './jobs.js'

/** Every use case; GraphQL and REST both call these. */
export interface Operations {
  jobs: JobOperations
  cluster: Pick<ClusterOperations, 'cluster' | 'nodes' | 'node' | 'queue'>
}

/** Puts the use cases together from the parts that they work on. */
export function createOperations(parts: JobParts & ClusterParts): Operations {
  return { jobs: jobOperations(parts), cluster: clusterOperations(parts) }
}
