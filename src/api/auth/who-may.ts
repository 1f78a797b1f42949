import { Failure } from '../../contract/failure.js'
import type { Permission } from './permissions.js'
import type { Viewer } from './viewer.js'

/** Who may do one thing, and the doors to it. */
interface UseCase {
  /** One of these is enough; none: everybody who is known. */
  needs: readonly Permission[]
  /** Root fields of the GraphQL schema. */
  graphql: readonly string[]
  /** Routes below `/v1/modules/scaimind`. */
  rest: readonly string[]
}

const view = ['scaimind:view'] as const
const manage = ['scaimind:manage'] as const
const evaluate = ['scaimind:evaluate'] as const
const viewOrEvaluate = ['scaimind:view', 'scaimind:evaluate'] as const
const clusterAdmin = ['scaimind:cluster_admin'] as const

/** The one table of who may do what. Every root field and every route is in it once; each use case asks it before anything else. */
export const whoMay = {
  whoAmI: { needs: [], graphql: ['Query.viewer'], rest: [] },
  /** By global id; each type asks for what it needs itself. */
  findNode: { needs: [], graphql: ['Query.node', 'Query.nodes'], rest: [] },

  readJobs: {
    needs: view,
    graphql: ['Query.job', 'Query.jobs', 'Query.compareJobs', 'Query.modelArtefact', 'Query.modelArtefacts'],
    rest: ['GET /jobs', 'GET /jobs/{id}', 'GET /jobs/{id}/metrics', 'GET /jobs/{id}/checkpoints', 'GET /jobs/{id}/events'],
  },
  followJobs: {
    needs: view,
    graphql: ['Subscription.jobUpdated', 'Subscription.jobsUpdated', 'Subscription.jobMetrics', 'Subscription.jobLogs'],
    rest: ['GET /jobs/{id}/logs', 'GET /jobs/{id}/metrics/stream'],
  },
  submitJob: { needs: manage, graphql: ['Mutation.submitJob'], rest: ['POST /jobs'] },
  planJob: { needs: manage, graphql: ['Query.planJob'], rest: [] },
  controlJobs: {
    needs: manage,
    graphql: [
      'Mutation.cancelJob',
      'Mutation.pauseJob',
      'Mutation.resumeJob',
      'Mutation.retryJob',
      'Mutation.updateJob',
      'Mutation.archiveJob',
      'Mutation.cancelJobs',
      'Mutation.updateJobs',
    ],
    rest: ['POST /jobs/{id}/cancel', 'POST /jobs/{id}/pause', 'POST /jobs/{id}/resume', 'POST /jobs/{id}/retry'],
  },
  retainJobs: { needs: manage, graphql: ['Query.retentionPlan', 'Mutation.applyRetention'], rest: [] },

  readEvaluations: {
    needs: viewOrEvaluate,
    graphql: ['Query.evaluation', 'Query.evaluations', 'Query.compareEvaluations', 'Subscription.evaluationUpdated'],
    rest: ['GET /evaluations', 'GET /evaluations/{id}'],
  },
  evaluate: {
    needs: evaluate,
    graphql: ['Mutation.submitEvaluation', 'Mutation.cancelEvaluation'],
    rest: ['POST /evaluations', 'POST /evaluations/{id}/cancel'],
  },

  readCluster: {
    needs: view,
    graphql: [
      'Query.cluster',
      'Query.clusterNode',
      'Query.clusterNodes',
      'Query.queue',
      'Subscription.clusterNodesUpdated',
      'Subscription.queueUpdated',
    ],
    rest: ['GET /cluster', 'GET /nodes', 'GET /nodes/{id}', 'GET /queue'],
  },
  controlNodes: {
    needs: clusterAdmin,
    graphql: ['Mutation.drainNode', 'Mutation.enableNode'],
    rest: ['POST /nodes/{id}/drain', 'POST /nodes/{id}/enable'],
  },

  readDatasets: { needs: view, graphql: ['Query.dataset', 'Query.datasets'], rest: ['GET /datasets', 'GET /datasets/{id}'] },
  uploadDataset: { needs: manage, graphql: ['Mutation.uploadDataset'], rest: ['POST /datasets'] },
  validateData: { needs: manage, graphql: ['Query.validateData'], rest: ['POST /data/validate'] },
  readDataCache: { needs: manage, graphql: ['Query.dataCache'], rest: ['GET /data/cache'] },
  prefetchData: { needs: manage, graphql: ['Mutation.prefetchDataset'], rest: ['POST /data/cache/{id}'] },
  evictData: { needs: clusterAdmin, graphql: ['Mutation.evictDataset'], rest: ['DELETE /data/cache/{id}'] },

  readModels: { needs: view, graphql: ['Query.registeredModel', 'Query.registeredModels'], rest: [] },
  deleteModels: { needs: manage, graphql: ['Mutation.deleteRegisteredModel'], rest: [] },

  /** Keys of one's own tenant; only administrators of it hold all four permissions. */
  manageKeys: { needs: clusterAdmin, graphql: ['Query.apiKeys', 'Mutation.createApiKey', 'Mutation.revokeApiKey'], rest: [] },
} as const satisfies Record<string, UseCase>

/** A row of the table. */
export type UseCaseName = keyof typeof whoMay

/** Throws AUTHZ_PERMISSION_DENIED unless the viewer may. */
export function allow(viewer: Viewer, useCase: UseCaseName): void {
  const needs: readonly Permission[] = whoMay[useCase].needs
  if (needs.length === 0 || needs.some((permission) => viewer.permissions.has(permission))) return
  throw new Failure('AUTHZ_PERMISSION_DENIED', `This needs the permission ${needs.join(' or ')}, which the caller does not hold.`)
}

const useCaseOfRoute = new Map(
  Object.entries(whoMay).flatMap(([useCase, { rest }]) => rest.map((route) => [route as string, useCase as UseCaseName] as const)),
)

/** The same for a route, such as `POST /jobs`, so that who may not is told so before their request is read. */
export function allowRoute(viewer: Viewer, route: string): void {
  const useCase = useCaseOfRoute.get(route)
  if (useCase) allow(viewer, useCase)
}
