import { fromTimestamp } from '../../contract/proto.js'
import type { Job__Output } from '../../generated/proto/scaimind/v1/Job.js'

/** A job as a row of the cache: its document, and what lists filter and order by. */
export function toRow(job: Job__Output, syncedAt: Date) {
  return {
    jobId: job.job_id,
    tenantId: job.tenant_id,
    revision: BigInt(job.revision),
    userId: job.user_id,
    name: job.name.slice(0, 255),
    status: job.status as string,
    trainingType: said(job.training_config?.training_type) ?? '',
    framework: said(job.training_config?.framework?.type) ?? 'HF_TRAINER',
    baseModel: (job.training_config?.base_model?.model_id ?? '').slice(0, 500),
    queue: (job.scheduling_config?.queue ?? '').slice(0, 64),
    priority: job.training_config?.priority ?? 5,
    message: job.message,
    gpuSeconds: Number.isFinite(job.gpu_seconds) ? job.gpu_seconds : 0,
    contentHash: job.content_hash,
    isEvaluation: isEvaluation(job.labels),
    evaluatesJobId: job.evaluation?.job_id ?? '',
    isArchived: Boolean(job.archived_at),
    hasOutput: Boolean(job.output),
    createdAt: createdAt(job, syncedAt),
    startedAt: fromTimestamp(job.started_at),
    finishedAt: fromTimestamp(job.finished_at),
    updatedAt: fromTimestamp(job.updated_at) ?? createdAt(job, syncedAt),
    syncedAt,
    document: JSON.stringify(job),
  }
}

/** A word of an enum; what was not said is none, and evaluations say no training type. */
const said = (word: string | undefined): string | undefined => (word?.endsWith('_UNSPECIFIED') ? undefined : word)

const createdAt = (job: Job__Output, syncedAt: Date) => fromTimestamp(job.created_at) ?? syncedAt

/** The labels of a job as rows; what is longer than the columns is cut, for the document has it whole. */
export const labelRows = (job: Job__Output, syncedAt: Date) =>
  Object.entries(job.labels).map(([key, value]) => ({ ...ownerOf(job, syncedAt), key: key.slice(0, 128), value: value.slice(0, 255) }))

/** The nodes that any attempt of a job ran on as rows. */
export const nodeRows = (job: Job__Output, syncedAt: Date) =>
  [...new Set([...job.attempts.flatMap(({ nodes }) => nodes), ...job.nodes])].map((nodeId) => ({
    ...ownerOf(job, syncedAt),
    nodeId: nodeId.slice(0, 255),
  }))

const ownerOf = (job: Job__Output, syncedAt: Date) => ({
  jobId: job.job_id,
  tenantId: job.tenant_id,
  createdAt: createdAt(job, syncedAt),
})

/** Evaluations are jobs with this label; job lists leave them out unless it is asked for. */
export const isEvaluation = (labels: Readonly<Record<string, string>> | undefined): boolean => labels?.type === 'evaluation'
