import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TrainerProcesses } from './trainer-processes.js'

/** The processes of the trainer that announced, by a `ready` line in `events.jsonl`, that they take SIGUSR1; it kills a program that does not expect it. */
export function readyPids(directory: string, trainer: TrainerProcesses): number[] {
  const pids = new Set<number>()
  for (const { signals, pid } of eventsOf(directory, 'ready')) {
    const takesIt = Array.isArray(signals) && signals.includes('USR1')
    // The file is the trainer's word: a pid that is not its own is none of its business.
    if (takesIt && typeof pid === 'number' && trainer.has(pid)) pids.add(pid)
  }
  return [...pids]
}

/** Whether the trainer said, by a `failure` line in `events.jsonl`, that it failed. */
export const toldFailure = (directory: string): boolean => eventsOf(directory, 'failure').length > 0

function eventsOf(directory: string, type: string): { [field: string]: unknown }[] {
  return readLines(join(directory, 'events.jsonl')).flatMap((line) => {
    if (!line.includes(`"${type}"`)) return []
    try {
      const event = JSON.parse(line) as { type?: unknown }
      return event.type === type ? [event] : []
    } catch {
      // A line that is still being written.
      return []
    }
  })
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n')
  } catch {
    return []
  }
}
