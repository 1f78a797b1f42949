import { type FieldProblem, InvalidInput } from '../../../contract/failure.js'
import { isFile, isReadable } from '../../data/programs.js'
import { chooseTrainer, findTrainer } from '../../data/trainer.js'
import {
  type CheckedSource,
  type TrainerCheck,
  TrainerTooSlow,
  validateWithHfTrainer,
  validateWithTrainer,
  whereTooSlow,
} from '../../data/trainer-check.js'
import type { Engine } from '../../engines/engine.js'
import { toJobFile, trainerChoiceOf } from '../content/job-file.js'
import { megatronProblems } from '../content/megatron.js'
import { resolvePaths } from '../content/resolve.js'
import { hfProblems } from '../fields/hf-problems.js'
import { inventoryProblems } from '../placement/cluster-limits.js'
import { queueProblems } from '../placement/queue-limits.js'
import type { TenantLimits } from '../placement/quota.js'
import type { Database } from '../records/database.js'
import type { JobSettings } from '../records/settings.js'
import type { Spec } from '../records/spec.js'
import { fieldProblems } from './validate-fields.js'

/** What is learned about a submission that is right. */
export interface Checked {
  /** What the trainer counts; of a source that it was not asked about, or that it could not read, nothing. */
  data: CheckedSource[]
  /** Null where the trainer does not say: only the embedded one does. */
  totalSteps: number | null
  /** False where there is so much data that only the job itself will read it through. */
  isReadThrough: boolean
  /** Whether the embedded trainer is to read the data, which can be asked for more about it. */
  isEmbedded: boolean
  /** With its paths followed. */
  spec: Spec
  /** What is wrong in the files themselves, by the path of their source; a submission is refused for it, a plan tells it. */
  dataProblems: FieldProblem[]
}

/** What checking needs to look things up. */
export interface ValidateOptions {
  engine: Engine
  database: Database
  settings: JobSettings
  limitsOf: (tenantId: string) => TenantLimits
}

/**
 * Checks a submission, every field of it, before anything of it is stored. Throws InvalidInput (INVALID_ARGUMENT) with all that is wrong: what it
 * says, what the cluster lacks, paths, dependencies and checkpoints that are not the tenant's, and what its trainer would refuse. With `toleratesData`
 * what is wrong only in the records is answered, not thrown.
 */
export async function validateSubmission(
  spec: Spec,
  tenantId: string,
  { engine, database, settings, limitsOf }: ValidateOptions,
  { toleratesData = false } = {},
): Promise<Checked> {
  const [resolved, ofInventory, ofQueue, ofRecords] = await Promise.all([
    resolvePaths(spec, tenantId, settings),
    engine.nodes().then((nodes) => inventoryProblems(spec, nodes, limitsOf(tenantId))),
    engine.scheduler?.queues().then((queues) => queueProblems(spec, queues)) ?? [],
    recordProblems(spec, tenantId, database),
  ])
  // A field that is wrong in itself is not told once more for what it would lead to.
  const problems = [fieldProblems(spec, settings), ofInventory, ofQueue, resolved.problems, ofRecords].reduce(withNews)
  const checked = await askTrainer(withoutPaths(resolved.spec, problems), settings)
  const all = withNews(problems, checked.problems)
  const dataProblems = all.slice(problems.length).filter(({ path }) => sourcePath.test(path))
  if (all.length > (toleratesData ? dataProblems.length : 0)) throw new InvalidInput(all, 'INVALID_ARGUMENT')
  return { ...checked, spec: resolved.spec, dataProblems }
}

const sourcePath = /^data_config\.sources\[\d+\]\.path$/

/** Problems, and of others those with fields that have none yet. */
function withNews(problems: FieldProblem[], others: FieldProblem[]): FieldProblem[] {
  const known = new Set(problems.map(({ path }) => path))
  return [...problems, ...others.filter(({ path }) => !known.has(path))]
}

async function recordProblems({ scheduling_config, training_config }: Spec, tenantId: string, database: Database): Promise<FieldProblem[]> {
  const named = [...new Set(scheduling_config.depends_on)].slice(0, 100)
  const found =
    named.length === 0 ? [] : await database.job.findMany({ where: { tenantId, jobId: { in: named } }, select: { jobId: true } })
  const problems: FieldProblem[] = scheduling_config.depends_on
    .slice(0, 100)
    .flatMap((id, index) =>
      found.some(({ jobId }) => jobId === id)
        ? []
        : [{ path: `scheduling_config.depends_on[${index}]`, message: `There is no job ${JSON.stringify(id.slice(0, 64))}.` }],
    )
  const checkpointId = training_config.resume_from_checkpoint
  if (checkpointId !== '') {
    const row = await database.checkpoint.findFirst({ where: { tenantId, checkpointId: checkpointId.slice(0, 64), deletedAt: null } })
    if (!row) {
      const message = `There is no checkpoint ${JSON.stringify(checkpointId.slice(0, 64))}.`
      problems.push({ path: 'training_config.resume_from_checkpoint', message })
    }
  }
  return problems
}

async function askTrainer(
  spec: Spec,
  settings: JobSettings,
): Promise<Omit<Checked, 'spec' | 'dataProblems'> & { problems: FieldProblem[] }> {
  const nothing = { data: [], totalSteps: null, isReadThrough: true, isEmbedded: false }
  const choice = trainerChoiceOf(spec)
  const found = await findTrainer(choice, settings.trainer)
  if (!found.trainer) {
    // Whoever lacks a package hears what else is wrong before installing it.
    const { kind } = await chooseTrainer(choice, settings.trainer)
    return { ...nothing, problems: withNews(found.problems, kind === 'hf' ? hfProblems(spec) : []) }
  }
  const { trainer } = found
  if (trainer.kind !== 'embedded' && trainer.kind !== 'hf') return { ...nothing, problems: [] }
  const isEmbedded = trainer.kind === 'embedded'
  const ofFields = isEmbedded
    ? []
    : withNews(hfProblems(spec), [...(await rewardFunctionProblems(spec)), ...megatronProblems(spec, settings.trainer.hf)])
  const check = async (asked: Spec): Promise<TrainerCheck> => {
    const file = toJobFile(asked, { job_id: '', tenant_id: '', attempt: 1, token: '', resume_from: null })
    if (isEmbedded) return await validateWithTrainer(file, settings.trainer)
    return (await validateWithHfTrainer(file, trainer, settings.trainer)) ?? { problems: [], data: [], totalSteps: null }
  }
  try {
    const checked = await check(spec)
    return { ...checked, problems: withNews(ofFields, checked.problems), isReadThrough: true, isEmbedded }
  } catch (error) {
    if (!(error instanceof TrainerTooSlow)) throw error
    // A machine that is too slow even for that leaves all to the job.
    const { problems } = await check(withoutSources(spec)).catch(whereTooSlow)
    const others = problems.filter(({ path }) => !sourcePath.test(path))
    return { ...nothing, isEmbedded, isReadThrough: false, problems: withNews(ofFields, others) }
  }
}

/** Its path has been followed; that a folder has no functions, and who may read it, has not been looked at. */
async function rewardFunctionProblems({ training_config: { hyperparameters } }: Spec): Promise<FieldProblem[]> {
  const { reward_function: file } = hyperparameters
  if (file === undefined || ((await isFile(file)) && (await isReadable(file)))) return []
  return [{ path: 'training_config.hyperparameters.reward_function', message: `${JSON.stringify(file)} is not a file that can be read.` }]
}

/** Sources without a path are not read. */
const withoutSources = (spec: Spec): Spec => ({
  ...spec,
  data_config: { ...spec.data_config, sources: spec.data_config.sources.map((source) => ({ ...source, path: '' })) },
})

/** Paths that were refused must not be opened, not even to be looked at: nobody may learn what is there. */
function withoutPaths(spec: Spec, problems: FieldProblem[]): Spec {
  const isBad = (path: string) => problems.some((problem) => problem.path === path)
  const { base_model: model, framework, hyperparameters } = spec.training_config
  const script = 'training_config.framework.custom_script_path'
  const withoutBad = (map: Record<string, string>, at: string) =>
    Object.fromEntries(Object.entries(map).filter(([name]) => !isBad(`${at}.${name}`)))
  return {
    ...spec,
    training_config: {
      ...spec.training_config,
      base_model: isBad('training_config.base_model.model_id') ? { ...model, model_id: standInModel(spec) } : model,
      framework: {
        ...framework,
        config: withoutBad(framework.config, 'training_config.framework.config'),
        custom_script_path: isBad(script) ? '' : framework.custom_script_path,
      },
      hyperparameters: withoutBad(hyperparameters, 'training_config.hyperparameters'),
    },
    data_config: {
      ...spec.data_config,
      sources: spec.data_config.sources.map((source, index) =>
        isBad(`data_config.sources[${index}].path`) ? { ...source, path: '' } : source,
      ),
    },
  }
}

/** With a model that it knows a trainer can say what else is wrong: on GPUs, or by a framework, it is none of the embedded trainer's that was meant. */
const standInModel = ({ training_config: { framework }, resource_config: resources }: Spec): string =>
  framework.type === 'HF_TRAINER' && resources.gpu_count === 0 ? 'scaimind/byte-tiny' : 'any/model'
