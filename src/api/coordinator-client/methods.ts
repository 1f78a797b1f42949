import type { MethodDefinition } from '@grpc/proto-loader'
import { scaimindV1 } from '../../contract/proto.js'
import type { ClusterServiceDefinition } from '../../generated/proto/scaimind/v1/ClusterService.js'
import type { CoordinatorServiceDefinition } from '../../generated/proto/scaimind/v1/CoordinatorService.js'

type Definitions = CoordinatorServiceDefinition & ClusterServiceDefinition
type Named<T> = { [K in keyof T as string extends K ? never : K]: T[K] }

/** A method of the coordinator. */
export type Method = keyof Named<Definitions> & string
/** What a method takes. */
export type RequestOf<M extends Method> = Definitions[M] extends MethodDefinition<infer Q, infer _R, infer _P, infer _S> ? Q : never
/** What a method answers, or what its stream is made of. */
export type ResponseOf<M extends Method> = Definitions[M] extends MethodDefinition<infer _Q, infer _R, infer _P, infer S> ? S : never

const definitions = { ...scaimindV1.CoordinatorService.service, ...scaimindV1.ClusterService.service } as Definitions

/** How a method's messages are written and read. */
export function methodOf<M extends Method>(method: M): MethodDefinition<RequestOf<M>, unknown, unknown, ResponseOf<M>> {
  return definitions[method] as unknown as MethodDefinition<RequestOf<M>, unknown, unknown, ResponseOf<M>>
}

const reads = new Set<Method>([
  'GetJob',
  'BatchGetJobs',
  'ListJobs',
  'ListCheckpoints',
  'BatchListCheckpoints',
  'BatchGetLatestMetrics',
  'PlanRetention',
  'GetJobMetrics',
  'ReadJobLogs',
  'GetCluster',
  'ListNodes',
  'GetNode',
  'GetQueue',
])

/** Whether a call may be sent again when its answer was lost: it reads, it carries an idempotency key, or it changes nothing. */
export function isRepeatable(method: Method, request: { idempotency_key?: string; dry_run?: boolean }): boolean {
  return reads.has(method) || Boolean(request.idempotency_key) || request.dry_run === true
}
