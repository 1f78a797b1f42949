import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TrainerProcesses } from './trainer-processes.js'

/** The processes of the trainer that announced, by a `ready` line in `events.jsonl`, that they take SIGUSR1; it kills a program that does not expect it. */
export function readyPids(directory: string, trainer: TrainerProcesses): number[] {
  const pids = new Set<number>()
  for (const line of readLines(join(directory, 'events.jsonl'))) {
    if (!line.includes('"ready"')) continue
    try {
      const event = JSON.parse(line) as { type?: unknown; pid?: unknown; signals?: unknown }
      const takesIt = event.type === 'ready' && Array.isArray(event.signals) && event.signals.includes('USR1')
      // The file is the trainer's word: a pid that is not its own is none of its business.
      if (takesIt && typeof event.pid === 'number' && trainer.has(event.pid)) pids.add(event.pid)
    } catch {
      // A line that is still being written.
    }
  }
  return [...pids]
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n')
  } catch {
    return []
  }
}
