import { Failure } from '../../../contract/failure.js'
import { parseJobId } from '../../../contract/ids.js'
import type { JobRecord } from './record.js'
import type { JobStore } from './store.js'

/** A job of the tenant (of any tenant with `*`). Throws JOB_NOT_FOUND, for another tenant's job too. */
export async function requireJob(store: JobStore, tenantId: string, jobId: string): Promise<JobRecord> {
  const id = parseJobId(jobId)
  return owned(await store.find(id), tenantId, id)
}

/** The same for a job that was just looked up. */
export function owned(job: JobRecord | null, tenantId: string, jobId: string): JobRecord {
  if (!job || (tenantId !== '*' && job.tenantId !== tenantId)) throw new Failure('JOB_NOT_FOUND', `There is no job "${jobId}".`)
  return job
}
