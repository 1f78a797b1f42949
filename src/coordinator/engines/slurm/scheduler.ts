import { type EngineForecast, EngineRefusal, type EngineScheduler, type SchedulingRequest } from '../engine.js'
import type { SlurmView } from './cluster.js'
import type { SlurmCommands } from './commands.js'
import { SlurmRefused, SlurmUnavailable } from './failures.js'
import { readHandle } from './handle.js'
import { type ClusterWays, dependencyOf, isDependency, niceOf, sbatchOptions } from './options.js'
import { parseForecast, type SlurmJob } from './parse.js'
import { waitingJobs } from './queue.js'
import { phaseOf, waitOf } from './states.js'

/** What Slurm's queue is read with. `userId`: whose jobs are ours. */
export interface SchedulerSettings {
  commands: SlurmCommands
  view: SlurmView
  ways: Omit<ClusterWays, 'partitions'>
  clock: () => Date
  userId: number | undefined
}

/** A start that is this near is now: Slurm answers in whole seconds. */
const nowMs = 2000

/** Slurm's queue. */
export function slurmScheduler({ commands, view, ways, clock, userId }: SchedulerSettings): EngineScheduler {
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
    queue: async () => waitingJobs(await view.jobs(), userId),

    async update(attempt, handle, { priority, dependencies }) {
      const { jobId, base } = readHandle(handle)
      const found = (jobs: SlurmJob[]) => jobs.find(({ id }) => id === jobId)
      // What was asked a moment ago may be older than the job.
      const job = found(await view.jobs()) ?? found(await view.jobs('now'))
      if (!job || phaseOf(job.states) !== 'WAITING' || base + job.restarts !== attempt.number) return
      const nice = niceOf(priority)
      const isNews = job.nice !== nice || !isDependency(job.dependency, dependencies)
      if (!isNews) return
      try {
        await commands.run('scontrol', 'update', `JobId=${job.id}`, `Nice=${nice}`, `Dependency=${dependencyOf(dependencies)}`)
      } catch (error) {
        throw error instanceof SlurmRefused ? new EngineRefusal(error.message, { cause: error }) : error
      }
    },

    queues: lastKnown(async () => {
      const partitions = await view.partitions()
      return partitions.map(({ name, isDefault, up, runSecondsMax, nodeNames }) => {
        return { name, isDefault, open: up, runSecondsMax, nodeIds: nodeNames }
      })
    }),
  }
}

/** The newest answer there is, while Slurm cannot be asked; rejects where there never was one. */
function lastKnown<Answer>(ask: () => Promise<Answer>): () => Promise<Answer> {
  let last: Answer | undefined
  return async () => {
    try {
      last = await ask()
    } catch (error) {
      if (last === undefined || !(error instanceof SlurmUnavailable)) throw error
    }
    return last
  }
}

const never = (reason: string): EngineForecast => ({ start: null, nodeIds: [], reason, waitsFor: 'FOREVER' })

/** `--test-only` does not say why a start is late. */
function reasonFor({ notBefore, dependencies }: SchedulingRequest, now: Date): string {
  if (notBefore && notBefore > now) return 'BeginTime'
  return dependencies.length > 0 ? 'Dependency' : 'Resources'
}
