import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Fence } from './fence.js'

const intervalMs = 5000

/** Rewrites `alive.<rank>`, a count, every 5 s until the answered function is called: on a node that nobody can ask, its age tells for how long nothing was heard. */
export function giveSignsOfLife(directory: string, rank: number, fence: Fence): () => void {
  let count = 0
  const give = () => {
    fence.check()
    try {
      writeFileSync(join(directory, `alive.${rank}`), `${++count}\n`)
    } catch {
      // A full disk; the next one may find room.
    }
  }
  give()
  const timer = setInterval(give, intervalMs)
  return () => clearInterval(timer)
}
