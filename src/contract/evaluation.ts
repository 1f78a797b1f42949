import type { Evaluation__Output } from '../generated/proto/scaimind/v1/Evaluation.js'
import type { Job__Output } from '../generated/proto/scaimind/v1/Job.js'

/** An evaluation as its own message, from the job that it is. */
export function toEvaluation(job: Job__Output): Evaluation__Output {
  const run = job.evaluation
  return {
    evaluation_id: job.job_id,
    tenant_id: job.tenant_id,
    revision: job.revision,
    job_id: run?.job_id ?? '',
    model_uri: run?.model_uri ?? '',
    checkpoint_id: run?.checkpoint_id ?? '',
    status: job.status,
    benchmarks: run?.benchmarks ?? [],
    results: run?.results ?? [],
    created_at: job.created_at,
    finished_at: job.finished_at,
    failure: job.failure,
    user_id: job.user_id,
    message: job.message,
    started_at: job.started_at,
    updated_at: job.updated_at,
    progress: job.progress,
    available_actions: job.available_actions,
    name: job.name,
  }
}
