import { readFileSync } from 'node:fs'
import { startReaders } from './processes.mjs'

/** The process of the subscribers. */
export function startSubscribers() {
  const { ask, stop } = startReaders('subscribers.mjs')
  const withinMs = 120_000
  return {
    /** Opens a group of readers. */
    open: (options) => ask({ type: 'open', options }, { withinMs }),
    /** What a group found since it was last asked. */
    collect: (group) => ask({ type: 'collect', group }, { withinMs }),
    close: (group) => ask({ type: 'close', group }, { withinMs }),
    stop,
  }
}

/** The delay, in ms, that so great a part of them does not exceed. */
export function quantile(delays, part) {
  const sorted = delays.toSorted(([a], [b]) => a - b)
  const total = sorted.reduce((sum, [, count]) => sum + count, 0)
  let seen = 0
  for (const [ms, count] of sorted) {
    seen += count
    if (seen >= total * part) return ms
  }
  return Number.NaN
}

/** Bytes of memory that a process holds. */
export const residentBytes = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
