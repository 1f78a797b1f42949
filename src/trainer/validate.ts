import { FIELD_NAMES, type FieldMapping } from './data/record.js'
import { DATA_FORMATS, formatOf } from './data/records.js'
import { readHyperparameters, TRAINING_TYPES } from './hyperparameters.js'
import { type Fields, isUnset, objectAt, setFields } from './job.js'
import { MODEL_NAMES, modelFolder } from './model/folder.js'
import { DEFAULTS, type TrainingPlan } from './plan.js'
import type { Problem } from './problems.js'

/**
 * Reads a parsed `job.json`: the plan, with defaults filled in, and everything that is wrong with it, by path. Looks at no file.
 * The plan is to be used only where there is no problem. Options that the embedded trainer does not act on are problems, not ignored;
 * what the coordinator and the launcher act on (retries, environment, output_uri, queue, …) is left to them.
 */
export function validateJob(job: unknown): { plan: TrainingPlan; problems: Problem[] } {
  const problems: Problem[] = []
  const root = objectAt(job, '')
  const training = objectAt(job, 'training_config')
  const trainingType = TRAINING_TYPES.find((type) => type === training.training_type) ?? 'LORA'
  if (training.training_type !== trainingType) {
    problems.push({
      path: 'training_config.training_type',
      message: isUnset(training.training_type)
        ? `A training type is required: ${TRAINING_TYPES.join(', ')}.`
        : `The embedded trainer does not do ${String(training.training_type)}; it does ${TRAINING_TYPES.join(', ')}.${INSTEAD[String(training.training_type)] ?? ''}`,
    })
  }
  const hyperparameters = readHyperparameters(objectAt(training, 'hyperparameters'), trainingType)
  const model = readBaseModel(objectAt(training, 'base_model'), problems)
  refuseFramework(objectAt(training, 'framework'), problems)
  refuseResources(objectAt(job, 'resource_config'), problems)
  problems.push(...hyperparameters.problems)
  const plan: TrainingPlan = {
    jobId: String(root.job_id ?? ''),
    attempt: Number(root.attempt ?? 1),
    name: String(root.name ?? ''),
    trainingType,
    trainsAdapter: trainingType === 'LORA' || (trainingType === 'DPO' && hyperparameters.values.lora_r > 0),
    model,
    hyperparameters: hyperparameters.values,
    data: readData(objectAt(job, 'data_config'), problems),
    output: readOutput(objectAt(job, 'output_config'), problems),
    resumeFrom: typeof root.resume_from === 'string' && root.resume_from !== '' ? root.resume_from : null,
  }
  if (plan.output.mergeAdapter && !plan.trainsAdapter) {
    problems.push({
      path: 'output_config.merge_adapter',
      message: `${trainingType}${trainingType === 'DPO' ? ' without hyperparameter lora_r' : ''} has no adapter to merge; it saves a whole model.`,
    })
  }
  return { plan, problems }
}

const otherModel = 'a HuggingFace model as base_model'

/** What would do in place of a training type that is not done here. */
const INSTEAD: { [trainingType: string]: string } = {
  QLORA: ` LORA trains the same adapters, on weights in full precision; for quantised ones give ${otherModel}.`,
  RLHF: ` DPO learns preferences from pairs, without a reward; for rewards give ${otherModel}.`,
}

function readBaseModel(fields: Fields, problems: Problem[]): TrainingPlan['model'] {
  const path = 'training_config.base_model'
  const id = typeof fields.model_id === 'string' ? fields.model_id : ''
  const folder = modelFolder(id)
  if (folder === null) {
    const given = id === '' ? 'A model is required' : `The embedded trainer has no model ${JSON.stringify(id)}`
    problems.push({ path: `${path}.model_id`, message: `${given}: give ${MODEL_NAMES}.` })
  }
  const accepted: Record<string, unknown[]> = {
    revision: ['main'],
    source: ['local'],
    tokenizer_id: [id],
    dtype: ['float32', 'fp32', 'auto'],
  }
  for (const name of setFields(fields)) {
    if (name === 'model_id' || accepted[name]?.includes(fields[name])) continue
    const wanted = accepted[name] ? `leave it empty or give ${accepted[name].join(' or ')}` : 'leave it out'
    problems.push({ path: `${path}.${name}`, message: `${name} has no effect on a byte-level model: ${wanted}.` })
  }
  return { id, folder: folder ?? '' }
}

function refuseFramework(fields: Fields, problems: Problem[]): void {
  const path = 'training_config.framework'
  if (!isUnset(fields.type) && fields.type !== 'HF_TRAINER') {
    problems.push({
      path: `${path}.type`,
      message: `The embedded trainer is not ${String(fields.type)}; leave the type empty or give HF_TRAINER, or for ${String(fields.type)} ${otherModel}.`,
    })
  }
  if (!isUnset(fields.config)) problems.push({ path: `${path}.config`, message: 'Give these settings in training_config.hyperparameters.' })
  if (!isUnset(fields.custom_script_path)) {
    problems.push({ path: `${path}.custom_script_path`, message: 'A script is run only for framework type CUSTOM.' })
  }
  for (const name of setFields(objectAt(fields, 'distributed'))) {
    const value = objectAt(fields, 'distributed')[name]
    if (name === 'world_size' && Number(value) === 1) continue
    problems.push({
      path: `${path}.distributed.${name}`,
      message: `The embedded trainer is one process on one machine; leave distributed empty, or give ${otherModel}.`,
    })
  }
}

function refuseResources(fields: Fields, problems: Problem[]): void {
  if (!isUnset(fields.gpu_count)) {
    problems.push({
      path: 'resource_config.gpu_count',
      message: `The embedded trainer runs on a CPU: gpu_count must be 0, not ${String(fields.gpu_count)}; for GPUs give ${otherModel}.`,
    })
  }
  if (Number(fields.num_nodes ?? 0) > 1) {
    problems.push({
      path: 'resource_config.num_nodes',
      message: `The embedded trainer runs on one node, not ${String(fields.num_nodes)}; for several give ${otherModel}.`,
    })
  }
}

function readData(fields: Fields, problems: Problem[]): TrainingPlan['data'] {
  const number = numberReader('data_config', fields, problems)
  const sources = Array.isArray(fields.sources) ? fields.sources : []
  if (sources.length === 0) problems.push({ path: 'data_config.sources', message: 'At least one data source is required.' })
  for (const name of ['num_workers', 'pin_memory']) {
    if (!isUnset(fields[name]))
      problems.push({ path: `data_config.${name}`, message: `The embedded trainer has no use for ${name}; leave it out.` })
  }
  return {
    sources: sources.map((source, index) => readSourcePlan(objectAt(source, ''), `data_config.sources[${index}]`, problems)),
    ...readPreprocess(objectAt(fields, 'preprocess'), problems),
    maxSeqLength: number('max_seq_length', { min: 8, max: 65_536, unset: 0 }),
    batchSize: number('batch_size', { min: 1, max: 1024, unset: DEFAULTS.batchSize }),
    accumulation: number('gradient_accumulation_steps', { min: 1, max: 1024, unset: DEFAULTS.accumulation }),
    validationSplit: number('validation_split', { min: 0, max: 0.9, unset: DEFAULTS.validationSplit, fraction: true }),
    seed: number('seed', { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER, unset: DEFAULTS.seed, zeroIsSet: true }),
  }
}

function readSourcePlan(fields: Fields, path: string, problems: Problem[]): TrainingPlan['data']['sources'][number] {
  const file = typeof fields.path === 'string' ? fields.path : ''
  if (!file.startsWith('/'))
    problems.push({
      path: `${path}.path`,
      message: `An absolute path of a file (${DATA_FORMATS.join(', ')}) is required, not ${JSON.stringify(file)}.`,
    })
  const given = typeof fields.format === 'string' ? fields.format : ''
  const format = formatOf(file, given)
  if (file && format === null) {
    const message = given
      ? `The embedded trainer reads ${DATA_FORMATS.join(', ')}, not ${given}.`
      : `The format of ${file} cannot be told from its name; give one of ${DATA_FORMATS.join(', ')}.`
    problems.push({ path: `${path}.format`, message })
  }
  const accepted: Record<string, unknown[]> = { type: ['file', 'local'], split: ['train'] }
  for (const name of setFields(fields)) {
    if (name === 'path' || name === 'format' || accepted[name]?.includes(fields[name])) continue
    const wanted: Record<string, string> = {
      type: 'sources are files: leave it empty or give file',
      split: 'a file is one split: leave it empty or give train, and use data_config.validation_split',
      columns: 'name fields in data_config.preprocess.field_mapping',
    }
    problems.push({ path: `${path}.${name}`, message: `The embedded trainer does not act on ${name}: ${wanted[name] ?? 'leave it out'}.` })
  }
  return { path: file, format: format ?? 'jsonl' }
}

function readPreprocess(fields: Fields, problems: Problem[]): Pick<TrainingPlan['data'], 'fieldMapping' | 'addBos' | 'addEos'> {
  const path = 'data_config.preprocess'
  const mapping = objectAt(fields, 'field_mapping')
  for (const name of Object.keys(mapping)) {
    if (FIELD_NAMES.some((known) => known === name) && typeof mapping[name] === 'string') continue
    problems.push({
      path: `${path}.field_mapping.${name}`,
      message: `A mapping is from one of ${FIELD_NAMES.join(', ')} to the name of the record's field.`,
    })
  }
  for (const name of setFields(fields)) {
    if (['field_mapping', 'add_bos', 'add_eos'].includes(name)) continue
    problems.push({
      path: `${path}.${name}`,
      message: `The embedded trainer does not act on ${name}: its tokens are bytes, and rows are cut and filled by itself.`,
    })
  }
  return { fieldMapping: mapping as FieldMapping, addBos: fields.add_bos !== false, addEos: fields.add_eos !== false }
}

function readOutput(fields: Fields, problems: Problem[]): TrainingPlan['output'] {
  const number = numberReader('output_config', fields, problems)
  const strategies = ['STEPS', 'EPOCH', 'NONE'] as const
  const saveStrategy = strategies.find((strategy) => strategy === fields.save_strategy)
  if (!saveStrategy && !isUnset(fields.save_strategy)) {
    problems.push({
      path: 'output_config.save_strategy',
      message: `save_strategy must be STEPS, EPOCH or NONE, not ${String(fields.save_strategy)}.`,
    })
  }
  if (!isUnset(fields.export_format) && fields.export_format !== 'safetensors') {
    problems.push({
      path: 'output_config.export_format',
      message: `The embedded trainer exports safetensors, not ${String(fields.export_format)}.`,
    })
  }
  return {
    saveStrategy: saveStrategy ?? DEFAULTS.saveStrategy,
    saveSteps: number('save_steps', { min: 1, max: 1_000_000, unset: DEFAULTS.saveSteps }),
    saveTotalLimit: number('save_total_limit', { min: 1, max: 1000, unset: DEFAULTS.saveTotalLimit }),
    mergeAdapter: fields.merge_adapter === true,
  }
}

interface NumberRule {
  min: number
  max: number
  /** What is returned where the field says nothing, or something wrong. */
  unset: number
  fraction?: true
  zeroIsSet?: true
}

function numberReader(path: string, fields: Fields, problems: Problem[]) {
  return (name: string, { min, max, unset, fraction, zeroIsSet }: NumberRule): number => {
    const given = fields[name]
    if (isUnset(given) && !(zeroIsSet && Number(given ?? Number.NaN) === 0 && given !== '')) return unset
    const value = Number(given)
    if ((fraction ? Number.isFinite(value) : Number.isSafeInteger(value)) && value >= min && value <= max) return value
    const kind = fraction ? 'a number' : 'a whole number'
    const range = max === Number.MAX_SAFE_INTEGER ? '' : ` from ${min} to ${max}`
    problems.push({ path: `${path}.${name}`, message: `${name} must be ${kind}${range}, not ${JSON.stringify(given)}.` })
    return unset
  }
}
