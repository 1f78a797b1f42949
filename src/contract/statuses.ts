/** The documented job statuses, in the order of a job's life. */
export const jobStatuses = [
  'PENDING',
  'QUEUED',
  'SCHEDULING',
  'PREPARING',
  'TRAINING',
  'CHECKPOINTING',
  'PAUSED',
  'EVALUATING',
  'EXPORTING',
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'PREEMPTED',
] as const
/** Where a job stands. */
export type JobStatus = (typeof jobStatuses)[number]

/** A job in one of these never starts again by itself. */
export const terminalStatuses = ['COMPLETED', 'FAILED', 'CANCELLED'] as const satisfies readonly JobStatus[]
/** A job in one of these holds resources. */
export const activeStatuses = [
  'SCHEDULING',
  'PREPARING',
  'TRAINING',
  'CHECKPOINTING',
  'EVALUATING',
  'EXPORTING',
] as const satisfies readonly JobStatus[]

export const isTerminal = (status: JobStatus): boolean => (terminalStatuses as readonly JobStatus[]).includes(status)
export const isActive = (status: JobStatus): boolean => (activeStatuses as readonly JobStatus[]).includes(status)

export const trainingTypes = ['SFT', 'LORA', 'QLORA', 'DPO', 'RLHF', 'CONTINUED_PRETRAIN', 'FULL_FINETUNE'] as const
export type TrainingType = (typeof trainingTypes)[number]

export const frameworkTypes = ['HF_TRAINER', 'DEEPSPEED', 'FSDP', 'MEGATRON', 'CUSTOM'] as const
export type FrameworkType = (typeof frameworkTypes)[number]

export const logLevels = ['DEBUG', 'INFO', 'WARN', 'ERROR'] as const
export type LogLevel = (typeof logLevels)[number]

export const saveStrategies = ['STEPS', 'EPOCH', 'NONE'] as const
export const jobActions = ['CANCEL', 'PAUSE', 'RESUME', 'RETRY', 'UPDATE', 'ARCHIVE'] as const
/** What a caller may ask of a job. */
export type JobAction = (typeof jobActions)[number]
/** What is wanted of a job; stored before any signal is sent. */
export const wantedStates = ['RUN', 'PAUSE', 'CANCEL'] as const
export type JobWanted = (typeof wantedStates)[number]
export const attemptCauses = ['FIRST', 'RESUME', 'RETRY', 'REQUEUE'] as const
export type AttemptCause = (typeof attemptCauses)[number]
export const nodeStatuses = ['ONLINE', 'DRAINING', 'OFFLINE'] as const
export type NodeStatus = (typeof nodeStatuses)[number]
export const failureClasses = [
  'OUT_OF_MEMORY',
  'NAN_LOSS',
  'COLLECTIVE_HANG',
  'DATA',
  'NODE',
  'CODE',
  'AUTH',
  'TIME_LIMIT',
  'UNKNOWN',
] as const
export type FailureClass = (typeof failureClasses)[number]

/** Why a job waits. */
export const blockerKinds = ['GPUS', 'CPUS', 'MEMORY', 'NODES', 'DRAINING', 'DEPENDENCY', 'START_TIME', 'QUOTA', 'JOBS_AHEAD'] as const
/** Why a job waits: one thing that it lacks. */
export type BlockerKind = (typeof blockerKinds)[number]
/** What a retention policy deletes. */
export const retentionScopes = ['CHECKPOINTS', 'JOBS'] as const
/** What the embedded trainer can measure. */
export const benchmarkNames = ['perplexity', 'exact_match', 'bytes_accuracy'] as const

/** The fields that job lists can be ordered by. */
export const jobOrderFields = ['created_at', 'started_at', 'finished_at', 'priority', 'name', 'status'] as const

/** What a job's lineage is made of. */
/** Servers that a command is known for to serve a model; SCAIMIND is the text generation of the embedded trainer. */
export const modelServers = ['VLLM', 'TGI', 'TRANSFORMERS', 'SCAIMIND'] as const
export type ModelServer = (typeof modelServers)[number]

export const lineageKinds = ['DATASET', 'BASE_MODEL', 'JOB', 'ATTEMPT', 'CHECKPOINT', 'ARTEFACT', 'EVALUATION'] as const
export type LineageKind = (typeof lineageKinds)[number]
