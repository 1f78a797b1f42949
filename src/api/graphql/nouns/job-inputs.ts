import { toSnake } from '../../../contract/casing.js'
import { builder } from '../builder.js'
import { FrameworkTypeEnum, SaveStrategyEnum, TrainingTypeEnum } from '../enums.js'
import { KeyValueInput, toRecord } from '../key-values.js'

const BaseModelInput = builder.inputType('BaseModelInput', {
  description: 'The model to start from.',
  fields: (t) => ({
    modelId: t.string({
      required: true,
      description:
        '`scaimind/…`, a HuggingFace id, or a path under the data roots, which begins with `/`, `./` or `../`: a name alone is an id. Never a URL.',
    }),
    revision: t.string({ description: 'A branch, tag or commit of the model; default its newest.' }),
    source: t.string({ description: 'Where it comes from; default by the form of its id.' }),
    tokenizerId: t.string({ description: 'The tokenizer; default the model’s own.' }),
    dtype: t.string({ description: 'Number format of the weights: `float32`, `bfloat16`, …; default the model’s own.' }),
    trustRemoteCode: t.boolean({
      description: 'Whether code from the model may run; default false. Refused unless the operator allows it.',
    }),
    modelKwargs: t.field({ type: [KeyValueInput], description: 'Further arguments of the model, by name; default none.' }),
  }),
})

const DistributedConfigInput = builder.inputType('DistributedConfigInput', {
  description: 'How processes of one job work together.',
  fields: (t) => ({
    worldSize: t.int({ description: 'Number of processes; default one a GPU.' }),
    backend: t.string({ description: 'Collective backend; default nccl.' }),
    strategy: t.string({ description: 'How the work is split, in the words of the framework; default the framework’s own.' }),
    config: t.field({ type: [KeyValueInput], description: 'Settings of the strategy, by name; default none.' }),
  }),
})

const FrameworkConfigInput = builder.inputType('FrameworkConfigInput', {
  description: 'The training framework and its own settings.',
  fields: (t) => ({
    type: t.field({ type: FrameworkTypeEnum, description: 'What runs the training loop; default HF_TRAINER.' }),
    config: t.field({ type: [KeyValueInput], description: 'Settings of the framework, by name; default none.' }),
    distributed: t.field({ type: DistributedConfigInput, description: 'How its processes work together; default one process a GPU.' }),
    customScriptPath: t.string({ description: 'Required for CUSTOM, and only for it: a script under the data roots.' }),
  }),
})

const TrainingConfigInput = builder.inputType('TrainingConfigInput', {
  description: 'What is trained and how.',
  fields: (t) => ({
    trainingType: t.field({ type: TrainingTypeEnum, required: true, description: 'How the model is trained.' }),
    baseModel: t.field({ type: BaseModelInput, required: true, description: 'The model to start from.' }),
    framework: t.field({ type: FrameworkConfigInput, description: 'What runs the training loop; default HF_TRAINER.' }),
    hyperparameters: t.field({
      type: [KeyValueInput],
      description:
        'Names as in transformers and peft (learning_rate, max_steps, lora_r); default the trainer’s. InvalidInput names one that is unknown.',
    }),
    environment: t.field({
      type: [KeyValueInput],
      description: 'Extra environment of the trainer; default none. Write-only: reads show `***`.',
    }),
    resumeFromCheckpoint: t.string({
      description: 'A checkpoint id of a job of the same tenant to start from; default the base model as it is.',
    }),
    maxRetries: t.int({ description: 'Attempts after a failure, 0 to 100; default 0.' }),
    priority: t.int({ description: '0 to 10, higher first; default 5.' }),
  }),
})

/** One source of training data. */
export const DataSourceInput = builder.inputType('DataSourceInput', {
  description: 'One source of training data.',
  fields: (t) => ({
    path: t.string({
      required: true,
      description:
        'A file or folder under the data roots; for the type `dataset` the id of an uploaded data set; for `huggingface` `org/name` or `org/name:config`.',
    }),
    type: t.string({ description: '`file`, the default, `dataset` for an uploaded data set, or `huggingface` for one on the hub.' }),
    split: t.string({ description: 'Split of a data set on the hub, or of a folder; default `train`.' }),
    format: t.string({ description: '`jsonl`, `csv`, `parquet` or `txt`; default from the file’s name.' }),
    columns: t.stringList({ description: 'Columns that are used; default all.' }),
    filters: t.field({
      type: [KeyValueInput],
      description: 'Which records are used, by column: `value`, `!=v`, `>v`, `a|b`; default all.',
    }),
    sampling: t.field({
      type: [KeyValueInput],
      description: 'How records are drawn: `weight` among the sources, `max_records`, `fraction`; default each once an epoch.',
    }),
  }),
})

/** How records become tokens. */
export const PreprocessConfigInput = builder.inputType('PreprocessConfigInput', {
  description: 'How records become tokens.',
  fields: (t) => ({
    tokenizer: t.string({ description: 'The tokenizer; default the model’s own.' }),
    addBos: t.boolean({ description: 'Whether the beginning of a record is marked; default as the tokenizer does.' }),
    addEos: t.boolean({ description: 'Whether the end of a record is marked; default as the tokenizer does.' }),
    padding: t.string({ description: 'How sequences are padded; default the trainer’s.' }),
    truncation: t.string({ description: 'How sequences are cut; default the trainer’s.' }),
    chatTemplate: t.string({ description: 'Template of chat messages, Jinja; default the tokenizer’s.' }),
    fieldMapping: t.field({
      type: [KeyValueInput],
      description: 'Field that the trainer expects → field of the record; default the same names.',
    }),
  }),
})

const DataConfigInput = builder.inputType('DataConfigInput', {
  description: 'The data and its batching.',
  fields: (t) => ({
    sources: t.field({ type: [DataSourceInput], required: true, description: 'Where the records come from; at least one.' }),
    preprocess: t.field({ type: PreprocessConfigInput, description: 'How records become tokens; default the model’s way.' }),
    maxSeqLength: t.int({ description: 'Most tokens of a sequence; default what the model allows.' }),
    batchSize: t.int({ description: 'Sequences a device and step; default 8.' }),
    gradientAccumulationSteps: t.int({ description: 'Batches a step; default 1.' }),
    numWorkers: t.int({ description: 'Processes that load data; default 0, the trainer itself.' }),
    pinMemory: t.boolean({ description: 'Whether batches are pinned in memory; default false.' }),
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
    minGpuMemoryGb: t.float({ description: 'Least memory of each GPU, in 10^9 bytes; default any.' }),
    cpusPerNode: t.int({ description: 'CPU cores a node; default 1.' }),
    memoryGbPerNode: t.float({ description: 'Memory on each node, in 10^9 bytes; default none is set aside.' }),
    nodeSelector: t.field({
      type: [KeyValueInput],
      description: 'What a node must be: `node_id`, `hostname` or, where the cluster has them, `feature`, and its value; default any.',
    }),
  }),
})

const OutputConfigInput = builder.inputType('OutputConfigInput', {
  description: 'What is saved, and where.',
  fields: (t) => ({
    outputUri: t.string({ description: 'A folder under the data roots that the output is copied to; default the job’s own folder only.' }),
    saveStrategy: t.field({ type: SaveStrategyEnum, description: 'When checkpoints are saved; default STEPS.' }),
    saveSteps: t.int({ description: 'Optimizer steps between checkpoints; default the trainer’s, 100 of the embedded one.' }),
    saveTotalLimit: t.int({ description: 'Checkpoints that are kept, the newest; default the trainer’s, 3 of the embedded one.' }),
    mergeAdapter: t.boolean({ description: 'Whether the adapter is merged into the model; default false.' }),
    exportFormat: t.string({ description: 'Format of the output; default `safetensors`.' }),
    registerAs: t.string({
      description:
        'Name that the output is registered under, 1 to 128 letters, digits and `_ . -`, the first no dot or dash; default none. See RegisteredModel.',
    }),
    publishCheckpoints: t.boolean({
      description:
        'Whether each complete checkpoint is registered under that name, too, while the job trains: its weights, the newest only; default false.',
    }),
  }),
})

const SchedulingConfigInput = builder.inputType('SchedulingConfigInput', {
  description: 'When and in which order the job may run.',
  fields: (t) => ({
    queue: t.string({ description: 'The queue; default `default`.' }),
    preemptible: t.boolean({ description: 'Whether a job of higher priority may take its place; default false.' }),
    requeueOnPreemption: t.boolean({ description: 'Whether it queues again by itself after that; default true.' }),
    maxRuntimeSeconds: t.field({ type: 'BigInt', description: 'Longest run of an attempt in seconds; default no limit.' }),
    startAfter: t.field({ type: 'DateTime', description: 'Not before this time; default at once.' }),
    dependsOn: t.idList({ description: 'At most 100 job ids of the tenant that must be COMPLETED first; default none.' }),
  }),
})

/** The submission. */
export const SubmitJobInput = builder.inputType('SubmitJobInput', {
  description: 'A job to submit.',
  fields: (t) => ({
    name: t.string({ required: true, description: '1 to 255 characters, none of them a control character.' }),
    labels: t.field({
      type: [KeyValueInput],
      description: 'At most 64, names of 1 to 128 characters, values of at most 255; default none.',
    }),
    trainingConfig: t.field({ type: TrainingConfigInput, required: true, description: 'What is trained and how.' }),
    dataConfig: t.field({ type: DataConfigInput, required: true, description: 'The data.' }),
    resourceConfig: t.field({ type: ResourceConfigInput, required: true, description: 'What it needs to run.' }),
    outputConfig: t.field({
      type: OutputConfigInput,
      description: 'What is saved, and where; default checkpoints every so many steps, in the job’s own folder.',
    }),
    schedulingConfig: t.field({ type: SchedulingConfigInput, description: 'When it may run; default as soon as it can.' }),
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
