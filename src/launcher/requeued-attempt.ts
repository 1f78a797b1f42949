import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { newestCheckpoint } from './newest-checkpoint.js'

/** What `requeued.json` in a requeued attempt's folder says, for a coordinator that was away. */
interface RequeuedRecord {
  /** The attempt before it. */
  from: number
  /** How often the scheduler had put the script back into its queue. */
  restarts: number
  time: string
}

/**
 * Makes the folder of attempt `from + restarts` after attempt `from`, whose `job.json` and `launch.json` it gets under a token of its own, to go on from the
 * newest complete checkpoint; answers it. Of any number that try at once exactly one makes it, and whoever comes later finds it unchanged. Throws where another than
 * a requeued attempt has that number.
 */
export function makeRequeuedAttempt(job: string, from: number, restarts: number): string {
  const number = from + restarts
  const folder = (attempt: number) => join(job, 'attempts', String(attempt))
  const made = folder(number)
  if (isMade(made, from, restarts)) return made
  const token = randomBytes(16).toString('hex')
  const order = readJson(join(folder(from), 'launch.json'))
  const jobFile = readJson(join(folder(from), 'job.json'))
  const record: RequeuedRecord = { from: number - 1, restarts, time: new Date().toISOString() }
  const temporary = mkdtempSync(join(job, `requeue-${number}-`))
  try {
    // Inside, a folder with the usual rights: mkdtemp's are its owner's alone.
    const part = join(temporary, 'attempt')
    mkdirSync(part)
    const resumeFrom = newestCheckpoint(folder, number) ?? jobFile.resume_from
    writeFileSync(join(part, 'job.json'), `${JSON.stringify({ ...jobFile, attempt: number, token, resume_from: resumeFrom }, null, 2)}\n`)
    const environment = moved(order.environment as Record<string, string>, folder(from), made)
    writeFileSync(join(part, 'launch.json'), JSON.stringify({ ...order, attempt: number, token, environment }), { mode: 0o600 })
    writeFileSync(join(part, 'requeued.json'), JSON.stringify(record))
    renameSync(part, made)
  } catch (error) {
    // A folder is not renamed onto one that holds something: another was faster.
    if (!isMade(made, from, restarts)) throw error
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
  return made
}

/** Whether the attempt is there. Throws where it is one that was made for something else. */
function isMade(folder: string, from: number, restarts: number): boolean {
  try {
    const record = readJson(join(folder, 'requeued.json')) as unknown as RequeuedRecord
    if (record.restarts === restarts && record.from === from + restarts - 1) return true
    throw new Error(`${folder} is another requeue's.`)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

/** An environment whose paths in one folder are in another; paths in a list with colons too. */
function moved(environment: Record<string, string>, from: string, to: string): Record<string, string> {
  const move = (path: string) => (path === from || path.startsWith(from + sep) ? to + path.slice(from.length) : path)
  return Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, value.split(':').map(move).join(':')]))
}

function readJson(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
}
