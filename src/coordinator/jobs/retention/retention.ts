import { InvalidInput } from '../../../contract/failure.js'
import { newId } from '../../../contract/ids.js'
import { fromTimestamp } from '../../../contract/proto.js'
import { isTerminal, type JobStatus, terminalStatuses } from '../../../contract/statuses.js'
import type { PlanRetentionRequest__Output } from '../../../generated/proto/scaimind/v1/PlanRetentionRequest.js'
import type { RetentionItem__Output } from '../../../generated/proto/scaimind/v1/RetentionItem.js'
import type { RetentionPlan__Output } from '../../../generated/proto/scaimind/v1/RetentionPlan.js'
import type { RetentionResult__Output } from '../../../generated/proto/scaimind/v1/RetentionResult.js'
import { removeFolder } from '../../journal/folders.js'
import { jobDirectory } from '../../journal/paths.js'
import { type Database, transact } from '../records/database.js'
import type { Log } from '../records/log.js'
import { statusOf } from '../records/record.js'
import type { JobStore } from '../records/store.js'
import { readInUse } from './in-use.js'
import { type PlannedItem, retentionItems } from './retention-items.js'

/** What retention works on. */
export interface RetentionOptions {
  database: Database
  store: JobStore
  dataDir: string
  log: Log
  clock: () => Date
}

/** A plan as it is stored. */
interface StoredPlan {
  plan: Omit<RetentionPlan__Output, 'items'>
  items: PlannedItem[]
  result?: RetentionResult__Output
}

const itemsMax = 500
const validMs = 3600 * 1000
/** Results can be asked for again for so long. */
const keptMs = 24 * 3600 * 1000

/**
 * Deletes what is no longer wanted, and only what was shown before. A plan names each job with its revision; applying it deletes those that are
 * still as they were. That a plan is being applied is on record before anything is deleted, so after a crash it is finished at the next start,
 * or by applying it again.
 */
export function jobRetention({ database, store, dataDir, log, clock }: RetentionOptions) {
  const busy = new Map<string, Promise<RetentionResult__Output>>()
  return {
    /** What would be deleted now. Throws InvalidInput. */
    async plan(tenantId: string, request: PlanRetentionRequest__Output): Promise<RetentionPlan__Output> {
      const scope: 'JOBS' | 'CHECKPOINTS' = request.scope === 'JOBS' ? 'JOBS' : 'CHECKPOINTS'
      const choice = { scope, tenantId, ...readChoice(request) }
      const items: PlannedItem[] = []
      let hasMore = false
      for await (const item of retentionItems({ database, dataDir }, choice)) {
        hasMore = items.length === itemsMax
        if (hasMore) break
        items.push(item)
      }
      const now = clock()
      const bytes = items.reduce((sum, { item }) => sum + BigInt(item.bytes), 0n)
      const plan = { plan_id: newId('plan', now.getTime()), scope, bytes: String(bytes), has_more: hasMore }
      const document = JSON.stringify({ plan, items } satisfies StoredPlan)
      const row = { planId: plan.plan_id, tenantId, document, createdAt: now }
      await transact(database, (tx) => tx.retentionPlan.create({ data: row }))
      return { ...plan, items: items.map(({ item }) => item) }
    },

    /** Deletes what a plan named. Repeating it finishes it, and then answers the same. Throws InvalidInput for a plan that is not the tenant's, or too old. */
    async apply(tenantId: string, planId: string): Promise<RetentionResult__Output> {
      const row = await database.retentionPlan.findFirst({ where: { planId: planId.slice(0, 40), tenantId } })
      if (!row) refuse('plan_id', `There is no plan ${JSON.stringify(planId.slice(0, 64))}; make one first.`)
      if (row.state === 'PLANNED' && row.createdAt.getTime() < clock().getTime() - validMs)
        refuse('plan_id', 'The plan is older than an hour; make a new one.')
      return await finish(tenantId, row)
    },

    /** Finishes what an earlier life began to delete. */
    async finishBegun(): Promise<void> {
      for (const row of await database.retentionPlan.findMany({ where: { state: 'APPLYING' } })) {
        await finish(row.tenantId, row)
        log.info({ plan_id: row.planId }, 'finished a deletion of an earlier life')
      }
    },

    /** Forgets plans that nobody can use any more. */
    async forgetOld(): Promise<void> {
      const createdAt = { lt: new Date(clock().getTime() - keptMs) }
      await transact(database, (tx) => tx.retentionPlan.deleteMany({ where: { createdAt, state: { not: 'APPLYING' } } }))
    },
  }

  function finish(tenantId: string, row: { planId: string; document: string }): Promise<RetentionResult__Output> {
    const running = busy.get(row.planId) ?? applyAll(tenantId, row).finally(() => busy.delete(row.planId))
    busy.set(row.planId, running)
    return running
  }

  async function applyAll(tenantId: string, { planId, document }: { planId: string; document: string }): Promise<RetentionResult__Output> {
    const stored = JSON.parse(document) as StoredPlan
    if (stored.result) return stored.result
    await transact(database, (tx) => tx.retentionPlan.update({ where: { planId }, data: { state: 'APPLYING' } }))
    const items: RetentionItem__Output[] = []
    for (const planned of stored.items) {
      const kept = stored.plan.scope === 'JOBS' ? await deleteJob(tenantId, planned) : await deleteCheckpoints(tenantId, planned)
      items.push({ ...planned.item, kept })
    }
    const bytes = items.reduce((sum, item) => sum + (item.kept === '' ? BigInt(item.bytes) : 0n), 0n)
    const result = { items, bytes: String(bytes) }
    const data = { state: 'APPLIED', document: JSON.stringify({ ...stored, result } satisfies StoredPlan) }
    await transact(database, (tx) => tx.retentionPlan.update({ where: { planId }, data }))
    return result
  }

  /** The record first: a job without files would be a lie, files without a job are only left over. Answers why it was kept. */
  async function deleteJob(tenantId: string, { item, revision }: PlannedItem): Promise<string> {
    const { job_id: jobId } = item
    const kept = await store.remove(jobId, async (job, tx) => {
      if (job.tenantId !== tenantId || String(job.revision) !== revision || !isTerminal(statusOf(job))) return changed
      const inUse = await readInUse(tx, tenantId)
      if (inUse.reasonOf(jobId) !== '') return inUse.reasonOf(jobId)
      return item.checkpoints.some(inUse.hasCheckpoint) ? 'Another job starts from a checkpoint of it.' : ''
    })
    if (kept) return kept
    await removeFolder(jobDirectory(dataDir, tenantId, jobId), dataDir)
    return ''
  }

  async function deleteCheckpoints(tenantId: string, { item, revision }: PlannedItem): Promise<string> {
    const { job_id: jobId, checkpoints } = item
    const where = { jobId, tenantId, checkpointId: { in: checkpoints } }
    const rows = await database.checkpoint.findMany({ where })
    // What is marked already was marked by this plan, in a life that ended before the files were gone.
    if (rows.some(({ deletedAt }) => deletedAt === null)) {
      const inUse = await readInUse(database, tenantId)
      if (inUse.reasonOf(jobId) !== '') return inUse.reasonOf(jobId)
      if (checkpoints.some(inUse.hasCheckpoint)) return 'Another job starts from a checkpoint of it.'
      let isDeleted = false
      await store.change(jobId, (job, now) => {
        isDeleted = String(job.revision) === revision && isTerminal(statusOf(job))
        return isDeleted ? { steps: [{}], effects: (tx) => tx.checkpoint.updateMany({ where, data: { deletedAt: now } }) } : null
      })
      if (!isDeleted) return changed
    }
    for (const { path } of rows) await removeFolder(path, jobDirectory(dataDir, tenantId, jobId))
    return ''
  }
}

/** Retention. */
export type JobRetention = ReturnType<typeof jobRetention>

const changed = 'The job has changed since the plan was made.'

function readChoice({ finished_before, statuses, archived_only: archivedOnly = true }: PlanRetentionRequest__Output) {
  const finishedBefore = fromTimestamp(finished_before)
  if (!finishedBefore || Number.isNaN(finishedBefore.getTime()))
    refuse('finished_before', 'A time is required: only jobs that finished before it are meant.')
  for (const [index, status] of statuses.entries()) {
    if (!isTerminal(status as JobStatus))
      refuse(`statuses[${index}]`, `Only terminal jobs can be deleted: ${terminalStatuses.join(', ')}; not ${status} ones.`)
  }
  return { finishedBefore, statuses: statuses.length > 0 ? [...statuses] : [...terminalStatuses], archivedOnly }
}

function refuse(path: string, message: string): never {
  throw new InvalidInput([{ path, message }], 'INVALID_ARGUMENT')
}
