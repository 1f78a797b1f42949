import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Job } from '../../../generated/prisma/coordinator/client.js'
import { currentAttempt, type JobRecord } from '../records/record.js'
import type { Change } from '../records/store.js'

/** Since when an attempt cannot be reached, and why, as a sentence. */
export interface Away {
  since: Date
  reason: string
}

/** What an attempt's processes last wrote, and when that was seen. */
export interface Sign {
  /** Another after every write. */
  mark: string
  at: Date
}

/** What is known about the reach of an attempt in this life of the coordinator. */
export interface Reach {
  /** The engine's word; null: it can be asked. */
  away: Away | null
  /** Null before the first look. */
  sign: Sign | null
}

/** The columns of a job that can be reached. */
export const reachable = {
  unreachable: false,
  unreachableSince: null,
  unreachableReason: '',
} as const satisfies Partial<Job>

/** Writes that the job's current attempt cannot be reached, or with null that it can; of several reasons one after the other the first time stays. Null where nothing changes. */
export function storeReach(job: JobRecord, number: number, away: Away | null): Change | null {
  if (job.attempt !== number || currentAttempt(job)?.finishedAt) return null
  const unreachableReason = away?.reason.slice(0, 1000) ?? ''
  if (job.unreachable === (away !== null) && job.unreachableReason === unreachableReason) return null
  if (!away) return { steps: [{ set: reachable }] }
  const before = job.unreachableSince
  const unreachableSince = before && before < away.since ? before : away.since
  return { steps: [{ set: { unreachable: true, unreachableSince, unreachableReason } }] }
}

/**
 * Whether an attempt that trains can be reached: by the engine's word, and by what its processes write. `silentMs` without a sign is too long; 0: never. A silent
 * trainer is told as such and left alone: it may be busy, and only its proven death ends it.
 */
export function awayNow(job: Pick<Job, 'status'>, { away, sign }: Reach, { silentMs, now }: { silentMs: number; now: Date }): Away | null {
  if (away) return away
  const isSilent = silentMs > 0 && job.status === 'TRAINING' && sign !== null && now.getTime() - sign.at.getTime() >= silentMs
  return isSilent ? { since: sign.at, reason: `The trainer has said nothing since ${sign.at.toISOString()}.` } : null
}

const writtenByProcesses = /^(?:metrics|events|logs\.\d+)\.jsonl$/

/** The newest sign of an attempt's processes. The first look goes by the files' own times; later ones by our clock, since a shared folder's may be another. */
export async function lookForSign(before: Sign | null, directory: string, now: Date): Promise<Sign> {
  // A folder that cannot be read is no sign of anything.
  const names = await readdir(directory).catch(() => [])
  const found = await Promise.all(
    names
      .filter((name) => writtenByProcesses.test(name))
      .sort()
      .map((name) => stat(join(directory, name)).catch(() => null)),
  )
  const mark = found.map((file) => `${file?.size} ${file?.mtimeMs}`).join('\n')
  if (before && (before.mark === mark || names.length === 0)) return before
  const written = Math.max(...found.flatMap((file) => file?.mtimeMs ?? []))
  return { mark, at: before || written === Number.NEGATIVE_INFINITY ? now : new Date(Math.min(now.getTime(), written)) }
}
