import type { EngineVerdict, EngineWait } from '../engine.js'

/** Where a job of Slurm's stands, as far as our lifecycle asks. */
export type SlurmPhase = 'WAITING' | 'RUNNING' | 'ENDING' | 'ENDED'

const endStates: Record<string, EngineVerdict['cause'] | null> = {
  COMPLETED: null,
  FAILED: null,
  BOOT_FAIL: 'NODE_FAILED',
  CANCELLED: 'CANCELLED',
  DEADLINE: 'TIME_LIMIT',
  NODE_FAIL: 'NODE_FAILED',
  OUT_OF_MEMORY: 'OUT_OF_MEMORY',
  PREEMPTED: 'PREEMPTED',
  REVOKED: 'CANCELLED',
  TIMEOUT: 'TIME_LIMIT',
}

/**
 * Slurm's states (one word and its flags) as a phase. A job that is ENDING or being requeued still has processes; suspended ones have too.
 * Throws on a state that is none of Slurm's up to 25.05.
 */
export function phaseOf(states: string[]): SlurmPhase {
  // COMPLETING hides the state that it leads to in 22.05: the job may end, or wait again.
  if (has(states, 'COMPLETING', 'STAGE_OUT', 'SIGNALING', 'STOPPED') && !has(states, 'RUNNING', 'SUSPENDED')) return 'ENDING'
  if (has(states, 'PENDING', 'REQUEUED', 'REQUEUE_FED', 'REQUEUE_HOLD', 'SPECIAL_EXIT', 'RESV_DEL_HOLD', 'POWER_UP_NODE')) return 'WAITING'
  if (has(states, 'CONFIGURING')) return 'WAITING'
  if (has(states, 'RUNNING', 'SUSPENDED', 'RESIZING')) return 'RUNNING'
  if (states.some((state) => state in endStates)) return 'ENDED'
  throw new Error(`Slurm's job state ${states.join(',')} is not known.`)
}

/** Why Slurm says that a job ended; null where only its exit code speaks. */
export function verdictOf(states: string[], reason: string): EngineVerdict | null {
  const state = states.find((word) => word in endStates)
  if (state === undefined) return null
  const words = reason === '' || reason === 'None' ? state : `${state} (${reason})`
  if (state === 'FAILED' && reason === 'BadConstraints') return { cause: 'REFUSED', words }
  if (state === 'FAILED' && launchFailures.has(reason)) return { cause: 'NODE_FAILED', words }
  const cause = endStates[state]
  return cause ? { cause, words } : null
}

/** The nodes, not the job, are why nothing ran. */
const launchFailures = new Set(['JobLaunchFailure', 'SystemFailure', 'FAIL_SYSTEM'])

const waits: [RegExp, EngineWait][] = [
  [/^(None|Priority|Cleaning|Prolog|SchedDefer|BF.*)$/i, 'PRIORITY'],
  [/^DependencyNeverSatisfied$/i, 'FOREVER'],
  [/^Dependency$/i, 'DEPENDENCY'],
  [/^(BeginTime|Reservation|DeadLine|JobArrayTaskLimit)$/i, 'START_TIME'],
  // As things are: an administrator must act, or the job be changed.
  [
    /^(Partition(Down|Inactive|NodeLimit|TimeLimit)|PartitionConfig|JobHeld\w*|BadConstraints|Invalid\w*|AccountNotAllowed|QOSNotAllowed)$/i,
    'FOREVER',
  ],
  [
    /^(AccountingPolicy|JobHoldMaxRequeue|Reservation(Deleted|Invalid)|launch_failed_requeued_held|job_requeued_in_held_state|(Assoc|QOS)Job.*Limit)$/i,
    'FOREVER',
  ],
  [/^(Assoc|QOS|Max\w+Per|MaxGRES|MaxJobs)/i, 'QUOTA'],
  [/^(ReqNodeNotAvail|NodeDown|FrontEndDown|NodeNotAvail|Nodes_?required|BadNode)/i, 'NODES'],
]

/** What a job waits for by Slurm's reason. A reason that is not known is a want of resources. */
export function waitOf(reason: string): EngineWait {
  return waits.find(([word]) => word.test(reason.replaceAll(' ', '_')))?.[1] ?? 'RESOURCES'
}

function has(states: string[], ...words: string[]): boolean {
  return states.some((state) => words.includes(state))
}
