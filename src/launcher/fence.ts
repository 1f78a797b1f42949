import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'

/** Keeps a launcher that a newer attempt of its job has overtaken from writing. */
export interface Fence {
  /** Calls `overtaken` where a newer attempt has begun, by a look at most `ageMs` old. Default: a new look. */
  check(ageMs?: number): void
}

/**
 * Takes the fence of an attempt: `fence/<attempt>` in the job's folder, which holds the attempt's token. Of the launches of one attempt all have the
 * same token. Calls `overtaken` where another token has the number, or a greater number is there. A folder that is not in a job's `attempts`
 * has no fence, and is never overtaken.
 */
export function takeFence(directory: string, { attempt, token }: { attempt: number; token: string }, overtaken: () => never): Fence {
  const attempts = dirname(directory)
  if (basename(attempts) !== 'attempts') return { check: () => {} }
  const folder = join(attempts, '..', 'fence')
  if (writeOnce(folder, String(attempt), token) !== token) overtaken()
  let lookedAt = Number.NEGATIVE_INFINITY
  function check(ageMs = 0): void {
    const now = performance.now()
    if (ageMs > 0 && now - lookedAt <= ageMs) return
    if (numbersIn(folder).some((number) => number > attempt)) overtaken()
    lookedAt = now
  }
  check()
  return { check }
}

/** Writes a file whole where there is none of that name; answers what it holds. */
function writeOnce(folder: string, name: string, text: string): string {
  mkdirSync(folder, { recursive: true })
  const path = join(folder, name)
  const part = `${path}.${hostname()}.${process.pid}`
  writeFileSync(part, text)
  try {
    // A link, unlike a rename, fails where the name is taken.
    linkSync(part, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(part)
  }
  return readFileSync(path, 'utf8')
}

function numbersIn(folder: string): number[] {
  try {
    return readdirSync(folder).flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []))
  } catch {
    // The disk is away, or the job was deleted: no proof of a newer attempt.
    return []
  }
}
