import type { QueueView } from './queue.js'

const sharedForMs = 1000

/** Looks at the queue: as it is now, or where `isLong` says that there is much to look at, as it was within the last second; a job that came meanwhile is not in that yet. */
export function sharedView(look: () => Promise<QueueView['view']>, isLong: () => boolean): () => Promise<QueueView> {
  let shared: { at: number; view: Promise<QueueView> } | null = null
  return () => {
    const now = performance.now()
    if (shared && isLong() && now - shared.at < sharedForMs) return shared.view
    const view = look().then((seen) => ({ view: seen, indexes: new Map(seen.map(({ job: { jobId } }, index) => [jobId, index])) }))
    shared = { at: now, view }
    return view
  }
}
