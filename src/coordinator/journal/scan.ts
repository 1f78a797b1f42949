import { setImmediate as nextTurn } from 'node:timers/promises'

/** What one look through a journal may cost. */
export interface ScanBudget {
  /** Lines looked at. Default 200,000. */
  lines?: number | undefined
  /** Milliseconds of work. Default 1,000. */
  ms?: number | undefined
}

/** One look through a journal: it ends in bounded time, and leaves others their turn meanwhile. */
export interface Scan {
  /** Counts a line that is looked at now. */
  look(line: string | null): void
  /** Whether nothing more is to be looked at by this call; never before the first line. */
  isSpent(): boolean
  /** Lets others work where this has gone on for long enough. */
  pause(): Promise<void> | undefined
}

const bytesMax = 64 * 2 ** 20
const turnMs = 10

export function newScan({ lines = 200_000, ms = 1000 }: ScanBudget = {}): Scan {
  let looked = 0
  let bytes = 0
  let worked = 0
  let turnBegan = performance.now()
  return {
    look(line) {
      looked++
      bytes += line?.length ?? 0
    },
    isSpent: () => looked > 0 && (looked >= lines || bytes > bytesMax || worked + performance.now() - turnBegan > ms),
    pause() {
      const turn = performance.now() - turnBegan
      if (turn < turnMs) return undefined
      worked += turn
      return nextTurn().then(() => {
        turnBegan = performance.now()
      })
    },
  }
}
