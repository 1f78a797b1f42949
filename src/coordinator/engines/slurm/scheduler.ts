import type { EngineForecast, EngineScheduler, SchedulingRequest } from '../engine.js'
import type { SlurmView } from './cluster.js'
import type { SlurmCommands } from './commands.js'
import { SlurmRefused } from './failures.js'
import { readHandle } from './handle.js'
import { type ClusterWays, dependencyOf, isDependency, niceOf, sbatchOptions } from './options.js'
import { parseForecast } from './parse.js'
import { waitingJobs } from './queue.js'
import { phaseOf, waitOf } from './states.js'

/** What Slurm's queue is read with. `user`: whose jobs are ours. */
export interface SchedulerSettings {
  commands: SlurmCommands
  view: SlurmView
  ways: Omit<ClusterWays, 'partitions'>
  clock: () => Date
  user: string
}

/** A start that is this near is now: Slurm answers in whole seconds. */
const nowMs = 2000

/** Slurm's queue. */
export function slurmScheduler({ commands, view, ways, clock, user }: SchedulerSettings): EngineScheduler {
  async function forecast(request: SchedulingRequest): Promise<EngineForecast> {
    const attempt = { jobId: 'forecast', number: 1, directory: '/' }
    const options = sbatchOptions(attempt, request, 0, { ...ways, partitions: await view.partitions() })
    try {
      const { stderr } = await commands.run('sbatch', '--test-only', ...options, '--wrap=true')
      const found = parseForecast(stderr)
      if (!found) return never(stderr.trim())
      const isNow = found.start.getTime() - clock().getTime() <= nowMs
      const reason = isNow ? '' : reasonFor(request, clock())
      return { start: found.start, nodeIds: found.nodeNames, reason, waitsFor: isNow ? null : waitOf(reason) }
    } catch (error) {
      if (error instanceof SlurmRefused) return never(error.words)
      throw error
    }
  }

  return {
    forecast,
    queue: async () => waitingJobs(await view.jobs(), user),

    async update(attempt, handle, { priority, dependencies }) {
      const { jobId, base } = readHandle(handle)
      const isIts = ({ id }: { id: number }) => id === jobId
      // One that was submitted a moment ago may not be in an answer that is shared.
      const job = (await view.jobs()).find(isIts) ?? (await view.jobs('now')).find(isIts)
      if (!job || phaseOf(job.states) !== 'WAITING' || base + job.restarts !== attempt.number) return
      const nice = niceOf(priority)
      const isNews = job.nice !== nice || !isDependency(job.dependency, dependencies)
      if (isNews) await commands.run('scontrol', 'update', `JobId=${job.id}`, `Nice=${nice}`, `Dependency=${dependencyOf(dependencies)}`)
    },

    async queues() {
      const partitions = await view.partitions()
      return partitions.map(({ name, isDefault, up, runSecondsMax, nodeNames }) => {
        return { name, isDefault, open: up, runSecondsMax, nodeIds: nodeNames }
      })
    },
  }
}

const never = (reason: string): EngineForecast => ({ start: null, nodeIds: [], reason, waitsFor: 'FOREVER' })

/** `--test-only` does not say why a start is late. */
function reasonFor({ notBefore, dependencies }: SchedulingRequest, now: Date): string {
  if (notBefore && notBefore > now) return 'BeginTime'
  return dependencies.length > 0 ? 'Dependency' : 'Resources'
}
