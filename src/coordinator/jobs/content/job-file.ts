import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { InvalidInput } from '../../../contract/failure.js'
import type { EvaluationRun__Output } from '../../../generated/proto/scaimind/v1/EvaluationRun.js'
import { trainerEnvironment } from '../../data/environment.js'
import { findTrainer, type Trainer, type TrainerChoice } from '../../data/trainer.js'
import type { AttemptOrder, SchedulingRequest } from '../../engines/engine.js'
import { attemptDirectory } from '../../journal/paths.js'
import { currentAttempt, type JobRecord, nodesOf, placementOf, specOf } from '../records/record.js'
import type { JobSettings } from '../records/settings.js'
import { processesOf, type Spec } from '../records/spec.js'
import { type EvaluationFile, evaluationOf, evaluationTrainer, resolveEvaluation } from './evaluation-file.js'
import { megatronEnvironment } from './megatron.js'
import { resolvePaths } from './resolve.js'

/** `job.json`: the resolved submission as trainers read it. The environment is not in it. */
export interface JobFile {
  version: 1
  job_id: string
  tenant_id: string
  attempt: number
  token: string
  name: string
  training_config: Omit<Spec['training_config'], 'environment'>
  data_config: Spec['data_config']
  resource_config: Spec['resource_config']
  output_config: Spec['output_config']
  /** A complete checkpoint's folder, absolute; null: from the start. */
  resume_from: string | null
  /** Set where it is an evaluation: then nothing is trained. */
  evaluation?: EvaluationFile
}

/** What a trainer is told, from a submission whose paths are resolved. */
export function toJobFile(spec: Spec, about: Pick<JobFile, 'job_id' | 'tenant_id' | 'attempt' | 'token' | 'resume_from'>): JobFile {
  const { environment: _, ...training } = spec.training_config
  return {
    version: 1,
    ...about,
    name: spec.name,
    training_config: training,
    data_config: spec.data_config,
    resource_config: spec.resource_config,
    output_config: spec.output_config,
  }
}

/** What decides which trainer runs a job whose paths are resolved. */
export function trainerChoiceOf(spec: Spec): TrainerChoice {
  const { base_model: model, framework, training_type: type } = spec.training_config
  return {
    modelId: model.model_id,
    frameworkType: framework.type,
    customScriptPath: framework.custom_script_path,
    processes: processesOf(spec),
    isQuantized: type === 'QLORA',
  }
}

/**
 * Makes the folder of a job's current attempt, writes its `job.json` and answers the order for the engine. Paths are checked anew:
 * throws InvalidInput where one is no longer allowed or no longer there. Safe to call twice.
 */
export async function orderAttempt(
  job: JobRecord,
  { resumeFrom, scheduling }: { resumeFrom: string | null; scheduling: SchedulingRequest | null },
  settings: JobSettings,
): Promise<AttemptOrder> {
  const run = evaluationOf(job)
  if (run) return orderEvaluation(job, run, { settings, scheduling })
  const { spec, problems } = await resolvePaths(specOf(job), job.tenantId, settings, nodesNow(job))
  const { environment } = spec.training_config
  const found = problems.length > 0 ? { trainer: null, problems } : await findTrainer(trainerChoiceOf(spec), settings.trainer)
  if (!found.trainer) throw new InvalidInput(found.problems, 'INVALID_ARGUMENT')

  const { trainer } = found
  const processesPerNode = Math.max(1, processesOf(spec) / spec.resource_config.num_nodes)
  const parts = {
    settings,
    scheduling,
    trainer,
    environment: { ...megatronEnvironment(spec, settings.trainer.hf), ...environment },
    processesPerNode,
  }
  return writeOrder(job, parts, (about) => toJobFile(spec, { ...about, resume_from: resumeFrom }))
}

/** The nodes of the attempt that is to start. */
function nodesNow(job: JobRecord): string[] {
  const attempt = currentAttempt(job)
  return attempt ? nodesOf(attempt) : []
}

async function orderEvaluation(
  job: JobRecord,
  run: EvaluationRun__Output,
  { settings, scheduling }: Pick<OrderParts, 'settings' | 'scheduling'>,
): Promise<AttemptOrder> {
  const spec = specOf(job)
  const { file: evaluation, problems } = await resolveEvaluation(spec, run, job.tenantId, settings, nodesNow(job))
  if (problems.length > 0) throw new InvalidInput(problems, 'INVALID_ARGUMENT')
  const found = await evaluationTrainer(evaluation, settings.trainer)
  if (!found.trainer) throw new InvalidInput(found.problems, 'INVALID_ARGUMENT')
  const { environment } = spec.training_config
  return writeOrder(job, { settings, scheduling, trainer: found.trainer, environment, processesPerNode: 1 }, (about) => ({
    ...toJobFile(spec, { ...about, resume_from: null }),
    evaluation,
  }))
}

interface OrderParts {
  settings: JobSettings
  scheduling: SchedulingRequest | null
  trainer: Trainer
  environment: Record<string, string>
  processesPerNode: number
}

async function writeOrder(
  job: JobRecord,
  { settings, scheduling, trainer, environment: given, processesPerNode }: OrderParts,
  fileOf: (about: Pick<JobFile, 'job_id' | 'tenant_id' | 'attempt' | 'token'>) => JobFile,
): Promise<AttemptOrder> {
  const attempt = currentAttempt(job)
  if (!attempt) throw new Error(`Job ${job.jobId} has no attempt to start.`)
  const directory = attemptDirectory(settings.dataDir, job.tenantId, job.jobId, attempt.number)
  await mkdir(directory, { recursive: true })
  const { jobId, tenantId } = job
  const { number, token } = attempt
  const file = fileOf({ job_id: jobId, tenant_id: tenantId, attempt: number, token })
  await writeFile(join(directory, 'job.json.part'), `${JSON.stringify(file, null, 2)}\n`)
  await rename(join(directory, 'job.json.part'), join(directory, 'job.json'))
  const { kind, command, framework, searchPath, wrapper = [], modules = [] } = trainer
  // Models fetched from a hub are kept a tenant: what one may fetch is not for all.
  const hub = {
    HF_HOME: join(settings.dataDir, 'tenants', tenantId, 'hub'),
    ...(settings.hubEndpoint && { HF_ENDPOINT: settings.hubEndpoint }),
  }
  const environment = kind === 'hf' ? { ...hub, ...given } : given
  return {
    jobId,
    number,
    directory,
    tenantId,
    token,
    command,
    framework,
    wrapper,
    modules,
    processesPerNode,
    environment: trainerEnvironment({ directory, environment, searchPath }),
    // Other programs than ours may only print; one that writes metrics.jsonl itself is left alone.
    metricsFromOutput: kind === 'custom' || kind === 'program',
    gpuSampleSeconds: attempt.gpuSampled ? settings.gpuSampleSeconds : 0,
    placement: placementOf(attempt),
    scheduling,
    stopGraceSeconds: settings.stopGraceSeconds,
  }
}
