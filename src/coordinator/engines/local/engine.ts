import { hostname, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { readLauncher, sealFolder, wasOrdered } from '../attempt-folder.js'
import type { AttemptName, Engine, EngineEvent, EngineHandle } from '../engine.js'
import { eventQueue } from '../event-queue.js'
import { untilEnd } from './end.js'
import { gpuReader } from './gpus.js'
import { processesOf, toHandle } from './handle.js'
import { launch, untilTrainer } from './launch.js'
import { killTrainerGroup, signalProcess } from './processes.js'

/** What the local engine is made of. */
export interface LocalEngineOptions {
  /** CPU slots of this machine, for jobs without GPUs. */
  cpuSlots: number
  /** The Node program that runs launchers. Default: the one that runs this process. */
  nodeBinary?: string
  /** The built launcher. Default: `dist/launcher/main.js` of this package. */
  launcherPath?: string
  /** Folders in which the program is looked for that tells of GPUs, nvidia-smi or rocm-smi, separated by `:`. Default: none but ROCm's own; where there is no such program, or it fails, there are no GPUs. */
  searchPath?: string
  clock?: () => Date
}

// Four folders up from here is the package, in `src` and in `dist`.
const builtLauncher = fileURLToPath(new URL('../../../../dist/launcher/main.js', import.meta.url))

/**
 * Runs attempts on this machine, each under a launcher in a session of its own, so that it outlives the coordinator. All that
 * the engine must know in a later life is in the attempt's folder. Beyond the promises of `Engine`:
 * - An attempt that was ordered but not started when the coordinator died is sealed by `reattach` (it answers null): it will not start
 *   any more, unless it is submitted again.
 * - `started` comes once a life for each attempt, reattached ones too, with the time of its launcher's start; `ended` after it.
 * - Where the launcher died unheard, what is left of the trainer is killed before the attempt ends as `lost`.
 * - It adds to the environment OMP_NUM_THREADS (the CPU slots, unless the order has it) and CUDA_VISIBLE_DEVICES (empty without GPUs).
 */
export function localEngine(options: LocalEngineOptions): Engine {
  const { nodeBinary = process.execPath, launcherPath = builtLauncher, searchPath = '', clock = () => new Date() } = options
  const readGpus = gpuReader(searchPath, clock)
  const events = eventQueue<EngineEvent>()
  const closing = new AbortController()
  /** Submissions on their way or running. */
  const known = new Map<string, Promise<EngineHandle>>()
  const running = new Map<string, Promise<void>>()
  /** All that this life has told of, so that none is told of twice. */
  const told = new Set<string>()
  const keyOf = ({ jobId, number }: AttemptName) => `${jobId}/${number}`

  function watchAttempt({ jobId, number, directory }: AttemptName, handle: EngineHandle, startedAt: Date): EngineHandle {
    const attempt = { jobId, number, directory }
    const key = keyOf(attempt)
    if (told.has(key)) return handle
    told.add(key)
    events.push({ type: 'started', attempt, time: startedAt })
    const ended = untilEnd(directory, processesOf(handle), closing.signal).then((end) => {
      known.delete(key)
      running.delete(key)
      if (end) events.push({ type: 'ended', attempt, ...end, verdict: null, time: end.time ?? clock() })
    })
    running.set(key, ended)
    return handle
  }

  async function start(order: Parameters<Engine['submit']>[0]): Promise<EngineHandle> {
    const found = await readLauncher(order.directory)
    const claimed =
      found && found !== 'sealed'
        ? await untilTrainer(order.directory, found)
        : await launch(order, { nodeBinary, launcherPath, searchPath })
    if (claimed.token !== order.token) throw new Error(`${order.directory} belongs to another launch of ${keyOf(order)}.`)
    return watchAttempt(order, toHandle(claimed), claimed.time)
  }

  async function takeUp(attempt: AttemptName, handle: EngineHandle | null): Promise<EngineHandle | null> {
    let found = await readLauncher(attempt.directory)
    if (!found && !handle && (await wasOrdered(attempt.directory))) {
      await sealFolder(attempt.directory)
      found = await readLauncher(attempt.directory)
    }
    if (found && found !== 'sealed') {
      const claimed = await untilTrainer(attempt.directory, found)
      return watchAttempt(attempt, toHandle(claimed), claimed.time)
    }
    // The folder says nothing, but the handle names processes: they are followed to their end.
    return handle ? watchAttempt(attempt, handle, clock()) : null
  }

  return {
    name: 'local',
    version: process.version,
    scheduler: null,
    nodeControl: null,

    submit(order) {
      const key = keyOf(order)
      const first = known.get(key)
      if (first) return first
      const handle = start(order)
      known.set(key, handle)
      handle.catch(() => known.delete(key))
      return handle
    },

    async reattach(attempt, handle) {
      const submitted = known.get(keyOf(attempt))
      return submitted ?? takeUp(attempt, handle)
    },

    async signal({ directory }, handle, signal) {
      const { launcher, trainer } = processesOf(handle)
      switch (signal) {
        case 'checkpoint':
          return signalProcess(launcher, 'SIGUSR1')
        case 'stop':
          return signalProcess(launcher, 'SIGTERM')
        case 'kill':
          // The launcher lives on: it writes the last lines and how it ended.
          return trainer ? killTrainerGroup(trainer, directory) : undefined
        default:
          throw new Error(`There is no signal ${signal satisfies never}.`)
      }
    },

    watch: (signal) => events.take(AbortSignal.any([signal, closing.signal])),

    async nodes() {
      const gpus = await readGpus()
      const node = { nodeId: hostname(), hostname: hostname(), features: [], online: true, draining: false, reason: '' }
      return [{ ...node, gpus, cpus: options.cpuSlots, memoryBytes: totalmem(), lastHeartbeat: clock() }]
    },

    async close() {
      closing.abort()
      await Promise.all(running.values())
    },
  }
}
