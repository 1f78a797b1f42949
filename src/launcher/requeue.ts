import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { makeRequeuedAttempt } from './requeued-attempt.js'

/**
 * Says which attempt a scheduler's script is to run: `node requeue.js JOBFOLDER --from N --restarts K` prints the attempt's folder, absolute. N is the attempt that
 * the script was submitted for, K how often the scheduler itself put it back into its queue since (SLURM_RESTART_COUNT). Each time is an attempt of its own,
 * number N+K, made here, since nobody else may be there to make it; not after one that is over, as where an administrator runs again what had ended. Ends with 1 and the reason on stderr where it cannot be made.
 */
try {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { from: { type: 'string' }, restarts: { type: 'string' } } })
  const [folder] = positionals
  const from = Number(values.from)
  const restarts = Number(values.restarts)
  if (!folder || positionals.length > 1) throw new Error("give the job's folder, and no other")
  if (!Number.isSafeInteger(from) || from < 1) throw new Error(`--from must be the number of an attempt, not ${values.from}`)
  if (!Number.isSafeInteger(restarts) || restarts < 0) throw new Error(`--restarts must be a count, not ${values.restarts}`)
  const first = join(resolve(folder), 'attempts', String(from))
  readFileSync(join(first, 'launch.json'))
  for (let number = from; number < from + restarts; number++) {
    if (existsSync(join(resolve(folder), 'attempts', String(number), 'over'))) throw new Error(`attempt ${number} is over`)
  }
  process.stdout.write(`${restarts === 0 ? first : makeRequeuedAttempt(resolve(folder), from, restarts)}\n`)
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}
