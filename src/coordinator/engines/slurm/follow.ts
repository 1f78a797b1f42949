import { access } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type ExitRecord, readLauncher } from '../attempt-folder.js'
import type { AttemptEnd, AttemptName, EngineEvent, EngineVerdict } from '../engine.js'
import { silentLauncher } from './contact.js'
import { type SlurmHandle, storeHandle } from './handle.js'
import { isNodeOnline } from './nodes.js'
import type { SlurmJob, SlurmNode } from './parse.js'
import { phaseOf, verdictOf } from './states.js'
import { newestRequeued, readMemoryKill, readNodes, readRequeue, readToken, readTraces, type Traces } from './traces.js'

/** An attempt that is followed to its end. */
export interface Followed {
  /** The attempt that is current: Slurm may begin the next under the same handle. */
  attempt: AttemptName
  handle: SlurmHandle
  startTold: boolean
  /** What we asked of it in this life. */
  asked: Set<string>
  /** Slurm's last word that it has ended, and when it first said so. Slurm may forget the job before all of its traces are here. */
  ended: { job: SlurmJob; heardAt: number } | null
  /** Where it runs, by Slurm's last word. */
  nodeIds: string[]
  /** Each launcher's last sign of life and when it came, by our clock. */
  signs: { value: string; seenAt: number }[]
  /** Whether one of its nodes was seen away while it ran there. */
  nodeLost: string
}

/** For files on a shared folder to be seen here, after Slurm says that their writer has ended. */
const tracesLateMs = 5000

/** What is known of a followed attempt at one time. */
export interface Look {
  /** Null: Slurm does not know it any more. */
  job: SlurmJob | null
  nodes: Map<string, SlurmNode>
  now: Date
}

/**
 * Goes on from what was told of an attempt to what is to tell now, in order, and remembers it in `followed`. `done`: it has ended, and nothing more
 * will come.
 */
export async function advance(followed: Followed, look: Look): Promise<{ events: EngineEvent[]; done: boolean }> {
  const { job, nodes, now } = look
  const events: EngineEvent[] = []
  const phase = job ? phaseOf(job.states) : null
  noteLostNodes(followed, nodes)
  if (phase === 'ENDING' && !(await haveAllSucceeded(followed.attempt))) return { events, done: false }
  for (;;) {
    const next = await requeuedAs(followed, job)
    if (!next) break
    events.push(...(await requeue(followed, next, look)))
  }
  if (phase === 'WAITING') return { events, done: false }
  if (phase === 'RUNNING' && job) {
    followed.nodeIds = job.nodes.map(({ nodeId }) => nodeId)
    if (!followed.startTold) events.push(start(followed, job, job.startTime ?? now))
    return { events, done: false }
  }
  // It was there when the attempt was handed over, so it is the disk that is away.
  if (followed.attempt.number === followed.handle.base) await access(followed.attempt.directory)
  if (job) followed.ended = { job, heardAt: followed.ended?.heardAt ?? now.getTime() }
  const traces = await readTraces(followed.attempt.directory)
  if (await mayStillSpeak(followed, traces, now)) return { events, done: false }
  events.push(...(await endAs(followed, traces, now)))
  return { events, done: true }
}

/**
 * Whether every rank has ended well, by its launcher's own record. Slurm may take minutes more to clear up its nodes, which is no business of the job's; of anything but
 * success Slurm has the last word: it may run the job again.
 */
async function haveAllSucceeded({ directory }: AttemptName): Promise<boolean> {
  const [{ exits }, nodes] = await Promise.all([readTraces(directory), readNodes(directory)])
  return nodes.length > 0 && exits.length >= nodes.length && exits.every(({ code }) => code === 0)
}

/** The attempt's end, after its start where that was not told. */
async function endAs(followed: Followed, traces: Traces, now: Date): Promise<EngineEvent[]> {
  const events: EngineEvent[] = []
  const job = followed.ended?.job ?? null
  const ranEnd = traces.exits.length > 0 || traces.claims.length > 0
  if (ranEnd && !followed.startTold) events.push(job?.startTime ? start(followed, job, job.startTime) : await startedUnseen(followed, now))
  const memoryKill = await readMemoryKill(followed.attempt.directory, followed.handle.base)
  const end = endOf(traces, { job, now }, verdictFor(followed, traces, { job, memoryKill }))
  return [...events, { type: 'ended', attempt: followed.attempt, ...end }]
}

function start(followed: Followed, job: SlurmJob | null, time: Date): EngineEvent {
  followed.startTold = true
  return { type: 'started', attempt: followed.attempt, time, ...(job && job.nodes.length > 0 ? { placement: job.nodes } : {}) }
}

/** The start of an attempt that was not seen while it ran, from what it left: on which nodes, but not what it had there. */
async function startedUnseen(followed: Followed, now: Date): Promise<EngineEvent> {
  const { directory } = followed.attempt
  const launcher = await readLauncher(directory)
  const time = launcher === null || launcher === 'sealed' ? now : launcher.time
  followed.startTold = true
  const placement = (await readNodes(directory)).map((nodeId) => ({ nodeId, gpuIndexes: [], cpus: 0, memoryBytes: 0 }))
  return { type: 'started', attempt: followed.attempt, time, ...(placement.length > 0 ? { placement } : {}) }
}

/** The next attempt of the same submission, if Slurm has begun one. It counts them; where it has forgotten the job, the folders of later ones say so. */
async function requeuedAs({ attempt, handle }: Followed, job: SlurmJob | null): Promise<AttemptName | null> {
  const attempts = dirname(attempt.directory)
  const number = attempt.number + 1
  const newest = job ? handle.base + job.restarts : await newestRequeued(attempts, handle.base)
  return newest > attempt.number ? { jobId: attempt.jobId, number, directory: join(attempts, String(number)) } : null
}

async function requeue(followed: Followed, next: AttemptName, look: Look): Promise<EngineEvent[]> {
  const { attempt, handle } = followed
  const traces = await readTraces(attempt.directory)
  const events: EngineEvent[] = []
  if (traces.claims.length > 0 && !followed.startTold) events.push(await startedUnseen(followed, look.now))
  const words = followed.nodeLost || 'requeued by Slurm'
  const verdict: EngineVerdict = { cause: followed.nodeLost ? 'NODE_FAILED' : 'PREEMPTED', words }
  // Nobody may have looked for long: it was over when the next one began, at the latest.
  const now = (await readRequeue(next.directory))?.time ?? look.now
  const end = endOf(traces, { job: null, now }, verdict)
  const token = await readToken(next.directory)
  events.push({ type: 'requeued', attempt, next, handle: storeHandle(handle), token, end })
  Object.assign(followed, { attempt: next, startTold: false, asked: new Set(), ended: null, nodeIds: [], signs: [], nodeLost: '' })
  return events
}

/** Whether more may come of an attempt that Slurm calls ended, or has forgotten. */
async function mayStillSpeak(followed: Followed, { claims, exits }: Traces, now: Date): Promise<boolean> {
  if (exits.length >= claims.length) return false
  // Slurm's word is proof of death; without it only a long silence is.
  if (!followed.ended) return !(await silentLauncher(followed, claims.length, now))
  return now.getTime() - followed.ended.heardAt < tracesLateMs
}

function verdictFor(
  { asked }: Followed,
  { timeIsUp, refusal }: Traces,
  { job, memoryKill }: { job: SlurmJob | null; memoryKill: string | null },
): EngineVerdict | null {
  if (refusal !== null) return { cause: 'REFUSED', words: refusal }
  if (timeIsUp) return { cause: 'TIME_LIMIT', words: 'the longest run was over' }
  if (memoryKill !== null) return { cause: 'OUT_OF_MEMORY', words: memoryKill }
  const verdict = job && verdictOf(job.states, job.reason)
  return verdict?.cause === 'CANCELLED' && (asked.has('stop') || asked.has('kill')) ? null : verdict
}

function endOf({ claims, exits, refusal }: Traces, { job, now }: Pick<Look, 'job' | 'now'>, verdict: EngineVerdict | null): AttemptEnd {
  const inOrder = [...exits].sort((a, b) => a.time.getTime() - b.time.getTime())
  const isBad = ({ code, signal }: ExitRecord) => code !== 0 || signal !== null
  const telling = inOrder.find(isBad) ?? (exits.length >= claims.length ? inOrder.at(-1) : undefined)
  if (telling) {
    const time = inOrder.at(-1)?.time ?? telling.time
    return { time, exitCode: telling.code, signal: telling.signal ?? '', lost: false, verdict }
  }
  const time = job?.endTime ?? now
  const neverRan = claims.length === 0
  // No launcher was there to tell: the script itself failed, or never ran.
  const exitCode = neverRan && verdict === null && job?.exitCode ? job.exitCode : null
  const lost = !neverRan || (exitCode === null && verdict === null && refusal === null && job === null)
  return { time, exitCode, signal: '', lost, verdict }
}

function noteLostNodes(followed: Followed, nodes: Map<string, SlurmNode>): void {
  const away = awayNode(followed, nodes)
  if (nodes.size > 0) followed.nodeLost = away ? `NODE_FAIL: ${away.name} is ${away.states.join(', ')}` : ''
}

/** A node that the attempt runs on, by Slurm's last word, and with which Slurm has no contact. */
export function awayNode({ nodeIds }: Followed, nodes: Map<string, SlurmNode>): SlurmNode | undefined {
  return nodeIds.flatMap((id) => nodes.get(id) ?? []).find((node) => !isNodeOnline(node))
}
