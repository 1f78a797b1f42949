import { activeStatuses, isActive } from '../../../contract/statuses.js'
import type { JobChanges } from '../records/changes.js'
import { completeCheckpoints } from '../records/checkpoints.js'
import type { Database } from '../records/database.js'
import type { Log } from '../records/log.js'
import { type JobRecord, specOf, statusOf } from '../records/record.js'
import type { JobSettings } from '../records/settings.js'
import type { JobStore } from '../records/store.js'
import { inTurnByKey } from './in-turn.js'
import { checkpointModel, checkpointStillWanted } from './models-of-job.js'
import type { ModelRegistry } from './registry.js'

/** What publishing checkpoints needs. */
export interface PublishOptions {
  database: Database
  store: JobStore
  changes: JobChanges
  models: ModelRegistry
  settings: JobSettings
  log: Log
}

/**
 * Registers the newest complete checkpoint of each job that asks for it, while it trains. Training waits for nothing: a checkpoint that a newer one
 * overtakes, or that is pruned while it is copied, is left out.
 */
export function publishCheckpoints({ database, store, changes, models, settings, log }: PublishOptions): { close(): Promise<void> } {
  const inTurn = inTurnByKey()
  /** The checkpoint of a job that was looked at last. */
  const seen = new Map<string, string>()
  const waiting = new Set<string>()
  const works = new Set<Promise<void>>()
  let isClosed = false

  const look = (job: JobRecord) => {
    const { jobId } = job
    if (job.finishedAt !== null) seen.delete(jobId)
    // Most jobs are told apart without reading all that was submitted.
    if (!isActive(statusOf(job)) || !job.spec.includes('"publish_checkpoints":true') || waiting.has(jobId)) return
    if (!specOf(job).output_config.publish_checkpoints) return
    waiting.add(jobId)
    const work = inTurn(jobId, async () => {
      waiting.delete(jobId)
      if (!isClosed) await publish(job)
    })
      .catch((error: unknown) => {
        if (!isClosed) log.warn({ err: error, job_id: jobId }, 'a checkpoint could not be published')
      })
      .finally(() => works.delete(work))
    works.add(work)
  }

  async function publish(job: JobRecord): Promise<void> {
    const newest = (await completeCheckpoints(database, job.jobId)).find(({ attempt }) => attempt === job.attempt)
    if (!newest || seen.get(job.jobId) === newest.checkpointId) return
    seen.set(job.jobId, newest.checkpointId)
    if (await models.hasCheckpoint(newest)) return
    const model = await checkpointModel(job, newest, settings)
    if (!model) return log.info({ job_id: job.jobId, step: Number(newest.step) }, 'a checkpoint holds no weights that can be served')
    await models.register(model, checkpointStillWanted(job.jobId, job.attempt))
  }

  const stopListening = changes.listen('*', ({ job }) => look(job))
  // Those of an earlier life.
  store
    .findAll({ status: { in: [...activeStatuses] }, spec: { contains: '"publish_checkpoints":true' } })
    .then((jobs) => jobs.forEach(look))
    .catch((error: unknown) => {
      if (!isClosed) log.warn({ err: error }, 'running jobs could not be looked at')
    })

  return {
    async close() {
      isClosed = true
      stopListening()
      await Promise.all(works)
    },
  }
}
