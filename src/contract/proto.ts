import { fileURLToPath } from 'node:url'
import { loadPackageDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import type { ProtoGrpcType as ClusterTypes } from '../generated/proto/cluster.js'
import type { ProtoGrpcType as DataTypes } from '../generated/proto/data.js'
import type { ProtoGrpcType as EvaluationTypes } from '../generated/proto/evaluations.js'
import type { Timestamp__Output } from '../generated/proto/google/protobuf/Timestamp.js'
import type { ProtoGrpcType as JobTypes } from '../generated/proto/jobs.js'
import type { ProtoGrpcType as ModelTypes } from '../generated/proto/models.js'

const protoFolder = fileURLToPath(new URL('../../proto/', import.meta.url))

/** The package definition of `scaimind.v1`: names as in the proto files, 64-bit integers and enums as strings, defaults filled in. */
export const packageDefinition = loadSync(
  ['jobs', 'evaluations', 'cluster', 'data', 'models'].map((file) => `scaimind/v1/${file}.proto`),
  { includeDirs: [protoFolder], keepCase: true, longs: String, enums: String, defaults: true, oneofs: true },
)

/** The services of `scaimind.v1`, as constructors of clients that also carry the service definitions. */
export const scaimindV1 = (
  loadPackageDefinition(packageDefinition) as unknown as JobTypes & EvaluationTypes & ClusterTypes & DataTypes & ModelTypes
).scaimind.v1

/** A time as protobuf holds it. */
export function toTimestamp(time: Date): Timestamp__Output {
  const ms = time.getTime()
  const seconds = Math.floor(ms / 1000)
  return { seconds: String(seconds), nanos: (ms - seconds * 1000) * 1e6 }
}

/** A protobuf time as a Date; null where it is unset. */
export function fromTimestamp(time: { seconds?: unknown; nanos?: number | undefined } | null | undefined): Date | null {
  return time ? new Date(Number(time.seconds ?? 0) * 1000 + (time.nanos ?? 0) / 1e6) : null
}
