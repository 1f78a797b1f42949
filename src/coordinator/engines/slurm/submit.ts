import { existsSync } from 'node:fs'
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { AttemptName, AttemptOrder, EngineHandle, SchedulingRequest } from '../engine.js'
import { writeLaunchOrder } from '../launch-order.js'
import { starterWords } from '../starter.js'
import type { SlurmView } from './cluster.js'
import type { SlurmCommands } from './commands.js'
import { SlurmRefused, SlurmUnavailable } from './failures.js'
import { readHandle, type SlurmHandle } from './handle.js'
import { type ClusterWays, jobDirectoryOf, sbatchOptions, slurmName } from './options.js'
import { type BatchScriptParts, batchScript, scriptAddress, scriptWord } from './script.js'
import { markOver, overFile, readRequeue, readToken, readTraces } from './traces.js'
import { tellTwins } from './twins.js'

/** What submissions are made with. */
export interface SubmitSettings extends Pick<BatchScriptParts, 'nodeBinary' | 'launcherPath' | 'requeuePath' | 'requestPath'> {
  commands: SlurmCommands
  view: SlurmView
  ways: Omit<ClusterWays, 'partitions'>
  /** Whose jobs are ours. */
  userId: number | undefined
}

/** The pause before the second try; each further one is twice as long as the one before. */
const retryMs = 1000
const retryMsMax = 30_000

/**
 * Hands attempts over to Slurm. The attempt has its name before `sbatch` runs, and `batch.sh` in its folder says that it may have run: from then on it is looked for by
 * that name before it is submitted again.
 */
export function submitter({ commands, view, ways, userId, ...programs }: SubmitSettings) {
  /** Folders that this life said to be over because nothing of them was found. */
  const notFound = new Set<string>()

  async function submitOnce(order: AttemptOrder & { scheduling: SchedulingRequest }, signal: AbortSignal): Promise<SlurmHandle> {
    const { directory, number, token, scheduling } = order
    const script = join(directory, 'batch.sh')
    const mayBeThere = existsSync(script)
    if (mayBeThere) {
      const found = await find(order)
      if (found) return found
    }
    await requireKnown(scheduling.dependencies)
    const partitions = await view.partitions()
    await writeLaunchOrder(order, scheduling.needs.cpusPerNode, { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: '' })
    const text = batchScript({
      ...programs,
      attempt: order,
      jobDirectory: jobDirectoryOf(directory),
      directory,
      starter: starterWordsOf(order, scheduling),
      modules: order.modules ?? [],
    })
    await writeFile(script, text, { mode: 0o700 })
    try {
      const options = sbatchOptions(order, scheduling, order.stopGraceSeconds, { ...ways, partitions })
      if (notFound.delete(directory)) await rm(join(directory, overFile), { force: true })
      const { stdout } = await commands.runUnless(signal, 'sbatch', '--parsable', ...options, script)
      const jobId = Number(/^\d+/.exec(stdout)?.[0])
      if (!Number.isSafeInteger(jobId)) throw new Error(`sbatch printed no job id: ${stdout.slice(0, 200)}`)
      return { jobId, base: number, token }
    } catch (error) {
      if (!mayBeThere && ((signal.aborted && error === signal.reason) || (error instanceof SlurmUnavailable && error.isUnsent)))
        await rm(script)
      if (!(error instanceof SlurmRefused)) throw error
      await writeFile(join(directory, 'refused.json.part'), JSON.stringify({ words: error.words }))
      await rename(join(directory, 'refused.json.part'), join(directory, 'refused.json'))
      return { jobId: null, base: number, token }
    }
  }

  /** What depends on a job that Slurm has forgotten would start at once: its end must be on record first. */
  async function requireKnown(dependencies: EngineHandle[]): Promise<void> {
    if (dependencies.length === 0) return
    const known = new Set((await view.jobs('now')).map(({ id }) => id))
    const forgotten = dependencies.map(readHandle).find(({ jobId }) => jobId === null || !known.has(jobId))
    if (forgotten) throw new Error(`It depends on Slurm's job ${forgotten.jobId}, which Slurm does not know any more.`)
  }

  /** Where an attempt is that was submitted in whatever life: Slurm's job of its name, or what it left in its folder. Null where there is neither. */
  async function find(attempt: AttemptName): Promise<SlurmHandle | null> {
    const { jobId, number, directory } = attempt
    const requeue = await readRequeue(directory)
    const base = number - (requeue?.restarts ?? 0)
    const token = await readToken(join(jobDirectoryOf(directory), 'attempts', String(base))).then((found) => found || readToken(directory))
    const { claims, exits, refusal } = await readTraces(directory)
    // Nothing can have been submitted, whether or not Slurm can be asked.
    if (!requeue && !existsSync(join(directory, 'batch.sh'))) return null
    // Slurm keeps some that it refused among its jobs.
    if (refusal !== null) return { jobId: null, base, token }
    const name = slurmName({ jobId, number: base })
    const namesakes = (await view.jobs('now')).filter((job) => job.name === name && job.userId === userId)
    const { job, surplus } = tellTwins(namesakes, null)
    const found = job ?? surplus[0]
    if (found) return { jobId: found.id, base, token }
    return claims.length > 0 || exits.length > 0 ? { jobId: null, base, token } : null
  }

  return {
    /** Submits the attempt, unless it is there already. While Slurm is away, or takes no more jobs, it tries again until the signal aborts. */
    async submit(order: AttemptOrder, signal: AbortSignal): Promise<SlurmHandle> {
      const { scheduling } = order
      if (!scheduling) throw new Error(`${slurmName(order)} says nothing of what it needs.`)
      for (let pauseMs = retryMs; ; pauseMs = Math.min(2 * pauseMs, retryMsMax)) {
        try {
          return await submitOnce({ ...order, scheduling }, signal)
        } catch (error) {
          if (!(error instanceof SlurmUnavailable)) throw error
          await delay(pauseMs, undefined, { signal })
        }
      }
    },

    /** As `find`; and where nothing is found, an `sbatch` of an earlier life that is still on its way brings nothing that runs. */
    async findOrForbid(attempt: AttemptName): Promise<SlurmHandle | null> {
      const found = await find(attempt)
      if (found) return found
      await markOver(attempt.directory)
      notFound.add(attempt.directory)
      return null
    },
  }
}

function starterWordsOf(
  { framework, processesPerNode = 1, wrapper = [] }: AttemptOrder,
  { needs: { nodes, gpuCount } }: SchedulingRequest,
): string[] {
  const words = starterWords({ framework, nodes, gpusPerNode: gpuCount / nodes, processesPerNode, address: scriptAddress })
  return [...wrapper.map(scriptWord), ...words]
}
