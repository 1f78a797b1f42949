import { toTimestamp } from '../../../contract/proto.js'
import type { Job } from '../../../generated/prisma/coordinator/client.js'
import type { RetentionItem__Output } from '../../../generated/proto/scaimind/v1/RetentionItem.js'
import { bytesUnder } from '../../journal/folders.js'
import { jobDirectory } from '../../journal/paths.js'
import { completeCheckpoints } from '../records/checkpoints.js'
import type { Database } from '../records/database.js'
import { statusOf } from '../records/record.js'
import { type InUse, readInUse } from './in-use.js'

/** Which jobs retention is about. All are terminal. */
export interface RetentionChoice {
  scope: 'CHECKPOINTS' | 'JOBS'
  tenantId: string
  finishedBefore: Date
  statuses: string[]
  archivedOnly: boolean
}

/** Something to delete, and the state of the job that it was chosen in. */
export interface PlannedItem {
  item: RetentionItem__Output
  revision: string
}

const pageLength = 200

/** What retention would delete, the longest finished first, one job at a time. Jobs that others need, or that hold nothing to delete, are left out. */
export async function* retentionItems(
  { database, dataDir }: { database: Database; dataDir: string },
  choice: RetentionChoice,
): AsyncGenerator<PlannedItem> {
  const { tenantId, scope, finishedBefore, statuses, archivedOnly } = choice
  const inUse = await readInUse(database, tenantId)
  for (let last: Job | undefined, more = true; more; ) {
    const beyond = last?.finishedAt
      ? { OR: [{ finishedAt: { gt: last.finishedAt } }, { finishedAt: last.finishedAt, jobId: { gt: last.jobId } }] }
      : {}
    const jobs: Job[] = await database.job.findMany({
      where: {
        tenantId,
        status: { in: statuses },
        finishedAt: { lt: finishedBefore },
        ...(archivedOnly ? { archivedAt: { not: null } } : {}),
        ...(scope === 'CHECKPOINTS' ? { checkpoints: { some: { deletedAt: null } } } : {}),
        AND: [beyond],
      },
      orderBy: [{ finishedAt: 'asc' }, { jobId: 'asc' }],
      take: pageLength,
    })
    for (const job of jobs) {
      if (inUse.reasonOf(job.jobId) !== '') continue
      const item = scope === 'JOBS' ? await wholeJob(job, inUse) : await olderCheckpoints(job, inUse)
      if (item) yield { item, revision: String(job.revision) }
    }
    last = jobs.at(-1)
    more = jobs.length === pageLength
  }

  async function wholeJob(job: Job, { hasCheckpoint }: InUse): Promise<RetentionItem__Output | null> {
    const rows = await database.checkpoint.findMany({ where: { jobId: job.jobId, deletedAt: null }, select: { checkpointId: true } })
    const ids = rows.map(({ checkpointId }) => checkpointId)
    if (ids.some(hasCheckpoint)) return null
    return toItem(job, ids, await bytesUnder(jobDirectory(dataDir, job.tenantId, job.jobId)))
  }

  async function olderCheckpoints(job: Job, { hasCheckpoint }: InUse): Promise<RetentionItem__Output | null> {
    const [, ...older] = await completeCheckpoints(database, job.jobId)
    const unneeded = older.filter(({ checkpointId }) => !hasCheckpoint(checkpointId))
    if (unneeded.length === 0) return null
    let bytes = 0
    for (const { path } of unneeded) bytes += await bytesUnder(path)
    return toItem(
      job,
      unneeded.map(({ checkpointId }) => checkpointId),
      bytes,
    )
  }
}

function toItem(job: Job, checkpoints: string[], bytes: number): RetentionItem__Output {
  return {
    job_id: job.jobId,
    name: job.name,
    status: statusOf(job),
    finished_at: job.finishedAt && toTimestamp(job.finishedAt),
    bytes: String(bytes),
    checkpoints,
    kept: '',
  }
}
