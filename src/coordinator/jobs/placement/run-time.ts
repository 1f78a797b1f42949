import type { Progress__Output } from '../../../generated/proto/scaimind/v1/Progress.js'
import { defaultFor, hfDefaults } from '../fields/defaults.js'
import type { Database } from '../records/database.js'
import { type JobRecord, placementOf, specOf } from '../records/record.js'
import { processesOf, type Spec } from '../records/spec.js'

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
export function tokensToRead(spec: Spec, { totalSteps, records, tokens }: Work): number {
  if (totalSteps === 0 || records === 0) return 0
  const record = tokens / records
  const longest = spec.data_config.max_seq_length || Number.POSITIVE_INFINITY
  return totalSteps * rowsOfAStep(spec) * (isPacked(spec) && Number.isFinite(longest) ? longest : Math.min(record, longest))
}

/**
 * Optimizer steps by the usual reckoning, for a trainer that is not asked: max_steps, else what so many records are in the epochs, less those that are held
 * out; 0 where it is not known. Pure.
 */
export function estimateSteps(spec: Spec, { records, tokens }: Omit<Work, 'totalSteps'>): number {
  const { training_config: training, data_config: data } = spec
  const given = training.hyperparameters
  const most = Number(given.max_steps ?? 0)
  if (most > 0) return most
  if (training.framework.type === 'CUSTOM') return 0
  const rows = isPacked(spec) ? (data.max_seq_length > 0 ? tokens / data.max_seq_length : 0) : records
  // A row of RLHF is a completion.
  const each = training.training_type === 'RLHF' ? Number(given.num_generations ?? hfDefaults.num_generations) : 1
  const trained = (rows - Math.round(rows * (data.validation_split ?? 0))) * each
  // As transformers has it: an epoch ends with a batch, and with a step, that may be smaller.
  const batches = Math.ceil(trained / (data.batch_size * Math.max(1, processesOf(spec))))
  return Math.ceil(Math.ceil(batches / data.gradient_accumulation_steps) * Number(given.num_train_epochs ?? hfDefaults.num_train_epochs))
}

const rowsOfAStep = (spec: Spec): number =>
  spec.data_config.batch_size * spec.data_config.gradient_accumulation_steps * Math.max(1, processesOf(spec))

const isPacked = ({ training_config: { hyperparameters, training_type: type } }: Spec): boolean =>
  (hyperparameters.packing ?? defaultFor(hfDefaults.packing, type))?.toLowerCase() === 'true'

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
