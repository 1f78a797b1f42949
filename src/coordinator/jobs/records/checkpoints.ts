import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Failure } from '../../../contract/failure.js'
import { toTimestamp } from '../../../contract/proto.js'
import type { Checkpoint } from '../../../generated/prisma/coordinator/client.js'
import type { Checkpoint__Output } from '../../../generated/proto/scaimind/v1/Checkpoint.js'
import type { Database } from './database.js'

/** Our id of a trainer's checkpoint: the same whenever the same line of its journal is read again. */
export function checkpointId(jobId: string, attempt: number, trainerId: string): string {
  const hash = createHash('sha256').update(`${jobId}\n${attempt}\n${trainerId}`).digest('hex')
  return `ckpt_${hash.slice(0, 26)}`
}

/** The complete checkpoints of a job over all its attempts, newest first. */
export async function completeCheckpoints(database: Database, jobId: string): Promise<Checkpoint[]> {
  const rows = await database.checkpoint.findMany({
    where: { jobId, deletedAt: null },
    orderBy: [{ step: 'desc' }, { attempt: 'desc' }],
  })
  return rows.filter(isComplete)
}

/** A complete checkpoint of the tenant, by its id; of that job where one is given. Throws CHECKPOINT_NOT_FOUND. */
export async function requireCheckpoint(
  database: Database,
  { tenantId, checkpointId, jobId }: { tenantId: string; checkpointId: string; jobId?: string },
): Promise<Checkpoint> {
  const row = await database.checkpoint.findUnique({ where: { checkpointId: checkpointId.slice(0, 64) } })
  const found =
    row && row.tenantId === tenantId && (jobId === undefined || row.jobId === jobId) && row.deletedAt === null && isComplete(row)
  if (!found) {
    const of = jobId === undefined ? '' : ` of job ${jobId}`
    throw new Failure('CHECKPOINT_NOT_FOUND', `There is no complete checkpoint "${checkpointId.slice(0, 64)}"${of}.`)
  }
  return row
}

/** Only its manifest makes a checkpoint complete. */
const isComplete = ({ path }: Checkpoint): boolean => existsSync(join(path, 'manifest.json'))

/** The checkpoint as `scaimind.v1` has it. */
export function toCheckpointMessage(row: Checkpoint): Checkpoint__Output {
  return {
    checkpoint_id: row.checkpointId,
    job_id: row.jobId,
    attempt: row.attempt,
    step: String(row.step),
    path: row.path,
    bytes: String(row.bytes),
    created_at: toTimestamp(row.createdAt),
    metrics: JSON.parse(row.metrics) as Record<string, number>,
  }
}
