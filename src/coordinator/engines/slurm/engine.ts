import { fileURLToPath } from 'node:url'
import type { AttemptName, Engine, EngineEvent, EngineNode } from '../engine.js'
import { eventQueue } from '../event-queue.js'
import { slurmView } from './cluster.js'
import { slurmCommands } from './commands.js'
import { slurmControl } from './control.js'
import { readHandle, type SlurmHandle, storeHandle } from './handle.js'
import { isNodeOnline, toEngineNode } from './nodes.js'
import { attemptPoller } from './poll.js'
import { slurmScheduler } from './scheduler.js'
import { submitter } from './submit.js'

/** What the Slurm engine is made of. */
export interface SlurmEngineOptions {
  /** Folders of Slurm's commands, separated by `:`. Default `/usr/local/bin:/usr/bin:/bin`. */
  commandsPath?: string
  /** Slurm's configuration, for SLURM_CONF. Default: the machine's own. */
  conf?: string
  /** How often Slurm is asked, while there are attempts to follow. Default 1000. */
  pollMs?: number
  /** The Node program on every node. Default: the path of the one that runs this process. */
  nodeBinary?: string
  /** The built launcher, as every node sees it. Default: `dist/launcher/main.js` of this package; the others lie beside it. */
  launcherPath?: string
  requeuePath?: string
  requestPath?: string
  /** Whether tenants are accounts of Slurm's (`--account`). Default false. */
  account?: boolean
  /** The partition for preemptible jobs, which jobs of others may push out. Default: none; then `preemptible` does nothing. */
  preemptiblePartition?: string
  clock?: () => Date
}

const built = (name: string) => fileURLToPath(new URL(`../../../../dist/launcher/${name}.js`, import.meta.url))

/**
 * Runs attempts on a Slurm cluster of version 22.05 or later, by its client commands and a folder that all nodes share. Slurm decides order and place. Beyond
 * the promises of `Engine`:
 * - A submission waits while Slurm is away. One that Slurm refuses has a handle too, and ends with the verdict REFUSED.
 * - `started` has Slurm's time and placement; an attempt that never ran has no `started`.
 * - `kill` has the launchers kill the trainers and write how they ended; after 15 s Slurm itself is asked to.
 * - What Slurm has forgotten (MinJobAge) is told from the attempt's folder; without `exit.json` there it is lost only when no launcher gave a sign of life for 30 s.
 * - `nodes` answers the last known nodes while Slurm is away; it rejects where none were ever known.
 * Throws where Slurm's commands are not there.
 */
export function slurmEngine(options: SlurmEngineOptions = {}): Engine {
  const { pollMs = 1000, nodeBinary = process.execPath, clock = () => new Date() } = options
  const { launcherPath = built('main'), requeuePath = built('requeue'), requestPath = built('request') } = options
  const commands = slurmCommands({ ...options, commandsPath: options.commandsPath ?? '/usr/local/bin:/usr/bin:/bin' })
  const view = slurmView(commands)
  const closing = new AbortController()
  const events = eventQueue<EngineEvent>()
  const ways = { preemptiblePartition: options.preemptiblePartition ?? null, tenantsAreAccounts: options.account ?? false }
  const userId = process.getuid?.()
  const submissions = submitter({ commands, view, ways, nodeBinary, launcherPath, requeuePath, requestPath, userId })
  const poller = attemptPoller({ view, commands, events, pollMs, clock, userId, signal: closing.signal })
  /** Submissions and searches on their way or followed. */
  const known = new Map<string, Promise<SlurmHandle | null>>()
  const seen = new Map<string, Date>()
  let lastNodes: EngineNode[] | null = null

  /** One search or submission of an attempt at a time, whose answer stands. */
  function once(attempt: AttemptName, find: () => Promise<SlurmHandle | null>): Promise<SlurmHandle | null> {
    const key = `${attempt.jobId}/${attempt.number}`
    const first = known.get(key)
    if (first) return first
    const found = find().then((handle) => {
      if (handle) poller.follow({ jobId: attempt.jobId, number: attempt.number, directory: attempt.directory }, handle)
      else known.delete(key)
      return handle
    })
    known.set(key, found)
    found.catch(() => known.delete(key))
    return found
  }

  return {
    name: 'slurm',
    version: commands.version(),

    async submit(order, signal) {
      const until = signal ? AbortSignal.any([signal, closing.signal]) : closing.signal
      const handle = await once(order, () => submissions.submit(order, until))
      // A search for it was under way, and it was not there yet.
      return handle ? storeHandle(handle) : await this.submit(order, signal)
    },

    async reattach(attempt, handle) {
      const found = await once(attempt, async () => (handle ? readHandle(handle) : await submissions.findOrForbid(attempt)))
      return found && storeHandle(found)
    },

    signal: (attempt, handle, signal) => poller.request(attempt, readHandle(handle), signal),
    watch: (signal) => events.take(AbortSignal.any([signal, closing.signal])),

    async nodes() {
      try {
        const now = clock()
        lastNodes = (await view.nodes()).map((node) => {
          if (isNodeOnline(node) || !seen.has(node.name)) seen.set(node.name, isNodeOnline(node) ? now : (node.startedAt ?? now))
          return toEngineNode(node, seen.get(node.name) ?? now)
        })
        return lastNodes
      } catch (error) {
        if (lastNodes) return lastNodes
        throw error
      }
    },

    nodeControl: slurmControl(commands, view),
    scheduler: slurmScheduler({ commands, view, ways, clock, userId }),

    async close() {
      closing.abort()
      await poller.stopped
    },
  }
}
