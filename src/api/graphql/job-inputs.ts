import { toSnake } from '../../contract/casing.js'
import { builder } from './builder.js'
import { FrameworkTypeEnum, SaveStrategyEnum, TrainingTypeEnum } from './enums.js'
import { KeyValueInput, toRecord } from './key-values.js'

const BaseModelInput = builder.inputType('BaseModelInput', {
  description: 'The model to start from.',
  fields: (t) => ({
    modelId: t.string({ required: true, description: '`scaimind/…`, a HuggingFace id, or a path under the data roots. Never a URL.' }),
    revision: t.string({ description: 'Revision of the model.' }),
    source: t.string({ description: 'Where it comes from.' }),
    tokenizerId: t.string({ description: 'Tokenizer, where it is not the model’s.' }),
    dtype: t.string({ description: 'Number format of the weights.' }),
    trustRemoteCode: t.boolean({ description: 'Whether code from the model may run; refused unless the operator allows it.' }),
    modelKwargs: t.field({ type: [KeyValueInput], description: 'Further arguments of the model.' }),
  }),
})

const DistributedConfigInput = builder.inputType('DistributedConfigInput', {
  description: 'How processes of one job work together.',
  fields: (t) => ({
    worldSize: t.int({ description: 'Number of processes.' }),
    backend: t.string({ description: 'Collective backend; default nccl.' }),
    strategy: t.string({ description: 'How the work is split.' }),
    config: t.field({ type: [KeyValueInput], description: 'Settings of the strategy.' }),
  }),
})

const FrameworkConfigInput = builder.inputType('FrameworkConfigInput', {
  description: 'The training framework and its own settings.',
  fields: (t) => ({
    type: t.field({ type: FrameworkTypeEnum, description: 'What runs the training loop; default HF_TRAINER.' }),
    config: t.field({ type: [KeyValueInput], description: 'Settings of the framework.' }),
    distributed: t.field({ type: DistributedConfigInput, description: 'How its processes work together.' }),
    customScriptPath: t.string({ description: 'Required for CUSTOM: a script under the data roots.' }),
  }),
})

const TrainingConfigInput = builder.inputType('TrainingConfigInput', {
  description: 'What is trained and how.',
  fields: (t) => ({
    trainingType: t.field({ type: TrainingTypeEnum, required: true, description: 'How the model is trained.' }),
    baseModel: t.field({ type: BaseModelInput, required: true, description: 'The model to start from.' }),
    framework: t.field({ type: FrameworkConfigInput, description: 'What runs the training loop.' }),
    hyperparameters: t.field({
      type: [KeyValueInput],
      description: 'Names as in transformers and peft (learning_rate, max_steps, lora_r).',
    }),
    environment: t.field({ type: [KeyValueInput], description: 'Extra environment of the trainer. Write-only.' }),
    resumeFromCheckpoint: t.string({ description: 'A checkpoint id of a job of the same tenant to start from.' }),
    maxRetries: t.int({ description: 'Attempts after a failure; default 0.' }),
    priority: t.int({ description: '0 to 10, higher first; default 5.' }),
  }),
})

/** One source of training data. */
export const DataSourceInput = builder.inputType('DataSourceInput', {
  description: 'One source of training data.',
  fields: (t) => ({
    path: t.string({ required: true, description: 'A file under the data roots, or what the type says.' }),
    type: t.string({ description: 'Kind of source.' }),
    split: t.string({ description: 'Split of the data set.' }),
    format: t.string({ description: '`jsonl`, `txt`, …; default: from the file’s name.' }),
    columns: t.stringList({ description: 'Columns that are used; default all.' }),
    filters: t.field({ type: [KeyValueInput], description: 'Which records are used.' }),
    sampling: t.field({ type: [KeyValueInput], description: 'How records are sampled.' }),
  }),
})

/** How records become tokens. */
export const PreprocessConfigInput = builder.inputType('PreprocessConfigInput', {
  description: 'How records become tokens.',
  fields: (t) => ({
    tokenizer: t.string({ description: 'The tokenizer.' }),
    addBos: t.boolean({ description: 'Whether a beginning is marked.' }),
    addEos: t.boolean({ description: 'Whether an end is marked.' }),
    padding: t.string({ description: 'How sequences are padded.' }),
    truncation: t.string({ description: 'How sequences are cut.' }),
    chatTemplate: t.string({ description: 'Template of chat messages.' }),
    fieldMapping: t.field({ type: [KeyValueInput], description: 'Field that the trainer expects → field of the record.' }),
  }),
})

const DataConfigInput = builder.inputType('DataConfigInput', {
  description: 'The data and its batching.',
  fields: (t) => ({
    sources: t.field({ type: [DataSourceInput], required: true, description: 'Where the records come from; at least one.' }),
    preprocess: t.field({ type: PreprocessConfigInput, description: 'How records become tokens.' }),
    maxSeqLength: t.int({ description: 'Tokens of a sequence; default: what the model allows.' }),
    batchSize: t.int({ description: 'Sequences a device and step; default 8.' }),
    gradientAccumulationSteps: t.int({ description: 'Batches a step; default 1.' }),
    numWorkers: t.int({ description: 'Processes that load data.' }),
    pinMemory: t.boolean({ description: 'Whether batches are pinned in memory.' }),
    validationSplit: t.float({ description: 'Fraction of records held out, 0 to 1; default 0.' }),
    seed: t.field({ type: 'BigInt', description: 'Seed of all that is random; default 42.' }),
  }),
})

const ResourceConfigInput = builder.inputType('ResourceConfigInput', {
  description: 'What the job needs to run.',
  fields: (t) => ({
    gpuCount: t.int({ description: 'GPUs over all nodes; 0, the default, is a CPU job.' }),
    gpuType: t.string({ description: 'Type of GPU, of the inventory; default any.' }),
    numNodes: t.int({ description: 'Nodes; gpuCount must divide by it; default 1.' }),
    minGpuMemoryGb: t.float({ description: 'Least memory of a GPU.' }),
    cpusPerNode: t.int({ description: 'CPU cores a node; default 1.' }),
    memoryGbPerNode: t.float({ description: 'Memory a node.' }),
    nodeSelector: t.field({ type: [KeyValueInput], description: 'What a node must be.' }),
  }),
})

const OutputConfigInput = builder.inputType('OutputConfigInput', {
  description: 'What is saved, and where.',
  fields: (t) => ({
    outputUri: t.string({ description: 'A folder under the data roots that the output is copied to.' }),
    saveStrategy: t.field({ type: SaveStrategyEnum, description: 'When checkpoints are saved; default STEPS.' }),
    saveSteps: t.int({ description: 'Steps between checkpoints.' }),
    saveTotalLimit: t.int({ description: 'Checkpoints that are kept.' }),
    mergeAdapter: t.boolean({ description: 'Whether the adapter is merged into the model.' }),
    exportFormat: t.string({ description: '`safetensors` is the default.' }),
    registerAs: t.string({ description: 'Name that the output is registered under.' }),
  }),
})

const SchedulingConfigInput = builder.inputType('SchedulingConfigInput', {
  description: 'When and in which order the job may run.',
  fields: (t) => ({
    queue: t.string({ description: 'The queue; default `default`.' }),
    preemptible: t.boolean({ description: 'Whether a job of higher priority may take its place.' }),
    requeueOnPreemption: t.boolean({ description: 'Whether it queues again by itself after that; default true.' }),
    maxRuntimeSeconds: t.field({ type: 'BigInt', description: 'Longest run; default no limit.' }),
    startAfter: t.field({ type: 'DateTime', description: 'Not before this time.' }),
    dependsOn: t.idList({ description: 'Job ids of the tenant that must be COMPLETED first.' }),
  }),
})

/** The submission. */
export const SubmitJobInput = builder.inputType('SubmitJobInput', {
  description: 'A job to submit.',
  fields: (t) => ({
    name: t.string({ required: true, description: '1 to 255 characters.' }),
    labels: t.field({ type: [KeyValueInput], description: 'At most 64.' }),
    trainingConfig: t.field({ type: TrainingConfigInput, required: true, description: 'What is trained and how.' }),
    dataConfig: t.field({ type: DataConfigInput, required: true, description: 'The data.' }),
    resourceConfig: t.field({ type: ResourceConfigInput, required: true, description: 'What it needs to run.' }),
    outputConfig: t.field({ type: OutputConfigInput, description: 'What is saved, and where.' }),
    schedulingConfig: t.field({ type: SchedulingConfigInput, description: 'When it may run.' }),
  }),
})

/** An input as the use cases take it: names in snake_case, lists of entries as maps. */
export function toSpec(value: unknown, path = ''): unknown {
  if (Array.isArray(value)) {
    if (value.length > 0 && value.every(isEntry)) return toRecord(value, path)
    return value.map((item, index) => toSpec(item, `${path}[${index}]`))
  }
  if (value === null || typeof value !== 'object' || value instanceof Date) return value
  return Object.fromEntries(
    Object.entries(value)
      // An empty list of entries is an empty map, which is the same as none.
      .filter(([, inner]) => !(Array.isArray(inner) && inner.length === 0 && path !== 'data_config'))
      .map(([name, inner]) => [toSnake(name), toSpec(inner, path ? `${path}.${toSnake(name)}` : toSnake(name))]),
  )
}

function isEntry(value: unknown): value is { key: string; value: string } {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 2 && 'key' in value && 'value' in value
}
