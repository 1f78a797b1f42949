import type { ClusterOperations } from './cluster-types.js'
export type ClusterParts = object
export declare function clusterOperations(parts: ClusterParts): ClusterOperations
