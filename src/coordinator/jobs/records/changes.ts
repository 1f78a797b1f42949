import type { JobRecord } from './record.js'

/** Word of a committed change. Changes of one job may be heard out of order: `revision` tells which is newer. */
export interface JobChange {
  job: JobRecord
  /** Number of its newest event. */
  sequence: bigint
  /** Whether the change was more than progress and the like: the status, what is wanted, or the priority. */
  weighty: boolean
}

type Listener = (change: JobChange) => void

/** Tells whoever listens in this process that jobs have changed. What changed is always read from the record, so a missed or doubled word costs nothing but time. */
export interface JobChanges {
  publish(change: JobChange): void
  /** Listens to one job, to one tenant's, or to all (`*`). Answers how to stop. */
  listen(topic: { jobId: string } | { tenantId: string } | '*', listener: Listener): () => void
}

/** One a coordinator. */
export function jobChanges(): JobChanges {
  const listeners = new Map<string, Set<Listener>>()
  const keyOf = (topic: { jobId: string } | { tenantId: string } | '*') =>
    topic === '*' ? '*' : 'jobId' in topic ? `job ${topic.jobId}` : `tenant ${topic.tenantId}`
  return {
    publish(change) {
      const { jobId, tenantId } = change.job
      for (const topic of [{ jobId }, { tenantId }, '*'] as const) {
        for (const listener of [...(listeners.get(keyOf(topic)) ?? [])]) listener(change)
      }
    },
    listen(topic, listener) {
      const key = keyOf(topic)
      const set = listeners.get(key) ?? new Set()
      listeners.set(key, set.add(listener))
      return () => {
        set.delete(listener)
        if (set.size === 0 && listeners.get(key) === set) listeners.delete(key)
      }
    },
  }
}
