import type { ReadableDatabase } from './database.js'
import { type CachedJob, type DocumentRow, readDocument } from './jobs.js'
import { sql } from './sql.js'

/** The newest evaluations of each job, at most `limit` each, by job id: one query however many jobs there are. */
export type EvaluationsOfJobs = (tenantId: string, jobIds: readonly string[], limit: number) => Promise<Map<string, CachedJob[]>>

interface Row extends DocumentRow {
  evaluates_job_id: string
}

// A part for each job ends at its limit by the index, which a ranking over all of them would not.
const part = `(SELECT evaluates_job_id, document, synced_at, created_at, job_id FROM job
  WHERE tenant_id = ? AND is_evaluation = TRUE AND is_archived = FALSE AND evaluates_job_id = ?
  ORDER BY created_at DESC, job_id DESC LIMIT ?)`

/** The query of the evaluations of jobs. */
export function evaluationsOfJobs(database: ReadableDatabase): EvaluationsOfJobs {
  return async (tenantId, jobIds, limit) => {
    const found = new Map<string, CachedJob[]>()
    const wanted = [...new Set(jobIds)]
    if (wanted.length === 0) return found
    const text = `${wanted.map(() => part).join(' UNION ALL ')} ORDER BY created_at DESC, job_id DESC`
    const rows = await database.$read<Row>(sql(text, ...wanted.flatMap((jobId) => [tenantId, jobId, limit])))
    for (const row of rows) {
      const known = found.get(row.evaluates_job_id) ?? []
      known.push(readDocument(row))
      found.set(row.evaluates_job_id, known)
    }
    return found
  }
}
