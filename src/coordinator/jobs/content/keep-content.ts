import { activeStatuses } from '../../../contract/statuses.js'
import { atMost } from '../records/at-most.js'
import type { JobChanges } from '../records/changes.js'
import type { Log } from '../records/log.js'
import { type JobRecord, specOf } from '../records/record.js'
import type { JobSettings } from '../records/settings.js'
import type { JobStore } from '../records/store.js'
import type { Content, JobContent } from './content.js'
import { resolvePaths } from './resolve.js'

/** What is needed to know what jobs are made of. */
export interface KeepContentOptions {
  store: JobStore
  changes: JobChanges
  content: JobContent
  settings: JobSettings
  log: Log
}

/** Large files are read one job at a time: their node reads them too. */
const readersMax = 1

/**
 * Writes down what a job is made of when an attempt of it begins: its files may have changed since it was submitted, and large ones were not
 * hashed then. Nothing waits for it. Answers how to stop.
 */
export function keepContent({ store, changes, content, settings, log }: KeepContentOptions): { close(): void } {
  const inTurn = atMost(readersMax)
  const begun = new Map<string, number>()
  let isClosed = false

  const look = (job: JobRecord) => {
    if (job.status === 'QUEUED' || job.finishedAt !== null) begun.delete(job.jobId)
    // An evaluation's results name the records that they are of.
    if (job.isEvaluation) return
    if (job.status !== 'PREPARING' && !(isActive(job) && job.contentHash === '')) return
    if (begun.get(job.jobId) === job.attempt) return
    begun.set(job.jobId, job.attempt)
    void inTurn(() => (isClosed ? Promise.resolve() : write(job))).catch((error: unknown) => {
      if (!isClosed) log.warn({ err: error, job_id: job.jobId }, 'what a job is made of could not be read')
    })
  }
  const stopListening = changes.listen('*', ({ job }) => look(job))
  // Those of an earlier life that ended before it was known.
  store
    .findAll({ status: { in: [...activeStatuses] }, contentHash: '' })
    .then((jobs) => jobs.forEach(look))
    .catch((error: unknown) => {
      if (!isClosed) log.warn({ err: error }, 'running jobs could not be looked at')
    })

  async function write(job: JobRecord): Promise<void> {
    const given = specOf(job)
    const { spec: resolved, problems } = await resolvePaths(given, job.tenantId, settings)
    // The attempt ends for the same reason, and says so.
    if (problems.length > 0) return
    const columns = contentColumns(await content.whole({ given, resolved }))
    await store.change(job.jobId, (current) => {
      const isKnown = Object.entries(columns).every(([column, value]) => current[column as keyof typeof columns] === value)
      return isKnown || current.attempt !== job.attempt ? null : { steps: [{ set: columns }] }
    })
  }

  return {
    close() {
      isClosed = true
      stopListening()
    },
  }
}

const isActive = ({ status }: JobRecord): boolean => activeStatuses.some((active) => active === status)

/** What a job is made of, as its row holds it. */
export function contentColumns({ dataHashes, code, contentHash }: Content) {
  return { dataHashes: JSON.stringify(dataHashes), code: JSON.stringify(code), contentHash }
}
