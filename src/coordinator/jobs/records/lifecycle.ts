/*
 * The life of a job
 * =================
 *
 *                       ┌───────────────── failed, retries left · place lost ─────────────────┐
 *                       ▼                                                                     │
 *   PENDING ──────▶ QUEUED ──▶ SCHEDULING ──▶ PREPARING ──▶ TRAINING ⇄ CHECKPOINTING          │
 *                   ▲   ▲                                       │             │               │
 *         resumed ──┘   └── requeued, retried                   ▼             ▼               │
 *           │                    │                          EVALUATING ──▶ EXPORTING ──▶ COMPLETED
 *         PAUSED             PREEMPTED ◀── lost its place, from any running state
 *           ▲
 *           └── paused, from any running state          any state that is not terminal ──▶ FAILED, CANCELLED
 *
 * A job is PENDING while it is accepted and QUEUED once it may run. The queue chooses a place (SCHEDULING: the attempt is on record
 * and the engine is being asked), the engine starts the trainer (PREPARING), and from there on the trainer tells its phases. The final
 * evaluation is skipped by a job without a validation split.
 *
 * Where the engine has a scheduler of its own, the attempt is on record and in that scheduler's queue while the job is still QUEUED; when the engine starts
 * it, the job is SCHEDULING and PREPARING in one step. Then even a job that is QUEUED ends only when the engine says that nothing of it will run.
 *
 * Two things are kept apart here. `transitions` are facts that we record: something has happened, and the status follows. `actions` are
 * wishes that callers may voice. A wish for a job with running processes changes no status: it is stored as what is *wanted* (RUN,
 * PAUSE or CANCEL; CANCEL beats PAUSE), then the processes are asked to stop, and only when they are proven dead does a transition
 * follow, and are their GPUs free. Why the job stopped is then what was wanted, not the exit code. That is why `pause` may be asked only
 * in TRAINING and CHECKPOINTING, while `paused` is a fact that can be true in any running state: the trainer went on until it noticed.
 *
 * Terminal are COMPLETED, FAILED and CANCELLED. Nothing leads out of them but `retried`, which a caller asks for, and nothing at all out
 * of COMPLETED. A failed attempt that has retries left goes to QUEUED without being FAILED in between; only failures count against
 * max_retries, so a job can be preempted or paused as often as it pleases.
 */
import { Failure, JobStateConflict } from '../../../contract/failure.js'
import {
  isTerminal,
  type JobAction,
  type JobStatus,
  type JobWanted,
  jobActions,
  jobStatuses,
  terminalStatuses,
} from '../../../contract/statuses.js'

/** States in which processes of the job may be alive. */
const running = ['PREPARING', 'TRAINING', 'CHECKPOINTING', 'EVALUATING', 'EXPORTING'] as const satisfies readonly JobStatus[]
const notTerminal = jobStatuses.filter((status) => !isTerminal(status))

/** What can happen to a job: from which states, and where it leads. */
export const transitions = {
  admitted: { from: ['PENDING'], to: 'QUEUED' },
  placed: { from: ['QUEUED'], to: 'SCHEDULING' },
  placeLost: { from: ['SCHEDULING', 'PREPARING'], to: 'QUEUED' },
  submitted: { from: ['SCHEDULING'], to: 'PREPARING' },
  trains: { from: ['PREPARING', 'CHECKPOINTING'], to: 'TRAINING' },
  checkpoints: { from: ['TRAINING'], to: 'CHECKPOINTING' },
  evaluates: { from: ['PREPARING', 'TRAINING', 'CHECKPOINTING'], to: 'EVALUATING' },
  exports: { from: ['PREPARING', 'TRAINING', 'CHECKPOINTING', 'EVALUATING'], to: 'EXPORTING' },
  completed: { from: running, to: 'COMPLETED' },
  paused: { from: running, to: 'PAUSED' },
  resumed: { from: ['PAUSED'], to: 'QUEUED' },
  preempted: { from: running, to: 'PREEMPTED' },
  requeued: { from: ['PREEMPTED'], to: 'QUEUED' },
  triedAgain: { from: ['SCHEDULING', ...running], to: 'QUEUED' },
  retried: { from: ['FAILED', 'CANCELLED', 'PREEMPTED'], to: 'QUEUED' },
  failed: { from: notTerminal, to: 'FAILED' },
  cancelled: { from: notTerminal, to: 'CANCELLED' },
} as const satisfies Record<string, { from: readonly JobStatus[]; to: JobStatus }>

/** The name of something that can happen to a job. */
export type Transition = keyof typeof transitions

/** What callers may ask, and from which states. */
export const actions = {
  CANCEL: notTerminal,
  PAUSE: ['TRAINING', 'CHECKPOINTING'],
  RESUME: ['PAUSED'],
  RETRY: ['FAILED', 'CANCELLED', 'PREEMPTED'],
  UPDATE: jobStatuses,
  ARCHIVE: terminalStatuses,
} as const satisfies Record<JobAction, readonly JobStatus[]>

/** What the lifecycle looks at. */
export interface Standing {
  status: JobStatus
  wanted: JobWanted
}

/** Whether something can happen to a job in this state. */
export function canHappen(transition: Transition, status: JobStatus): boolean {
  return (transitions[transition].from as readonly JobStatus[]).includes(status)
}

/** The state after it happened. Throws where it cannot happen: that would be a bug of the caller. */
export function statusAfter(transition: Transition, status: JobStatus): JobStatus {
  if (!canHappen(transition, status)) throw new Error(`A job that is ${status} cannot be ${transition}.`)
  return transitions[transition].to
}

/** What a caller may ask now: nothing more of a job that is being cancelled, no second pause of one that is being paused. */
export function availableActions({ status, wanted }: Standing): JobAction[] {
  return jobActions.filter((action) => {
    if (!(actions[action] as readonly JobStatus[]).includes(status)) return false
    if (action === 'UPDATE' || action === 'RETRY' || action === 'RESUME' || action === 'ARCHIVE') return true
    return wanted !== 'CANCEL' && (action === 'CANCEL' || wanted !== 'PAUSE')
  })
}

/** Whether the request only repeats what was already asked; it is then answered with the same job. */
export function isRepeat(action: 'CANCEL' | 'PAUSE' | 'RESUME', { status, wanted }: Standing, cause: string): boolean {
  switch (action) {
    case 'CANCEL':
      return status === 'CANCELLED' || (wanted === 'CANCEL' && !isTerminal(status))
    case 'PAUSE':
      return wanted === 'PAUSE' && !isTerminal(status)
    case 'RESUME':
      return cause === 'RESUME' && wanted === 'RUN' && (status === 'QUEUED' || status === 'SCHEDULING' || status === 'PREPARING')
  }
}

/** Throws JOB_STATE_CONFLICT, naming the states from which it would be possible, unless the action is available. */
export function requireAction(action: JobAction, standing: Standing): void {
  if (availableActions(standing).includes(action)) return
  const allowedFrom: readonly JobStatus[] = actions[action]
  if (!allowedFrom.includes(standing.status)) throw new JobStateConflict(action.toLowerCase(), standing.status, allowedFrom)
  // The state would allow it, but something else is on its way.
  const going = standing.wanted === 'CANCEL' ? 'cancelled' : 'paused'
  throw new Failure('JOB_STATE_CONFLICT', `The job is being ${going}, so it cannot be asked to ${action.toLowerCase()}.`, {
    fields: [
      { path: 'state', message: standing.status },
      { path: 'allowed_from', message: allowedFrom.join(' ') },
    ],
  })
}

/** What happens to a job whose trainer announces a phase; null where the announcement changes nothing. */
export function phaseTransition(phase: JobStatus, status: JobStatus): Transition | null {
  const transition = ({ TRAINING: 'trains', CHECKPOINTING: 'checkpoints', EVALUATING: 'evaluates', EXPORTING: 'exports' } as const)[
    phase as string
  ]
  return transition && canHappen(transition, status) ? transition : null
}
