import { existsSync, readFileSync } from 'node:fs'
import { join, resolve, sep } from 'node:path'

/**
 * The folder of the newest complete checkpoint of the attempts below a number, absolute; null where there is none. The coordinator's own rule: those that
 * trainers told of in `events.jsonl` and did not delete, inside their attempt's folder and with a manifest; of them the furthest step, of equals the latest attempt's.
 */
export function newestCheckpoint(folderOf: (attempt: number) => string, below: number): string | null {
  const told: { step: number; path: string }[] = []
  for (let attempt = below - 1; attempt >= 1; attempt--) told.push(...checkpointsIn(folderOf(attempt)))
  // The sort is stable: later attempts stay before earlier ones.
  told.sort((a, b) => b.step - a.step)
  return told.find(({ path }) => existsSync(join(path, 'manifest.json')))?.path ?? null
}

interface CheckpointEvent {
  type: string
  checkpoint_id?: unknown
  step?: unknown
  path?: unknown
}

/** What a trainer told of; a deleted checkpoint's folder may still be there. */
function checkpointsIn(directory: string): { step: number; path: string }[] {
  const checkpoints = new Map<unknown, { step: number; path: string }>()
  for (const line of linesOf(join(directory, 'events.jsonl'))) {
    const event = parse(line)
    if (event?.type === 'checkpoint_deleted') checkpoints.delete(event.checkpoint_id)
    if (event?.type !== 'checkpoint' || typeof event.step !== 'number' || typeof event.path !== 'string') continue
    const path = resolve(directory, event.path)
    if (path.startsWith(directory + sep)) checkpoints.set(event.checkpoint_id, { step: event.step, path })
  }
  return [...checkpoints.values()]
}

function parse(line: string): CheckpointEvent | null {
  try {
    return JSON.parse(line) as CheckpointEvent | null
  } catch {
    // The last line of a trainer that was killed.
    return null
  }
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n')
  } catch {
    return []
  }
}
