import { setTimeout as delay } from 'node:timers/promises'
import type { AttemptName, EngineEvent, EngineSignal } from '../engine.js'
import type { EventQueue } from '../event-queue.js'
import type { SlurmView } from './cluster.js'
import type { SlurmCommands } from './commands.js'
import { awayMs, contactKeeper } from './contact.js'
import { SlurmRefused } from './failures.js'
import { advance, type Followed } from './follow.js'
import type { SlurmHandle } from './handle.js'
import { slurmName } from './options.js'
import type { SlurmJob, SlurmNode } from './parse.js'
import { phaseOf } from './states.js'
import { markOver, readTraces } from './traces.js'
import { type Namesakes, tellTwins } from './twins.js'

/** What attempts are followed with. */
export interface PollSettings {
  view: SlurmView
  commands: SlurmCommands
  events: EventQueue<EngineEvent>
  pollMs: number
  clock: () => Date
  /** Whose jobs are ours. */
  userId: number | undefined
  /** Ends it all. */
  signal: AbortSignal
}

/** Launchers get this long to kill what they run and write how it ended; then Slurm kills. */
const killMs = 15_000

/** Follows attempts by asking Slurm of all of them at once, only while there are any. */
export function attemptPoller({ view, commands, events, pollMs, clock, userId, signal }: PollSettings) {
  const all = new Map<string, Followed>()
  const contact = contactKeeper()
  const killedAt = new Map<Followed, number>()
  const cancelled = new Set<number>()
  let wake = () => {}
  signal.addEventListener('abort', () => wake())

  const keyOf = ({ jobId, number }: Pick<AttemptName, 'jobId' | 'number'>) => `${jobId}/${number}`
  const isRunning = (states: string[] | undefined) => states !== undefined && phaseOf(states) === 'RUNNING'

  async function poll(): Promise<void> {
    const followed = [...all.values()]
    const now = clock()
    const away = (error: unknown) => {
      for (const event of contact.slurmAway(followed, error, { since: now, now: clock() })) events.push(event)
    }
    // Commands themselves try for long to reach a controller that is away.
    const overdue = setTimeout(away, awayMs, new Error('Slurm does not answer squeue.'))
    try {
      const find = finder(await view.jobs('now'))
      const found = followed.map(({ attempt, handle }) => find(attempt, handle))
      const nodes = new Map<string, SlurmNode>()
      if (found.some(({ job }) => job && job.nodes.length > 0)) for (const node of await view.nodes()) nodes.set(node.name, node)
      for (const [index, attempt] of followed.entries()) {
        const { job = null, surplus = [] } = found[index] ?? {}
        for (const { id } of surplus) cancelTwin(id)
        if (signal.aborted) return
        // What is wrong with one folder is no other's business.
        await look(attempt, { job, nodes, now }).catch((error: unknown) => {
          for (const event of contact.unreadable(attempt, error, now)) events.push(event)
        })
      }
    } catch (error) {
      away(error)
    } finally {
      clearTimeout(overdue)
    }
  }

  /** Finds attempts among all jobs: by the number that Slurm answered, and by name. */
  function finder(jobs: SlurmJob[]): (attempt: AttemptName, handle: SlurmHandle) => Namesakes {
    const named = new Map<string, SlurmJob[]>()
    for (const job of jobs) if (job.userId === userId) named.set(job.name, [...(named.get(job.name) ?? []), job])
    return ({ jobId }, { jobId: id, base }) => tellTwins(named.get(slurmName({ jobId, number: base })) ?? [], id)
  }

  /** Nobody waits for it, and it may take long. */
  function cancelTwin(id: number): void {
    if (cancelled.has(id)) return
    cancelled.add(id)
    commands.run('scancel', String(id)).catch(() => cancelled.delete(id))
  }

  async function look(followed: Followed, sight: Parameters<typeof advance>[1]): Promise<void> {
    const key = keyOf(followed.attempt)
    const { events: news, done } = await advance(followed, sight)
    const { job, nodes, now } = sight
    if (done) await markOver(followed.attempt.directory)
    if (signal.aborted) return
    const reach = done ? [] : await contact.slurmThere(followed, { running: isRunning(job?.states), nodes, now })
    for (const event of [...news, ...reach]) events.push(event)
    all.delete(key)
    if (!done) all.set(keyOf(followed.attempt), followed)
    else contact.forget(followed)
    const asked = killedAt.get(followed)
    if (done) killedAt.delete(followed)
    else if (asked !== undefined && job && now.getTime() - asked > killMs) {
      killedAt.delete(followed)
      await commands.run('scancel', String(job.id))
    }
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      if (all.size === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
        continue
      }
      await poll()
      await delay(pollMs, undefined, { signal }).catch(() => {})
    }
  }

  /** The job whose attempt this is, as it is now; null where the attempt has ended. */
  async function jobOf(attempt: AttemptName, handle: SlurmHandle) {
    const { job } = finder(await view.jobs('now'))(attempt, handle)
    if (!job || phaseOf(job.states) === 'ENDED' || handle.base + job.restarts > attempt.number) return null
    return job
  }

  return {
    /** Tells what becomes of the attempt from now on. */
    follow(attempt: AttemptName, handle: SlurmHandle): void {
      const fresh = { startTold: false, asked: new Set<string>(), ended: null, nodeIds: [], signs: [], nodeLost: '' }
      all.set(keyOf(attempt), { attempt, handle, ...fresh })
      wake()
    },

    /** Passes a request on: to the launchers where they run, else to Slurm, which takes the job out of its queue. */
    async request(attempt: AttemptName, handle: SlurmHandle, request: EngineSignal): Promise<void> {
      const followed = all.get(keyOf(attempt))
      if (request !== 'checkpoint' && followed?.asked.has(request)) return
      const job = await jobOf(attempt, handle)
      if (!job) return
      const id = String(job.id)
      const { claims } = await readTraces(attempt.directory)
      const runs = phaseOf(job.states) === 'RUNNING' && claims.length > 0
      followed?.asked.add(request)
      try {
        if (runs) await commands.run('scancel', `--signal=${signals[request]}`, '--batch', id)
        else if (request !== 'checkpoint') await commands.run('scancel', id)
        if (runs && request === 'kill' && followed) killedAt.set(followed, clock().getTime())
      } catch (error) {
        followed?.asked.delete(request)
        // It ended meanwhile.
        if (!(error instanceof SlurmRefused) || !/already (completing|completed)|invalid job id/i.test(error.words)) throw error
      }
    },

    stopped: run(),
  }
}

/** What the batch script listens to. */
const signals: Record<EngineSignal, string> = { checkpoint: 'USR1', stop: 'TERM', kill: 'QUIT' }
