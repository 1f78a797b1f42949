import { existsSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { AttemptName, AttemptOrder, SchedulingRequest } from '../engine.js'
import { writeLaunchOrder } from '../launch-order.js'
import { starterWords } from '../starter.js'
import type { SlurmView } from './cluster.js'
import type { SlurmCommands } from './commands.js'
import { SlurmRefused, SlurmUnavailable } from './failures.js'
import type { SlurmHandle } from './handle.js'
import { type ClusterWays, jobDirectoryOf, sbatchOptions, slurmName } from './options.js'
import { type BatchScriptParts, batchScript, scriptAddress } from './script.js'
import { readRequeue, readToken, readTraces } from './traces.js'

/** What submissions are made with. */
export interface SubmitSettings extends Pick<BatchScriptParts, 'nodeBinary' | 'launcherPath' | 'requeuePath' | 'requestPath'> {
  commands: SlurmCommands
  view: SlurmView
  ways: Omit<ClusterWays, 'partitions'>
  /** Ends the tries to reach a Slurm that is away. */
  signal: AbortSignal
}

const retryMs = 2000

/**
 * Hands attempts over to Slurm. The attempt has its name before `sbatch` runs, and `batch.sh` in its folder says that it may have run: from then on it is looked for by
 * that name before it is submitted again.
 */
export function submitter({ commands, view, ways, signal, ...programs }: SubmitSettings) {
  const user = userInfo().username

  async function submitOnce(order: AttemptOrder & { scheduling: SchedulingRequest }): Promise<SlurmHandle> {
    const { directory, number, token, scheduling } = order
    const script = join(directory, 'batch.sh')
    if (existsSync(script)) {
      const found = await find(order)
      if (found) return found
    }
    const partitions = await view.partitions()
    await writeLaunchOrder(order, scheduling.needs.cpusPerNode, { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: '' })
    const text = batchScript({
      ...programs,
      attempt: order,
      jobDirectory: jobDirectoryOf(directory),
      directory,
      starter: starterWordsOf(order, scheduling),
    })
    await writeFile(script, text, { mode: 0o700 })
    try {
      const options = sbatchOptions(order, scheduling, order.stopGraceSeconds, { ...ways, partitions })
      const { stdout } = await commands.run('sbatch', '--parsable', ...options, script)
      const jobId = Number(/^\d+/.exec(stdout)?.[0])
      if (!Number.isSafeInteger(jobId)) throw new Error(`sbatch printed no job id: ${stdout.slice(0, 200)}`)
      return { jobId, base: number, token }
    } catch (error) {
      if (!(error instanceof SlurmRefused)) throw error
      await writeFile(join(directory, 'refused.json.part'), JSON.stringify({ words: error.words }))
      await rename(join(directory, 'refused.json.part'), join(directory, 'refused.json'))
      return { jobId: null, base: number, token }
    }
  }

  /** Where an attempt is that was submitted in whatever life: Slurm's job of its name, or what it left in its folder. Null where there is neither. */
  async function find(attempt: AttemptName): Promise<SlurmHandle | null> {
    const { jobId, number, directory } = attempt
    const requeue = await readRequeue(directory)
    const base = number - (requeue?.restarts ?? 0)
    const token = await readToken(join(jobDirectoryOf(directory), 'attempts', String(base))).then((found) => found || readToken(directory))
    const { claims, exits, refusal } = await readTraces(directory)
    // Slurm keeps some that it refused among its jobs.
    if (refusal !== null) return { jobId: null, base, token }
    const name = slurmName({ jobId, number: base })
    const jobs = (await view.jobs('now')).filter((job) => job.name === name && job.user === user)
    // The first: a twin, of a submission that was slower than the search for it, finds its folder taken.
    const [first] = jobs.sort((a, b) => a.id - b.id)
    if (first) return { jobId: first.id, base, token }
    return claims.length > 0 || exits.length > 0 ? { jobId: null, base, token } : null
  }

  return {
    /** Submits the attempt, unless it is there already. While Slurm is away it tries again until the signal aborts. */
    async submit(order: AttemptOrder): Promise<SlurmHandle> {
      const { scheduling } = order
      if (!scheduling) throw new Error(`${slurmName(order)} says nothing of what it needs.`)
      for (;;) {
        try {
          return await submitOnce({ ...order, scheduling })
        } catch (error) {
          if (!(error instanceof SlurmUnavailable) || signal.aborted) throw error
          await delay(retryMs, undefined, { signal })
        }
      }
    },
    find,
  }
}

function starterWordsOf({ framework }: AttemptOrder, { needs: { nodes, gpuCount } }: SchedulingRequest): string[] {
  return starterWords({ framework, nodes, gpusPerNode: gpuCount / nodes, address: scriptAddress })
}
