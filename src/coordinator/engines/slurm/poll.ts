import { setTimeout as delay } from 'node:timers/promises'
import type { AttemptName, EngineEvent, EngineSignal } from '../engine.js'
import type { EventQueue } from '../event-queue.js'
import type { SlurmView } from './cluster.js'
import type { SlurmCommands } from './commands.js'
import { awayMs, contactKeeper } from './contact.js'
import { SlurmRefused } from './failures.js'
import { advance, type Followed } from './follow.js'
import type { SlurmHandle } from './handle.js'
import type { SlurmNode } from './parse.js'
import { phaseOf } from './states.js'
import { readTraces } from './traces.js'

/** What attempts are followed with. */
export interface PollSettings {
  view: SlurmView
  commands: SlurmCommands
  events: EventQueue<EngineEvent>
  pollMs: number
  clock: () => Date
  /** Ends it all. */
  signal: AbortSignal
}

/** Launchers get this long to kill what they run and write how it ended; then Slurm kills. */
const killMs = 15_000

/** Follows attempts by asking Slurm of all of them at once, only while there are any. */
export function attemptPoller({ view, commands, events, pollMs, clock, signal }: PollSettings) {
  const all = new Map<string, Followed>()
  const contact = contactKeeper()
  const killedAt = new Map<Followed, number>()
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
      const jobs = new Map((await view.jobs('now')).map((job) => [job.id, job]))
      const ids = followed.map(({ handle }) => (handle.jobId === null ? null : (jobs.get(handle.jobId) ?? null)))
      const nodes = new Map<string, SlurmNode>()
      if (ids.some((job) => job && job.nodes.length > 0)) for (const node of await view.nodes()) nodes.set(node.name, node)
      for (const [index, attempt] of followed.entries()) {
        const job = ids[index] ?? null
        if (!signal.aborted) await look(attempt, { job, nodes, now })
      }
    } catch (error) {
      away(error)
    } finally {
      clearTimeout(overdue)
    }
  }

  async function look(followed: Followed, sight: Parameters<typeof advance>[1]): Promise<void> {
    const key = keyOf(followed.attempt)
    const { events: news, done } = await advance(followed, sight)
    const { job, nodes, now } = sight
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
    const job = handle.jobId === null ? undefined : (await view.jobs('now')).find(({ id }) => id === handle.jobId)
    if (!job || phaseOf(job.states) === 'ENDED' || handle.base + job.restarts > attempt.number) return null
    return job
  }

  return {
    /** Tells what becomes of the attempt from now on. */
    follow(attempt: AttemptName, handle: SlurmHandle): void {
      const fresh = { startTold: false, asked: new Set<string>(), endSeenAt: null, nodeIds: [], signs: [], nodeLost: '' }
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
