import { fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The process of the subscribers. */
export function startReaders() {
  const child = fork(join(import.meta.dirname, 'subscribers.mjs'), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  let last = 0
  const ask = (what) =>
    new Promise((done, fail) => {
      const id = ++last
      child.on('message', function hear(message) {
        if (message.id !== id) return
        child.off('message', hear)
        if (message.error) fail(new Error(message.error))
        else done(message)
      })
      child.send({ id, ...what })
    })
  return {
    /** Opens a group of readers. */
    open: (options) => ask({ open: options }),
    /** What a group found since it was last asked. */
    collect: (group) => ask({ collect: group }),
    close: (group) => ask({ close: group }),
    stop: () => child.kill(),
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
