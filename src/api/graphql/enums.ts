import { codes } from '../../contract/codes.js'
import {
  attemptCauses,
  blockerKinds,
  failureClasses,
  frameworkTypes,
  jobActions,
  jobOrderFields,
  jobStatuses,
  lineageKinds,
  logLevels,
  modelServers,
  nodeStatuses,
  retentionScopes,
  saveStrategies,
  trainingTypes,
} from '../../contract/statuses.js'
import { builder } from './builder.js'

/** Declares an enum; each value has its sentence. */
function enumOf<Value extends string>(name: string, description: string, words: readonly Value[], meanings: Record<Value, string>) {
  const values = Object.fromEntries(words.map((word) => [word.toUpperCase(), { value: word, description: meanings[word] }]))
  return builder.enumType(name, { description, values: values as Record<string, { value: Value; description: string }> })
}

/** The value where it is one of the words; null for what protobuf calls unspecified. */
export const known = <Value extends string>(words: readonly Value[], value: string | null | undefined): Value | null =>
  words.find((word) => word === value) ?? null

export const ErrorCodeEnum = enumOf(
  'ErrorCode',
  'What went wrong, in the words that every door uses.',
  Object.keys(codes) as (keyof typeof codes)[],
  Object.fromEntries(Object.entries(codes).map(([code, { meaning }]) => [code, meaning])) as Record<keyof typeof codes, string>,
)

export const JobStatusEnum = enumOf('JobStatus', 'Where a job stands. Terminal: COMPLETED, FAILED, CANCELLED.', jobStatuses, {
  PENDING: 'Accepted, not yet admitted to the queue.',
  QUEUED: 'Waiting for resources.',
  SCHEDULING: 'Placement chosen, not yet started.',
  PREPARING: 'Data and model are made ready on the node.',
  TRAINING: 'Training.',
  CHECKPOINTING: 'Training waits while a checkpoint is written.',
  PAUSED: 'Stopped on request, resources given back, can be resumed.',
  EVALUATING: 'The final pass over the validation split.',
  EXPORTING: 'The adapter or model is being saved.',
  COMPLETED: 'Done.',
  FAILED: 'Ended by a failure; `failure` says why.',
  CANCELLED: 'Ended on request.',
  PREEMPTED: 'Lost its place; requeues by itself unless `requeueOnPreemption` is false.',
})

export const TrainingTypeEnum = enumOf('TrainingType', 'How a model is trained.', trainingTypes, {
  SFT: 'Supervised fine-tuning.',
  LORA: 'Low-rank adapters on a frozen model.',
  QLORA: 'Low-rank adapters on a quantised model.',
  DPO: 'Direct preference optimisation.',
  RLHF: 'Reinforcement learning from human feedback.',
  CONTINUED_PRETRAIN: 'Pretraining continued on plain text.',
  FULL_FINETUNE: 'Fine-tuning of all weights.',
})

export const FrameworkTypeEnum = enumOf('FrameworkType', 'What runs the training loop.', frameworkTypes, {
  HF_TRAINER: 'The default trainer.',
  DEEPSPEED: 'DeepSpeed.',
  FSDP: 'Fully sharded data parallel.',
  MEGATRON: 'Megatron.',
  CUSTOM: 'A script of one’s own.',
})

export const SaveStrategyEnum = enumOf('SaveStrategy', 'When checkpoints are saved.', saveStrategies, {
  STEPS: 'Every `saveSteps` steps.',
  EPOCH: 'After each epoch.',
  NONE: 'Never.',
})

export const LogLevelEnum = enumOf('LogLevel', 'Severity of a log line.', logLevels, {
  DEBUG: 'For those who look for a fault.',
  INFO: 'Said in passing; also what names no level.',
  WARN: 'Something that may need attention.',
  ERROR: 'Something failed.',
})

export const JobActionEnum = enumOf('JobAction', 'What a caller may ask of a job.', jobActions, {
  CANCEL: 'cancelJob.',
  PAUSE: 'pauseJob.',
  RESUME: 'resumeJob.',
  RETRY: 'retryJob.',
  UPDATE: 'updateJob.',
  ARCHIVE: 'archiveJob.',
})

export const AttemptCauseEnum = enumOf('AttemptCause', 'Why an attempt was started.', attemptCauses, {
  FIRST: 'The first.',
  RESUME: 'The job was paused and resumed.',
  RETRY: 'The attempt before failed, or a caller asked for a retry.',
  REQUEUE: 'The attempt before lost its place.',
})

export const FailureClassEnum = enumOf('FailureClass', 'What kind of failure ended a job.', failureClasses, {
  OUT_OF_MEMORY: 'Memory of a GPU or of the machine ran out.',
  NAN_LOSS: 'The loss was not a number.',
  COLLECTIVE_HANG: 'Processes waited for each other too long.',
  DATA: 'The data could not be used.',
  NODE: 'The machine failed.',
  CODE: 'The program raised an error.',
  AUTH: 'Something could not be fetched for lack of permission.',
  TIME_LIMIT: 'The job ran longer than it was allowed to.',
  UNKNOWN: 'None of these is known.',
})

export const BlockerKindEnum = enumOf('BlockerKind', 'What a waiting job lacks.', blockerKinds, {
  GPUS: 'GPUs; `of` is their type, null for any.',
  CPUS: 'CPU slots of a machine.',
  MEMORY: 'Bytes of memory of a machine.',
  NODES: 'Machines that match the node selector, are online and large enough.',
  DRAINING: 'A machine that would do is draining; `of` is its id.',
  DEPENDENCY: 'Jobs that must be COMPLETED first: `jobs`.',
  START_TIME: 'A time to come: `startAfter`, or the wait before a retry.',
  QUOTA: 'A limit of the tenant; `of` says which.',
  JOBS_AHEAD: 'Jobs that are ahead in the queue and need the same: `jobs`, those of the tenant.',
})

export const RetentionScopeEnum = enumOf('RetentionScope', 'What retention deletes of a job.', retentionScopes, {
  CHECKPOINTS: 'All but the newest checkpoint; record, journals and output stay.',
  JOBS: 'The job with everything of it: record, journals, checkpoints, output.',
})

export const LineageKindEnum = enumOf('LineageKind', 'What a part of a lineage is.', lineageKinds, {
  DATASET: 'Data, by content.',
  BASE_MODEL: 'The model that training starts from.',
  JOB: 'A training job.',
  ATTEMPT: 'One launch of its trainer.',
  CHECKPOINT: 'A state that training can go on from.',
  ARTEFACT: 'The model that the job left behind.',
  EVALUATION: 'An evaluation of that.',
})

export const ModelServerEnum = enumOf('ModelServer', 'A server of models.', modelServers, {
  VLLM: 'vLLM.',
  TGI: 'HuggingFace’s Text Generation Inference.',
  TRANSFORMERS: '`transformers serve`.',
  SCAIMIND: 'The text generation of the embedded trainer, for byte-level models.',
})

export const NodeStatusEnum = enumOf('NodeStatus', 'Whether a machine takes work.', nodeStatuses, {
  ONLINE: 'Takes work.',
  DRAINING: 'Takes no new work.',
  OFFLINE: 'Not there.',
})

export const JobOrderFieldEnum = enumOf('JobOrderField', 'What jobs are ordered by.', [...jobOrderFields, 'updated_at'] as const, {
  created_at: 'When it was submitted.',
  started_at: 'When its first attempt started.',
  finished_at: 'When it ended.',
  priority: 'Its priority.',
  name: 'Its name, character by character: capitals come before small letters.',
  status: 'Its status, by the alphabet.',
  updated_at: 'When it last changed. A job that changes while someone pages moves to the newest end.',
})

export const jobEventTypes = ['SUBMITTED', 'STATUS_CHANGED', 'UPDATED', 'DELETED'] as const
export const JobEventTypeEnum = enumOf('JobEventType', 'What a change of a job was.', jobEventTypes, {
  SUBMITTED: 'It was accepted.',
  STATUS_CHANGED: 'Its status changed.',
  UPDATED: 'Something else of it changed: progress, labels, priority, output.',
  DELETED: 'It is gone.',
})

export const ConsistencyEnum = enumOf('Consistency', 'Where a job is read.', ['CACHED', 'COORDINATOR'] as const, {
  CACHED: 'From the copy that job events keep fresh within a second.',
  COORDINATOR: 'From the coordinator, now; the copy where it cannot be reached.',
})

export const ArchivedEnum = enumOf('Archived', 'Whether archived jobs are meant.', ['EXCLUDE', 'INCLUDE', 'ONLY'] as const, {
  EXCLUDE: 'Only jobs that are not archived.',
  INCLUDE: 'Archived jobs and others.',
  ONLY: 'Only archived jobs.',
})

export const OrderDirectionEnum = enumOf('OrderDirection', 'Which end comes first.', ['ASC', 'DESC'] as const, {
  ASC: 'The smallest, the oldest.',
  DESC: 'The greatest, the newest.',
})

export const ScoreDirectionEnum = enumOf('ScoreDirection', 'Which way of a score is better.', ['LOWER', 'HIGHER'] as const, {
  LOWER: 'The lower, the better: perplexity, loss.',
  HIGHER: 'The higher, the better: exact_match, bytes_accuracy.',
})
