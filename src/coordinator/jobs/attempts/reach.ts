import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Job } from '../../../generated/prisma/coordinator/client.js'
import type { AttemptEnd, AttemptName } from '../../engines/engine.js'
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
  /** Until when an earlier life's word, that it cannot be reached, stands unless the engine says another; null: there is none. */
  inheritedUntil: Date | null
  /** Null before the first look. */
  sign: Sign | null
}

/** An attempt whose reach is looked after. */
export interface Reachable {
  job: JobRecord
  name: AttemptName
  /** Null until it ended. */
  end: AttemptEnd | null
  reach: Reach
}

/** How long this life's engine may take to find that what an earlier life could not reach cannot be reached yet: since when is then not forgotten. */
const inheritedMs = 60_000

/** What is known of the reach of an attempt that is taken up. */
export const newReach = ({ unreachable }: Pick<Job, 'unreachable'>, now: Date): Reach => ({
  away: null,
  inheritedUntil: unreachable ? new Date(now.getTime() + inheritedMs) : null,
  sign: null,
})

/** How often it is looked whether trainers write anything; more often where little silence is allowed. */
const lookMs = 30_000

/**
 * Looks from time to time whether the trainers of attempts write anything, hears what the engine says of its contact with them, and hands what changes to `keep`.
 * After `silentMs` without a sign a trainer is silent; 0: never.
 */
export function reachWatch<Attempt extends Reachable>({
  attempts,
  silentMs,
  keep,
  clock,
}: {
  attempts: () => Iterable<Attempt>
  silentMs: number
  keep: (attempt: Attempt, decide: (job: JobRecord) => Change | null) => void
  clock: () => Date
}) {
  const timer = setInterval(
    () => {
      for (const attempt of attempts()) void look(attempt)
    },
    silentMs > 0 ? Math.min(lookMs, Math.max(200, silentMs / 4)) : lookMs,
  )

  return {
    /** The engine cannot be asked about the attempt, or with null it can. */
    hear(attempt: Attempt, away: Away | null): void {
      attempt.reach.away = away
      attempt.reach.inheritedUntil = null
      tell(attempt)
    },
    close: () => clearInterval(timer),
  }

  async function look(attempt: Attempt): Promise<void> {
    if (attempt.end) return
    attempt.reach.sign = await lookForSign(attempt.reach.sign, attempt.name.directory, clock())
    tell(attempt)
  }

  function tell(attempt: Attempt): void {
    const now = clock()
    const away = awayNow(attempt.job, attempt.reach, { silentMs, now })
    const { inheritedUntil } = attempt.reach
    if (!away && inheritedUntil && now < inheritedUntil) return
    const decide = (job: JobRecord) => storeReach(job, attempt.name.number, away)
    // No transaction where there is nothing to write.
    if (decide(attempt.job)) keep(attempt, decide)
  }
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
export function awayNow(
  job: Pick<Job, 'status'>,
  { away, sign }: Pick<Reach, 'away' | 'sign'>,
  { silentMs, now }: { silentMs: number; now: Date },
): Away | null {
  if (away) return away
  const isSilent = silentMs > 0 && job.status === 'TRAINING' && sign !== null && now.getTime() - sign.at.getTime() >= silentMs
  return isSilent ? { since: sign.at, reason: `The trainer has said nothing since ${sign.at.toISOString()}.` } : null
}

const writtenByProcesses = /^(?:metrics|events|logs\.\d+)\.jsonl$/

/** The newest sign of an attempt's processes. The first look goes by the files' own times; later ones by our clock, since a shared folder's may be another. */
async function lookForSign(before: Sign | null, directory: string, now: Date): Promise<Sign> {
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
