/**
 * What places and runs attempts. The coordinator decides order and policy where the engine does not
 * (`scheduler`), stores what it intends before it asks, and believes an engine only about processes.
 * Every method is safe to call twice.
 */
export interface Engine {
  /** `local` or `slurm`. */
  readonly name: string
  readonly version: string
  /** Starts the attempt, or puts it in the engine's own queue, and answers its handle, which the caller stores. Under the same job and number it starts nothing twice and answers the first handle. Throws EngineRefusal; and where it waits with it, as for an engine that is away, until the signal aborts, the signal's reason. */
  submit(attempt: AttemptOrder, signal?: AbortSignal): Promise<EngineHandle>
  /** Takes an attempt up in a later life of the coordinator, by its stored handle or, with null, by job and number. Answers null where it was never started. */
  reattach(attempt: AttemptName, handle: EngineHandle | null): Promise<EngineHandle | null>
  /** `checkpoint`: save and go on. `stop`: save if it can, and end (SIGKILL after the grace). `kill`: end at once. Nothing where it already ended. */
  signal(attempt: AttemptName, handle: EngineHandle, signal: EngineSignal): Promise<void>
  /** What becomes of submitted and reattached attempts, each ended one exactly once a life, until the signal aborts. */
  watch(signal: AbortSignal): AsyncIterable<EngineEvent>
  /** The machines as the engine sees them. */
  nodes(): Promise<EngineNode[]>
  /** The engine's own scheduler, to which jobs that may run are handed at once; null where the coordinator orders the queue and places. */
  readonly scheduler: EngineScheduler | null
  /** Drains and enables nodes in the engine itself; null where our record alone decides. */
  readonly nodeControl: EngineNodeControl | null
  /** Gives back what the engine holds; running attempts go on. */
  close(): Promise<void>
}

/** The engine will never run an attempt as it was asked; the message is its own word on why. */
export class EngineRefusal extends Error {
  override name = 'EngineRefusal'
}

/** A scheduler that orders its own queue, as Slurm's. While it is away its methods throw BACKEND_TIMEOUT. */
export interface EngineScheduler {
  /** What waits there, ours and others', in the order that it would start. */
  queue(): Promise<EngineQueueEntry[]>
  /** Where and when a submission would start that is not submitted. */
  forecast(request: SchedulingRequest): Promise<EngineForecast>
  /** Tells it the priority of a waiting attempt, and what it waits for, where that is news to it. Nothing where it runs or has ended. Throws EngineRefusal. */
  update(attempt: AttemptName, handle: EngineHandle, request: Pick<SchedulingRequest, 'priority' | 'dependencies'>): Promise<void>
  /** Queues that jobs may name, the default one first; the last known ones while the engine is away. */
  queues(): Promise<EngineQueue[]>
}

/** Nodes that are drained where the engine keeps them: an administrator's command and ours look the same. */
export interface EngineNodeControl {
  /** No new work on the node; what runs goes on. Twice is fine. */
  drain(nodeId: string, reason: string): Promise<void>
  /** Takes work again. */
  enable(nodeId: string): Promise<void>
}

/** What a job needs to run, spread evenly over its nodes. */
export interface Needs {
  gpuCount: number
  /** Empty: any one type. */
  gpuType: string
  nodes: number
  gpuMemoryBytesMin: number
  /** Slots that a job without GPUs takes on each of its nodes. */
  cpusPerNode: number
  memoryBytesPerNode: number
  /** What a node must be: `node_id`, `hostname` or `feature`, and its value. */
  nodeSelector: Record<string, string>
}

/** What an engine with a scheduler of its own must know to order and place an attempt. */
export interface SchedulingRequest {
  tenantId: string
  needs: Needs
  /** The job's queue. */
  queue: string
  /** 0 to 10, the higher the sooner. */
  priority: number
  /** Not before this time; null: at once. */
  notBefore: Date | null
  /** Attempts that must end with exit code 0 first. */
  dependencies: EngineHandle[]
  /** Longest run; null: no limit. */
  runSecondsMax: number | null
  /** Whether a job of higher priority may take its place. */
  preemptible: boolean
  /** Whether the engine may run it again by itself where it lost its place or node. */
  requeue: boolean
  /** The job's name and labels, for those who look at the engine: without control characters. */
  name: string
  labels: Record<string, string>
}

/** A job that waits in the engine's queue. */
export interface EngineQueueEntry {
  /** Null where it is none of ours. */
  attempt: Pick<AttemptName, 'jobId' | 'number'> | null
  queue: string
  /** Why it waits, in the engine's own word (Slurm's reason: `Resources`, `Priority`, `BeginTime`, …). */
  reason: string
  /** What that is for callers; null where nothing is in its way. */
  waitsFor: EngineWait | null
  /** When the engine expects to start it; null where it does not know. */
  estimatedStart: Date | null
}

/** What a job in the engine's queue waits for; `FOREVER`: as things are it will never start (a queue that is down, a limit below what it asks). */
export type EngineWait = 'PRIORITY' | 'RESOURCES' | 'DEPENDENCY' | 'START_TIME' | 'QUOTA' | 'NODES' | 'FOREVER'

/** Where and when a submission would start. */
export interface EngineForecast {
  /** Null where the engine would refuse it, or does not know. */
  start: Date | null
  nodeIds: string[]
  /** Why not now, in the engine's words; empty where it would start at once. */
  reason: string
  /** What that is for callers; null where it would start at once. */
  waitsFor: EngineWait | null
}

/** A queue of the engine. */
export interface EngineQueue {
  name: string
  isDefault: boolean
  /** Whether jobs in it start. */
  open: boolean
  /** Longest run of a job in it; null: no limit. */
  runSecondsMax: number | null
  nodeIds: string[]
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
  /** Words before the starter and the command, such as those that run them in a container. Default: none. */
  wrapper?: string[]
  /** Environment modules that are loaded before all of these, on every node. Default: none; an engine of one machine has none. */
  modules?: string[]
  /** Processes that the starter starts on each node where it has no GPUs. Default 1. */
  processesPerNode?: number
  /** The whole environment of the trainer but for what the launcher adds (SCAIMIND_JOB_DIR, RANK, WORLD_SIZE, MASTER_ADDR, …). */
  environment: Record<string, string>
  /** Whether JSON objects of numbers that the trainer prints are its metrics, unless it writes `metrics.jsonl` itself. Default false. */
  metricsFromOutput?: boolean
  /** Seconds between two samples of its GPUs, which each launcher writes to `gpu.<rank>.jsonl`. Default 0: none are taken. */
  gpuSampleSeconds?: number
  /** Where it runs; empty where the engine's own scheduler will choose. */
  placement: Placement[]
  /** For an engine with a scheduler of its own; null otherwise. */
  scheduling: SchedulingRequest | null
  stopGraceSeconds: number
}

/** News of an attempt. */
export type EngineEvent =
  /** Its processes run. `placement`: where, if the engine itself chose that. */
  | { type: 'started'; attempt: AttemptName; time: Date; placement?: Placement[] }
  /** Its processes are proven dead. `exitCode` is null where a signal ended it or the launcher died unheard (`lost`). */
  | ({ type: 'ended'; attempt: AttemptName } & AttemptEnd)
  /** Its processes are proven dead or given up, and the engine runs the job again by itself: as attempt `next`, which waits in its queue under the same handle. `started` and `ended` of it follow. */
  | { type: 'requeued'; attempt: AttemptName; next: AttemptName; handle: EngineHandle; token: string; end: AttemptEnd }
  /** The engine cannot be asked about it since that time, or its launcher is silent; or it can again. Nobody may take it for dead. */
  | { type: 'unreachable'; attempt: AttemptName; unreachable: boolean; since: Date; reason: string }

/** How an attempt ended. */
export interface AttemptEnd {
  time: Date
  exitCode: number | null
  signal: string
  /** Nobody heard its end: the launcher, or its node, died. */
  lost: boolean
  /** The engine's own word on why it ended; null where it has none and only the processes speak. */
  verdict: EngineVerdict | null
}

/** Why the engine says that an attempt ended, with its own words (`NODE_FAIL`, `Cancelled by uid 0`, …) for people. */
export interface EngineVerdict {
  cause: 'PREEMPTED' | 'NODE_FAILED' | 'TIME_LIMIT' | 'OUT_OF_MEMORY' | 'CANCELLED' | 'REFUSED'
  words: string
}

/** A machine as the engine sees it. */
export interface EngineNode {
  nodeId: string
  hostname: string
  /** Words that jobs can select nodes by. */
  features: string[]
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
  powerWatts: number | null
  /** Degrees. */
  temperatureCelsius: number | null
  /** Whether someone holds it in an engine that others use too; left out where only our record knows. */
  busy?: boolean
}
