import { readdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** The exit code of a trainer that stopped because a newer attempt of its job has begun. */
export const FENCED = 86

/** Keeps a trainer that a newer attempt has overtaken from writing: its node may have been given up while it ran on. */
export interface Fence {
  /** Ends the process where a newer attempt has begun, by a look at most `ageMs` old. Default: by a new look. */
  check(ageMs?: number): void
}

/**
 * The fence of the attempt whose folder is `attempts/<number>` of a job: the job's `fence/` holds a file a number for each attempt that began. Calls
 * `leave` where there is a greater one. Any other folder is never overtaken.
 */
export function openFence(directory: string, leave: () => never): Fence {
  const attempts = dirname(directory)
  const number = Number(basename(directory))
  if (basename(attempts) !== 'attempts' || !Number.isSafeInteger(number)) return { check: () => {} }
  const folder = join(attempts, '..', 'fence')
  let lookedAt = Number.NEGATIVE_INFINITY
  return {
    check(ageMs = 0) {
      const now = performance.now()
      if (ageMs > 0 && now - lookedAt <= ageMs) return
      if (numbersIn(folder).some((other) => other > number)) leave()
      lookedAt = now
    },
  }
}

function numbersIn(folder: string): number[] {
  try {
    return readdirSync(folder).flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []))
  } catch {
    // Nobody took the fence, as where a trainer is started by hand: no proof of a newer attempt.
    return []
  }
}
