import type { Spec } from '../records/spec.js'

/** Whose a new job is. */
export interface NewJob {
  jobId: string
  tenantId: string
  userId: string
  now: Date
}

/** The row of a job that was just accepted. */
export function newRow(spec: Spec, { jobId, tenantId, userId, now }: NewJob) {
  const { training_config: training, scheduling_config: scheduling } = spec
  return {
    jobId,
    tenantId,
    userId: userId.slice(0, 255),
    name: spec.name,
    status: 'PENDING',
    message: 'Accepted.',
    spec: JSON.stringify(spec),
    labels: JSON.stringify(spec.labels),
    trainingType: training.training_type,
    queue: scheduling.queue,
    priority: training.priority,
    preemptible: scheduling.preemptible,
    maxRetries: training.max_retries,
    createdAt: now,
    updatedAt: now,
  }
}
