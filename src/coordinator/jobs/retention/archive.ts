import { parseJobId } from '../../../contract/ids.js'
import { requireAction } from '../records/lifecycle.js'
import { owned } from '../records/read.js'
import { type JobRecord, statusOf, wantedOf } from '../records/record.js'
import type { JobStore } from '../records/store.js'

/**
 * Puts a terminal job out of the way of listings, or back. Repeating it answers the same job. Throws JOB_NOT_FOUND or JOB_STATE_CONFLICT.
 */
export async function archiveJob(
  store: JobStore,
  { tenantId, jobId, archived }: { tenantId: string; jobId: string; archived: boolean },
): Promise<JobRecord> {
  const id = parseJobId(jobId)
  const changed = await store.change(id, (found, now) => {
    const job = owned(found, tenantId, id)
    requireAction('ARCHIVE', { status: statusOf(job), wanted: wantedOf(job) })
    return (job.archivedAt !== null) === archived ? null : { steps: [{ set: { archivedAt: archived ? now : null } }] }
  })
  return owned(changed, tenantId, id)
}
