import type { MethodDefinition } from '@grpc/proto-loader'
import { scaimindV1 } from '../../contract/proto.js'
import type { ClusterServiceDefinition } from '../../generated/proto/scaimind/v1/ClusterService.js'
import type { CoordinatorServiceDefinition } from '../../generated/proto/scaimind/v1/CoordinatorService.js'
import type { DataServiceDefinition } from '../../generated/proto/scaimind/v1/DataService.js'
import type { EvaluationServiceDefinition } from '../../generated/proto/scaimind/v1/EvaluationService.js'
import type { ModelServiceDefinition } from '../../generated/proto/scaimind/v1/ModelService.js'

type Definitions = CoordinatorServiceDefinition &
  EvaluationServiceDefinition &
  ClusterServiceDefinition &
  DataServiceDefinition &
  ModelServiceDefinition
type Named<T> = { [K in keyof T as string extends K ? never : K]: T[K] }

/** A method of the coordinator. */
export type Method = keyof Named<Definitions> & string
/** What a method takes. */
export type RequestOf<M extends Method> = Definitions[M] extends MethodDefinition<infer Q, infer _R, infer _P, infer _S> ? Q : never
/** What a method answers, or what its stream is made of. */
export type ResponseOf<M extends Method> = Definitions[M] extends MethodDefinition<infer _Q, infer _R, infer _P, infer S> ? S : never

const { CoordinatorService, EvaluationService, ClusterService, DataService, ModelService } = scaimindV1
const definitions = {
  ...CoordinatorService.service,
  ...EvaluationService.service,
  ...ClusterService.service,
  ...DataService.service,
  ...ModelService.service,
} as Definitions

/** How a method's messages are written and read. */
export function methodOf<M extends Method>(method: M): MethodDefinition<RequestOf<M>, unknown, unknown, ResponseOf<M>> {
  return definitions[method] as unknown as MethodDefinition<RequestOf<M>, unknown, unknown, ResponseOf<M>>
}

// What only reads, and what a second time changes nothing.
const repeatable = new Set<Method>([
  'GetJob',
  'BatchGetJobs',
  'ListJobs',
  'ListCheckpoints',
  'BatchListCheckpoints',
  'GetJobMetrics',
  'BatchGetLatestMetrics',
  'ReadJobLogs',
  'ListJobEvents',
  'PlanRetention',
  'ArchiveJob',
  'GetEvaluation',
  'ListEvaluations',
  'GetCluster',
  'ListNodes',
  'GetNode',
  'DrainNode',
  'ForecastDrain',
  'EnableNode',
  'GetQueue',
  'GetDataset',
  'ListDatasets',
  'ValidateSources',
  'ListDataCache',
  'GetRegisteredModel',
  'ListRegisteredModels',
])

/** Whether a call may be sent again when its answer was lost: it reads, it carries an idempotency key, or it changes nothing. */
export function isRepeatable(method: Method, request: { idempotency_key?: string; dry_run?: boolean }): boolean {
  return repeatable.has(method) || Boolean(request.idempotency_key) || request.dry_run === true
}
