import { toTimestamp } from '../../../contract/proto.js'
import { type AttemptCause, isActive, type JobStatus, type JobWanted, jobStatuses } from '../../../contract/statuses.js'
import type { Attempt, Job } from '../../../generated/prisma/coordinator/client.js'
import type { Attempt__Output } from '../../../generated/proto/scaimind/v1/Attempt.js'
import type { DataHash__Output } from '../../../generated/proto/scaimind/v1/DataHash.js'
import type { EvaluationRun__Output } from '../../../generated/proto/scaimind/v1/EvaluationRun.js'
import type { FinalEvaluation__Output } from '../../../generated/proto/scaimind/v1/FinalEvaluation.js'
import type { Job__Output } from '../../../generated/proto/scaimind/v1/Job.js'
import type { JobFailure__Output } from '../../../generated/proto/scaimind/v1/JobFailure.js'
import type { ModelArtefact__Output } from '../../../generated/proto/scaimind/v1/ModelArtefact.js'
import type { Progress__Output } from '../../../generated/proto/scaimind/v1/Progress.js'
import type { TrainerCode__Output } from '../../../generated/proto/scaimind/v1/TrainerCode.js'
import type { Placement } from '../../engines/engine.js'
import { availableActions } from './lifecycle.js'
import { maskEnvironment, type Spec } from './spec.js'

/** A job with its attempts, oldest first, as the database has them. */
export type JobRecord = Job & { attempts: Attempt[] }

/** The database's words, read as ours. Only the lifecycle writes them. */
export const statusOf = (job: Pick<Job, 'status'>): JobStatus => jobStatuses.find((status) => status === job.status) ?? 'PENDING'
export const wantedOf = (job: Pick<Job, 'wanted'>): JobWanted => job.wanted as JobWanted
export const specOf = (job: Pick<Job, 'spec'>): Spec => JSON.parse(job.spec) as Spec
export const placementOf = (attempt: Pick<Attempt, 'placement'>): Placement[] =>
  (JSON.parse(attempt.placement) as StoredPlacement[]).map((slot) => ({
    nodeId: slot.node_id,
    gpuIndexes: slot.gpu_indexes,
    cpus: slot.cpus,
    memoryBytes: slot.memory_bytes,
  }))

interface StoredPlacement {
  node_id: string
  gpu_indexes: number[]
  cpus: number
  memory_bytes: number
}

/** A placement as the attempt's row holds it. */
export function storePlacement(placement: Placement[]): string {
  const slots: StoredPlacement[] = placement.map(({ nodeId, gpuIndexes, cpus, memoryBytes }) => ({
    node_id: nodeId,
    gpu_indexes: gpuIndexes,
    cpus,
    memory_bytes: memoryBytes,
  }))
  return JSON.stringify(slots)
}

/** The attempt that the job's status speaks of; null before the first. */
export const currentAttempt = (job: JobRecord): Attempt | null => job.attempts.find(({ number }) => number === job.attempt) ?? null

/** Whether processes of the job may be alive, or an engine may yet start some: then nothing ends it but their proven death. */
export const holdsProcesses = ({ attempts }: JobRecord): boolean => attempts.some(({ finishedAt }) => finishedAt === null)

/** The job as `scaimind.v1` has it. `now` counts the GPU seconds of an attempt that still runs. */
export function toJobMessage(job: JobRecord, now: Date): Job__Output {
  const { training_config, data_config, resource_config, output_config, scheduling_config } = specOf(job)
  const status = statusOf(job)
  const wanted = wantedOf(job)
  const current = currentAttempt(job)
  return {
    job_id: job.jobId,
    tenant_id: job.tenantId,
    revision: String(job.revision),
    user_id: job.userId,
    status,
    message: job.message,
    name: job.name,
    labels: JSON.parse(job.labels) as Record<string, string>,
    training_config: { ...maskEnvironment(training_config), priority: job.priority },
    data_config,
    resource_config,
    output_config,
    scheduling_config,
    progress: parse<Progress__Output>(job.progress),
    queue_position: 0,
    created_at: toTimestamp(job.createdAt),
    started_at: job.startedAt && toTimestamp(job.startedAt),
    finished_at: job.finishedAt && toTimestamp(job.finishedAt),
    updated_at: toTimestamp(job.updatedAt),
    attempts: job.attempts.map(toAttemptMessage),
    available_actions: availableActions({ status, wanted }),
    failure: parse<JobFailure__Output>(job.failure),
    output: parse<ModelArtefact__Output>(job.output),
    final_evaluation: parse<FinalEvaluation__Output>(job.finalEvaluation),
    wanted,
    content_hash: job.contentHash,
    unreachable: job.unreachable,
    unreachable_since: job.unreachableSince && toTimestamp(job.unreachableSince),
    unreachable_reason: job.unreachableReason,
    gpu_seconds: gpuSeconds(job.attempts, now),
    nodes: current && isActive(status) ? nodesOf(current) : [],
    blockers: [],
    estimated_start: null,
    archived_at: job.archivedAt && toTimestamp(job.archivedAt),
    data_hashes: parse<DataHash__Output[]>(job.dataHashes) ?? [],
    code: parse<TrainerCode__Output>(job.code),
    evaluation: parse<EvaluationRun__Output>(job.evaluation),
  }
}

/** Node ids that an attempt was placed on. */
export const nodesOf = (attempt: Attempt): string[] => placementOf(attempt).map(({ nodeId }) => nodeId)

function toAttemptMessage(attempt: Attempt): Attempt__Output {
  return {
    number: attempt.number,
    cause: attempt.cause as AttemptCause,
    nodes: nodesOf(attempt),
    started_at: attempt.startedAt && toTimestamp(attempt.startedAt),
    finished_at: attempt.finishedAt && toTimestamp(attempt.finishedAt),
    ...(attempt.exitCode === null ? {} : { exit_code: attempt.exitCode }),
    signal: attempt.signal,
    from_checkpoint: attempt.fromCheckpoint ?? '',
  }
}

function gpuSeconds(attempts: Attempt[], now: Date): number {
  let total = 0
  for (const attempt of attempts) {
    if (!attempt.startedAt) continue
    const gpus = placementOf(attempt).reduce((sum, { gpuIndexes }) => sum + gpuIndexes.length, 0)
    total += (gpus * Math.max(0, (attempt.finishedAt ?? now).getTime() - attempt.startedAt.getTime())) / 1000
  }
  return total
}

function parse<Message>(json: string | null): Message | null {
  return json === null ? null : (JSON.parse(json) as Message)
}
