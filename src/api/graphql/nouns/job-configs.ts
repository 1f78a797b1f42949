import type { ObjectRef } from '@pothos/core'
import { frameworkTypes, saveStrategies, trainingTypes } from '../../../contract/statuses.js'
import type { BaseModel__Output } from '../../../generated/proto/scaimind/v1/BaseModel.js'
import type { DataConfig__Output } from '../../../generated/proto/scaimind/v1/DataConfig.js'
import type { DataSource__Output } from '../../../generated/proto/scaimind/v1/DataSource.js'
import type { DistributedConfig__Output } from '../../../generated/proto/scaimind/v1/DistributedConfig.js'
import type { FrameworkConfig__Output } from '../../../generated/proto/scaimind/v1/FrameworkConfig.js'
import type { OutputConfig__Output } from '../../../generated/proto/scaimind/v1/OutputConfig.js'
import type { PreprocessConfig__Output } from '../../../generated/proto/scaimind/v1/PreprocessConfig.js'
import type { ResourceConfig__Output } from '../../../generated/proto/scaimind/v1/ResourceConfig.js'
import type { SchedulingConfig__Output } from '../../../generated/proto/scaimind/v1/SchedulingConfig.js'
import type { TrainingConfig__Output } from '../../../generated/proto/scaimind/v1/TrainingConfig.js'
import { builder, type SchemaTypes } from '../builder.js'
import { FrameworkTypeEnum, known, SaveStrategyEnum, TrainingTypeEnum } from '../enums.js'
import { orNull, timeOf } from '../scalars.js'

type Fields<Parent> = PothosSchemaTypes.ObjectFieldBuilder<PothosSchemaTypes.ExtendDefaultTypes<SchemaTypes>, Parent>
type Map = Record<string, string>

const KeyValueRef = builder.objectRef<{ key: string; value: string }>('KeyValue').implement({
  description: 'An entry of a free-form map.',
  fields: (t) => ({
    key: t.exposeString('key', { description: 'Its name.' }),
    value: t.exposeString('value', { description: 'Its value.' }),
  }),
})

/** A map as a list of entries. */
export const entries = <Parent>(t: Fields<Parent>, description: string, get: (parent: Parent) => Map) =>
  t.field({
    type: [KeyValueRef],
    description,
    complexity: 1,
    resolve: (parent) => Object.entries(get(parent)).map(([key, value]) => ({ key, value })),
  })

/** The same map as a JSON object. */
export const asJson = <Parent>(t: Fields<Parent>, description: string, get: (parent: Parent) => Map) =>
  t.field({ type: 'JSON', description: `${description} As a JSON object.`, resolve: get })

/** The model to start from. */
export const BaseModelRef = builder.objectRef<BaseModel__Output>('BaseModel').implement({
  description: 'The model to start from.',
  fields: (t) => ({
    modelId: t.exposeString('model_id', { description: '`scaimind/…`, a HuggingFace id, or a path under the data roots.' }),
    revision: t.string({
      nullable: true,
      description: 'A branch, tag or commit of the model; null: its newest.',
      resolve: (c) => orNull(c.revision),
    }),
    source: t.string({
      nullable: true,
      description: 'Where it comes from; null: by the form of its id.',
      resolve: (c) => orNull(c.source),
    }),
    tokenizerId: t.string({
      nullable: true,
      description: 'The tokenizer; null: the model’s own.',
      resolve: (c) => orNull(c.tokenizer_id),
    }),
    dtype: t.string({
      nullable: true,
      description: 'Number format of the weights; null: the model’s own.',
      resolve: (c) => orNull(c.dtype),
    }),
    trustRemoteCode: t.exposeBoolean('trust_remote_code', { description: 'Whether code from the model may run.' }),
    modelKwargs: entries(t, 'Further arguments of the model.', (c) => c.model_kwargs),
    modelKwargsJson: asJson(t, 'Further arguments of the model.', (c) => c.model_kwargs),
  }),
})

const DistributedConfigRef = builder.objectRef<DistributedConfig__Output>('DistributedConfig').implement({
  description: 'How processes of one job work together.',
  fields: (t) => ({
    worldSize: t.int({ nullable: true, description: 'Number of processes; null: one a GPU.', resolve: (c) => orNull(c.world_size) }),
    backend: t.string({ nullable: true, description: 'Collective backend; null: nccl.', resolve: (c) => orNull(c.backend) }),
    strategy: t.string({
      nullable: true,
      description: 'How the work is split; null: the framework’s own way.',
      resolve: (c) => orNull(c.strategy),
    }),
    config: entries(t, 'Settings of the strategy.', (c) => c.config),
    configJson: asJson(t, 'Settings of the strategy.', (c) => c.config),
  }),
})

const FrameworkConfigRef = builder.objectRef<FrameworkConfig__Output>('FrameworkConfig').implement({
  description: 'The training framework and its own settings.',
  fields: (t) => ({
    type: t.field({
      type: FrameworkTypeEnum,
      description: 'What runs the training loop.',
      resolve: (c) => known(frameworkTypes, c.type) ?? 'HF_TRAINER',
    }),
    config: entries(t, 'Settings of the framework.', (c) => c.config),
    configJson: asJson(t, 'Settings of the framework.', (c) => c.config),
    distributed: t.field({
      type: DistributedConfigRef,
      nullable: true,
      description: 'How its processes work together; null: one process a GPU.',
      resolve: (c) => c.distributed,
    }),
    customScriptPath: t.string({
      nullable: true,
      description: 'The script of a CUSTOM job; null for any other.',
      resolve: (c) => orNull(c.custom_script_path),
    }),
  }),
})

/** How a model is trained. */
export const TrainingConfigRef = builder.objectRef<TrainingConfig__Output>('TrainingConfig').implement({
  description: 'What is trained and how.',
  fields: (t) => ({
    trainingType: t.field({
      type: TrainingTypeEnum,
      nullable: true,
      description: 'How the model is trained.',
      resolve: (c) => known(trainingTypes, c.training_type),
    }),
    baseModel: t.field({ type: BaseModelRef, nullable: true, description: 'The model to start from.', resolve: (c) => c.base_model }),
    framework: t.field({
      type: FrameworkConfigRef,
      nullable: true,
      description: 'What runs the training loop.',
      resolve: (c) => c.framework,
    }),
    hyperparameters: entries(t, 'Names as in transformers and peft.', (c) => c.hyperparameters),
    hyperparametersJson: asJson(t, 'Names as in transformers and peft.', (c) => c.hyperparameters),
    environment: entries(t, 'Extra environment of the trainer; values are write-only and read as `***`.', (c) => c.environment),
    environmentJson: asJson(t, 'Extra environment of the trainer; values are write-only and read as `***`.', (c) => c.environment),
    resumeFromCheckpoint: t.string({
      nullable: true,
      description: 'Id of the checkpoint that the job starts from; null: the base model as it is.',
      resolve: (c) => orNull(c.resume_from_checkpoint),
    }),
    maxRetries: t.exposeInt('max_retries', { description: 'Attempts after a failure, 0 to 100.' }),
    priority: t.int({ description: '0 to 10, higher first.', resolve: (c) => c.priority ?? 5 }),
  }),
})

const DataSourceRef = builder.objectRef<DataSource__Output>('DataSource').implement({
  description: 'One source of training data.',
  fields: (t) => ({
    path: t.exposeString('path', {
      description:
        'A file or folder under the data roots, the id of an uploaded data set, or the name of one on the hub: what the type says.',
    }),
    type: t.string({ nullable: true, description: '`file`, `dataset` or `huggingface`; null: `file`.', resolve: (c) => orNull(c.type) }),
    split: t.string({
      nullable: true,
      description: 'Split of a data set on the hub, or of a folder; null: `train`.',
      resolve: (c) => orNull(c.split),
    }),
    format: t.string({
      nullable: true,
      description: '`jsonl`, `csv`, `parquet` or `txt`; null: from the file’s name.',
      resolve: (c) => orNull(c.format),
    }),
    columns: t.exposeStringList('columns', { description: 'Columns that are used; empty: all.' }),
    filters: entries(t, 'Which records are used.', (c) => c.filters),
    filtersJson: asJson(t, 'Which records are used.', (c) => c.filters),
    sampling: entries(t, 'How records are drawn: `weight` among the sources, `max_records`, `fraction`.', (c) => c.sampling),
    samplingJson: asJson(t, 'How records are drawn: `weight` among the sources, `max_records`, `fraction`.', (c) => c.sampling),
  }),
})

const PreprocessConfigRef = builder.objectRef<PreprocessConfig__Output>('PreprocessConfig').implement({
  description: 'How records become tokens.',
  fields: (t) => ({
    tokenizer: t.string({ nullable: true, description: 'The tokenizer; null: the model’s own.', resolve: (c) => orNull(c.tokenizer) }),
    addBos: t.boolean({
      nullable: true,
      description: 'Whether the beginning of a record is marked; null: as the tokenizer does.',
      resolve: (c) => c.add_bos,
    }),
    addEos: t.boolean({
      nullable: true,
      description: 'Whether the end of a record is marked; null: as the tokenizer does.',
      resolve: (c) => c.add_eos,
    }),
    padding: t.string({
      nullable: true,
      description: 'How sequences are padded; null: the trainer’s way.',
      resolve: (c) => orNull(c.padding),
    }),
    truncation: t.string({
      nullable: true,
      description: 'How sequences are cut; null: the trainer’s way.',
      resolve: (c) => orNull(c.truncation),
    }),
    chatTemplate: t.string({
      nullable: true,
      description: 'Template of chat messages, Jinja; null: the tokenizer’s.',
      resolve: (c) => orNull(c.chat_template),
    }),
    fieldMapping: entries(t, 'Field that the trainer expects → field of the record.', (c) => c.field_mapping),
    fieldMappingJson: asJson(t, 'Field that the trainer expects → field of the record.', (c) => c.field_mapping),
  }),
})

/** The data of a job. */
export const DataConfigRef = builder.objectRef<DataConfig__Output>('DataConfig').implement({
  description: 'The data and its batching.',
  fields: (t) => ({
    sources: t.field({ type: [DataSourceRef], description: 'Where the records come from.', resolve: (c) => c.sources }),
    preprocess: t.field({
      type: PreprocessConfigRef,
      nullable: true,
      description: 'How records become tokens; null: the model’s way.',
      resolve: (c) => c.preprocess,
    }),
    maxSeqLength: t.int({
      nullable: true,
      description: 'Most tokens of a sequence; null: what the model allows.',
      resolve: (c) => orNull(c.max_seq_length),
    }),
    batchSize: t.int({
      nullable: true,
      description: 'Sequences a device and step; null: the trainer’s default.',
      resolve: (c) => orNull(c.batch_size),
    }),
    gradientAccumulationSteps: t.int({
      description: 'Batches a step, from 1.',
      resolve: (c) => c.gradient_accumulation_steps || 1,
    }),
    numWorkers: t.exposeInt('num_workers', { description: 'Processes that load data; 0: the trainer itself.' }),
    pinMemory: t.exposeBoolean('pin_memory', { description: 'Whether batches are pinned in memory.' }),
    validationSplit: t.float({ description: 'Fraction of records held out, 0 to 1.', resolve: (c) => c.validation_split ?? 0 }),
    seed: t.field({
      type: 'BigInt',
      nullable: true,
      description: 'Seed of all that is random; null: the trainer’s default.',
      resolve: (c) => c.seed,
    }),
  }),
})

/** What a job needs. */
export const ResourceConfigRef = builder.objectRef<ResourceConfig__Output>('ResourceConfig').implement({
  description: 'What the job needs to run.',
  fields: (t) => ({
    gpuCount: t.exposeInt('gpu_count', { description: 'GPUs over all nodes; 0 is a CPU job.' }),
    gpuType: t.string({ nullable: true, description: 'Type of GPU; null: any.', resolve: (c) => orNull(c.gpu_type) }),
    numNodes: t.int({ description: 'Nodes, from 1; the GPUs are spread over them.', resolve: (c) => c.num_nodes || 1 }),
    minGpuMemoryGb: t.float({
      nullable: true,
      description: 'Least memory of each GPU, in 10^9 bytes; null: any.',
      resolve: (c) => orNull(c.min_gpu_memory_gb),
    }),
    cpusPerNode: t.int({ nullable: true, description: 'CPU cores a node; null: 1.', resolve: (c) => orNull(c.cpus_per_node) }),
    memoryGbPerNode: t.float({
      nullable: true,
      description: 'Memory on each node, in 10^9 bytes; null: none is set aside.',
      resolve: (c) => orNull(c.memory_gb_per_node),
    }),
    nodeSelector: entries(t, 'What a node must be.', (c) => c.node_selector),
    nodeSelectorJson: asJson(t, 'What a node must be.', (c) => c.node_selector),
  }),
})

/** What a job saves. */
export const OutputConfigRef = builder.objectRef<OutputConfig__Output>('OutputConfig').implement({
  description: 'What is saved, and where.',
  fields: (t) => ({
    outputUri: t.string({
      nullable: true,
      description: 'Folder that the output is copied to; null: the job’s own only.',
      resolve: (c) => orNull(c.output_uri),
    }),
    saveStrategy: t.field({
      type: SaveStrategyEnum,
      description: 'When checkpoints are saved.',
      resolve: (c) => known(saveStrategies, c.save_strategy) ?? 'STEPS',
    }),
    saveSteps: t.int({
      nullable: true,
      description: 'Optimizer steps between checkpoints; null: the trainer’s default.',
      resolve: (c) => orNull(c.save_steps),
    }),
    saveTotalLimit: t.int({
      nullable: true,
      description: 'Checkpoints that are kept, the newest; null: the trainer’s default.',
      resolve: (c) => orNull(c.save_total_limit),
    }),
    mergeAdapter: t.exposeBoolean('merge_adapter', { description: 'Whether the adapter is merged into the model.' }),
    exportFormat: t.string({
      nullable: true,
      description: 'Format of the output; null: `safetensors`.',
      resolve: (c) => orNull(c.export_format),
    }),
    registerAs: t.string({
      nullable: true,
      description: 'Name that the output is registered under; null: none.',
      resolve: (c) => orNull(c.register_as),
    }),
    publishCheckpoints: t.boolean({
      description: 'Whether checkpoints are registered under that name, too, while the job trains.',
      resolve: (c) => c.publish_checkpoints ?? false,
    }),
  }),
})

/** When a job may run. */
export const SchedulingConfigRef: ObjectRef<PothosSchemaTypes.ExtendDefaultTypes<SchemaTypes>, SchedulingConfig__Output> = builder
  .objectRef<SchedulingConfig__Output>('SchedulingConfig')
  .implement({
    description: 'When and in which order the job may run.',
    fields: (t) => ({
      queue: t.string({ description: 'The queue.', resolve: (c) => c.queue || 'default' }),
      preemptible: t.exposeBoolean('preemptible', { description: 'Whether a job of higher priority may take its place.' }),
      requeueOnPreemption: t.boolean({
        description: 'Whether it queues again by itself after that.',
        resolve: (c) => c.requeue_on_preemption ?? true,
      }),
      maxRuntimeSeconds: t.field({
        type: 'BigInt',
        nullable: true,
        description: 'Longest run of an attempt in seconds; null: no limit.',
        resolve: (c) => (c.max_runtime_seconds === '0' ? null : c.max_runtime_seconds),
      }),
      startAfter: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'Not before this time; null: at once.',
        resolve: (c) => timeOf(c.start_after),
      }),
      dependsOn: t.exposeStringList('depends_on', { description: 'Job ids that must be COMPLETED first.' }),
    }),
  })
