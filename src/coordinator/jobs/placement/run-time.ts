import type { Progress__Output } from '../../../generated/proto/scaimind/v1/Progress.js'
import type { Database } from '../records/database.js'
import { type JobRecord, placementOf, specOf } from '../records/record.js'
import type { Spec } from '../records/spec.js'

/** How much is to be read in training. */
export interface Work {
  totalSteps: number
  records: number
  tokens: number
}

const lookedAtMax = 300
const countedMax = 5

/**
 * Seconds that a job would train, by the pace of the tenant's newest completed jobs of the same model and training type; null where there is none, or where
 * the work is not known.
 */
export async function estimateRunSeconds(database: Database, tenantId: string, spec: Spec, work: Work): Promise<number | null> {
  const tokens = tokensToRead(spec, work)
  if (tokens === 0) return null
  const { base_model: model, training_type: trainingType } = spec.training_config
  const newest = await database.job.findMany({
    where: { tenantId, status: 'COMPLETED', trainingType, isEvaluation: false, progress: { not: null } },
    orderBy: { finishedAt: 'desc' },
    take: lookedAtMax,
    include: { attempts: true },
  })
  const paces = newest
    .filter((job) => specOf(job).training_config.base_model.model_id === model.model_id)
    .slice(0, countedMax)
    .flatMap((job) => paceOf(job) ?? [])
    .sort((a, b) => a - b)
  const pace = paces[Math.floor(paces.length / 2)]
  return pace === undefined ? null : tokens / (pace * Math.max(1, spec.resource_config.gpu_count))
}

/** Tokens over all steps: rows hold a record each, or are filled where they are packed. Pure. */
export function tokensToRead(
  { data_config: data, training_config: { hyperparameters } }: Spec,
  { totalSteps, records, tokens }: Work,
): number {
  if (totalSteps === 0 || records === 0) return 0
  const rows = totalSteps * data.batch_size * data.gradient_accumulation_steps
  const record = tokens / records
  const longest = data.max_seq_length || Number.POSITIVE_INFINITY
  const isPacked = hyperparameters.packing === 'true' && data.max_seq_length > 0
  return rows * (isPacked ? longest : Math.min(record, longest))
}

/** Tokens a second and GPU (or, without GPUs, of the whole job). */
function paceOf(job: JobRecord): number | null {
  const seen = Number((JSON.parse(job.progress ?? '{}') as Partial<Progress__Output>).tokens_seen ?? 0)
  let seconds = 0
  for (const attempt of job.attempts) {
    if (!attempt.startedAt || !attempt.finishedAt) continue
    const gpus = placementOf(attempt).reduce((sum, { gpuIndexes }) => sum + gpuIndexes.length, 0)
    seconds += (Math.max(1, gpus) * (attempt.finishedAt.getTime() - attempt.startedAt.getTime())) / 1000
  }
  return seen > 0 && seconds > 0 ? seen / seconds : null
}
