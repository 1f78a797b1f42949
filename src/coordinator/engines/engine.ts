/**
 * What places and runs attempts. The coordinator decides order and policy where the engine does not
 * (`capabilities.ordersQueue`), stores what it intends before it asks, and believes an engine only about processes.
 * Every method is safe to call twice.
 */
export interface Engine {
  /** `local` or `slurm`. */
  readonly name: string
  readonly version: string
  readonly capabilities: EngineCapabilities
  /** Starts the attempt and answers its handle, which the caller stores. Under the same job and number it starts nothing twice and answers the first handle. */
  submit(attempt: AttemptOrder): Promise<EngineHandle>
  /** Takes an attempt up in a later life of the coordinator, by its stored handle or, with null, by job and number. Answers null where it was never started. */
  reattach(attempt: AttemptName, handle: EngineHandle | null): Promise<EngineHandle | null>
  /** `checkpoint`: save and go on. `stop`: save if it can, and end (SIGKILL after the grace). `kill`: end at once. Nothing where it already ended. */
  signal(attempt: AttemptName, handle: EngineHandle, signal: EngineSignal): Promise<void>
  /** What becomes of submitted and reattached attempts, each ended one exactly once a life, until the signal aborts. */
  watch(signal: AbortSignal): AsyncIterable<EngineEvent>
  /** The machines and what is free on them. */
  nodes(): Promise<EngineNode[]>
  /** Gives back what the engine holds; running attempts go on. */
  close(): Promise<void>
}

/** Asked instead of the engine's name. */
export interface EngineCapabilities {
  /** True where the engine's own scheduler orders the queue and places (Slurm); false where we do. */
  ordersQueue: boolean
  /** Whether nodes can be drained and enabled through us. */
  drains: boolean
}

/** Names an attempt, in the engine too: `scaimind-<job>-<number>`. */
export interface AttemptName {
  jobId: string
  number: number
  /** The attempt's folder, absolute: where an engine looks for what became of it. */
  directory: string
}

/** Plain JSON, stored by the coordinator, read only by the engine that made it. */
export type EngineHandle = { [key: string]: string | number | boolean | null }

export type EngineSignal = 'checkpoint' | 'stop' | 'kill'

/** Where an attempt runs: one entry a node. */
export interface Placement {
  nodeId: string
  gpuIndexes: number[]
  cpus: number
  memoryBytes: number
}

/** Everything that an engine needs to start an attempt. Its folder exists and holds `job.json`. */
export interface AttemptOrder extends AttemptName {
  tenantId: string
  /** Fencing token; also in the attempt's files. */
  token: string
  /** The trainer: program and arguments, never a shell line. */
  command: string[]
  /** The FrameworkType whose starter runs the command (`starterWords`); '' where it is run as it is. */
  framework: string
  /** The whole environment of the trainer but for what the launcher adds (SCAIMIND_JOB_DIR, RANK, WORLD_SIZE, MASTER_ADDR, …). */
  environment: Record<string, string>
  /** Whether JSON objects of numbers that the trainer prints are its metrics, unless it writes `metrics.jsonl` itself. Default false. */
  metricsFromOutput?: boolean
  placement: Placement[]
  stopGraceSeconds: number
}

/** News of an attempt. */
export type EngineEvent =
  | { type: 'started'; attempt: AttemptName; time: Date }
  /** Its processes are proven dead. `exitCode` is null where a signal ended it or the launcher died unheard (`lost`). */
  | { type: 'ended'; attempt: AttemptName; time: Date; exitCode: number | null; signal: string; lost: boolean }
  /** The engine cannot be asked about it for now, or can again. */
  | { type: 'unreachable'; attempt: AttemptName; unreachable: boolean }

/** A machine as the engine sees it. */
export interface EngineNode {
  nodeId: string
  hostname: string
  online: boolean
  /** Draining by the engine's own will, not by our record. */
  draining: boolean
  reason: string
  gpus: EngineGpu[]
  cpus: number
  memoryBytes: number
  lastHeartbeat: Date
}

/** A GPU as the engine sees it; who holds it is the coordinator's record. */
export interface EngineGpu {
  index: number
  type: string
  memoryBytes: number
  memoryUsedBytes: number | null
  /** 0 to 1. */
  utilization: number | null
}
