import { terminalStatuses } from '../../../contract/statuses.js'
import type { Reader } from '../records/database.js'

/** Which of a tenant's jobs and checkpoints others still need. */
export interface InUse {
  /** Why a job must stay; empty: nobody needs it. */
  reasonOf(jobId: string): string
  hasCheckpoint(checkpointId: string): boolean
}

/**
 * What jobs that may yet run need of others: all but the COMPLETED ones, since a failed or cancelled one may be retried. And what evaluations that
 * are not over look at.
 */
export async function readInUse(database: Pick<Reader, '$queryRaw' | 'job'>, tenantId: string): Promise<InUse> {
  const dependents = await database.$queryRaw<
    { job_id: string; depends_on: string | null; resumes: string | null; from_checkpoint: string | null }[]
  >`
    SELECT job_id, CAST(JSON_EXTRACT(spec, '$.scheduling_config.depends_on') AS CHAR) AS depends_on,
      JSON_VALUE(spec, '$.training_config.resume_from_checkpoint') AS resumes, from_checkpoint
    FROM job
    WHERE tenant_id = ${tenantId} AND status <> 'COMPLETED' AND is_evaluation = FALSE
      AND (JSON_LENGTH(spec, '$.scheduling_config.depends_on') > 0
        OR JSON_VALUE(spec, '$.training_config.resume_from_checkpoint') <> '' OR from_checkpoint IS NOT NULL)`
  const evaluations = await database.job.findMany({
    where: { tenantId, isEvaluation: true, status: { notIn: [...terminalStatuses] }, evaluatesJobId: { not: null } },
    select: { jobId: true, evaluatesJobId: true },
  })
  const reasons = new Map<string, string>()
  const checkpoints = new Set<string>()
  for (const { job_id, depends_on, resumes, from_checkpoint } of dependents) {
    for (const id of (depends_on ? JSON.parse(depends_on) : []) as string[]) reasons.set(id, `Job ${job_id} depends on it.`)
    for (const id of [resumes, from_checkpoint]) if (id) checkpoints.add(id)
  }
  for (const { jobId, evaluatesJobId } of evaluations) reasons.set(evaluatesJobId ?? '', `Evaluation ${jobId} runs on it.`)
  return { reasonOf: (jobId) => reasons.get(jobId) ?? '', hasCheckpoint: (id) => checkpoints.has(id) }
}
