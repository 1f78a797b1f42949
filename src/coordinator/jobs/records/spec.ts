import type { DataConfig__Output } from '../../../generated/proto/scaimind/v1/DataConfig.js'
import type { JobSpec__Output } from '../../../generated/proto/scaimind/v1/JobSpec.js'
import type { OutputConfig__Output } from '../../../generated/proto/scaimind/v1/OutputConfig.js'
import type { ResourceConfig__Output } from '../../../generated/proto/scaimind/v1/ResourceConfig.js'
import type { SchedulingConfig__Output } from '../../../generated/proto/scaimind/v1/SchedulingConfig.js'
import type { TrainingConfig__Output } from '../../../generated/proto/scaimind/v1/TrainingConfig.js'

/** A submission with every part present and the documented defaults filled in. */
export interface Spec {
  name: string
  labels: Record<string, string>
  training_config: TrainingConfig__Output & {
    base_model: NonNullable<TrainingConfig__Output['base_model']>
    framework: NonNullable<TrainingConfig__Output['framework']>
    priority: number
  }
  data_config: DataConfig__Output
  resource_config: ResourceConfig__Output
  output_config: OutputConfig__Output
  scheduling_config: SchedulingConfig__Output & { requeue_on_preemption: boolean }
}

/** Fills in what the proto files document as defaults. Says nothing about whether the submission makes sense. */
export function completeSpec(given: JobSpec__Output | null): Spec {
  const spec = withoutOneofNames(given) as Partial<JobSpec__Output> | null
  const training = spec?.training_config
  const model = training?.base_model
  const framework = training?.framework
  const data = spec?.data_config
  const resources = spec?.resource_config
  const output = spec?.output_config
  const scheduling = spec?.scheduling_config
  return {
    name: spec?.name ?? '',
    labels: spec?.labels ?? {},
    training_config: {
      training_type: training?.training_type ?? 'TRAINING_TYPE_UNSPECIFIED',
      base_model: {
        model_id: model?.model_id ?? '',
        revision: model?.revision ?? '',
        source: model?.source ?? '',
        tokenizer_id: model?.tokenizer_id ?? '',
        dtype: model?.dtype ?? '',
        trust_remote_code: model?.trust_remote_code ?? false,
        model_kwargs: model?.model_kwargs ?? {},
      },
      framework: {
        type: !framework || framework.type === 'FRAMEWORK_TYPE_UNSPECIFIED' ? 'HF_TRAINER' : framework.type,
        config: framework?.config ?? {},
        distributed: framework?.distributed ?? null,
        custom_script_path: framework?.custom_script_path ?? '',
      },
      hyperparameters: training?.hyperparameters ?? {},
      environment: training?.environment ?? {},
      resume_from_checkpoint: training?.resume_from_checkpoint ?? '',
      max_retries: training?.max_retries ?? 0,
      priority: training?.priority ?? 5,
    },
    data_config: {
      sources: data?.sources ?? [],
      preprocess: data?.preprocess ?? null,
      max_seq_length: data?.max_seq_length ?? 0,
      batch_size: data?.batch_size || 8,
      gradient_accumulation_steps: data?.gradient_accumulation_steps || 1,
      num_workers: data?.num_workers ?? 0,
      pin_memory: data?.pin_memory ?? false,
      validation_split: data?.validation_split ?? 0,
      seed: data?.seed ?? '42',
    },
    resource_config: {
      gpu_count: resources?.gpu_count ?? 0,
      gpu_type: resources?.gpu_type ?? '',
      num_nodes: resources?.num_nodes || 1,
      min_gpu_memory_gb: resources?.min_gpu_memory_gb ?? 0,
      cpus_per_node: resources?.cpus_per_node || 1,
      memory_gb_per_node: resources?.memory_gb_per_node ?? 0,
      node_selector: resources?.node_selector ?? {},
    },
    output_config: {
      output_uri: output?.output_uri ?? '',
      save_strategy: !output || output.save_strategy === 'SAVE_STRATEGY_UNSPECIFIED' ? 'STEPS' : output.save_strategy,
      save_steps: output?.save_steps ?? 0,
      save_total_limit: output?.save_total_limit ?? 0,
      merge_adapter: output?.merge_adapter ?? false,
      export_format: output?.export_format ?? '',
      register_as: output?.register_as ?? '',
      publish_checkpoints: output?.publish_checkpoints ?? false,
    },
    scheduling_config: {
      queue: scheduling?.queue || 'default',
      preemptible: scheduling?.preemptible ?? false,
      requeue_on_preemption: scheduling?.requeue_on_preemption ?? true,
      max_runtime_seconds: scheduling?.max_runtime_seconds ?? '0',
      start_after: scheduling?.start_after ?? null,
      depends_on: scheduling?.depends_on ?? [],
    },
  }
}

/** Processes that train together on all nodes: as asked for, else one a GPU, on CPUs one a node. */
export function processesOf({ training_config: { framework }, resource_config: { gpu_count: gpus, num_nodes: nodes } }: Spec): number {
  return framework.distributed?.world_size || Math.max(gpus, nodes)
}

/** The training configuration as every reader sees it: environment values are write-only. */
export function maskEnvironment(training: Spec['training_config']): Spec['training_config'] {
  return { ...training, environment: Object.fromEntries(Object.keys(training.environment).map((name) => [name, '***'])) }
}

/** A parsed message without the `_field` entries by which proto-loader tells that an optional field is set. */
export function withoutOneofNames(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutOneofNames)
  if (value === null || typeof value !== 'object') return value
  // A map of the user's may have such keys too, but hardly ever with their own name as the value.
  const entries = Object.entries(value).filter(([key, inner]) => !(key.startsWith('_') && inner === key.slice(1)))
  return Object.fromEntries(entries.map(([key, inner]) => [key, withoutOneofNames(inner)]))
}
