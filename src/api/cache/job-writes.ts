import { Prisma } from '../../generated/prisma/api/client.js'
import type { Job__Output } from '../../generated/proto/scaimind/v1/Job.js'
import type { Transaction } from './database.js'
import { labelRows, toRow } from './job-row.js'

const rowsAtOnce = 100

/** Writes each job where its revision is newer than the row's, whoever wrote that, and its labels with it. */
export async function writeJobs(tx: Transaction, jobs: readonly Job__Output[], syncedAt: Date): Promise<void> {
  // One order in all transactions, so that two that write the same jobs wait instead of dying of each other.
  const newest = [...newestOf(jobs).values()].sort((a, b) => (a.job_id < b.job_id ? -1 : 1))
  for (let start = 0; start < newest.length; start += rowsAtOnce) {
    const some = newest.slice(start, start + rowsAtOnce)
    await upsert(tx, some, syncedAt)
    await writeLabels(tx, some)
  }
}

function newestOf(jobs: readonly Job__Output[]): Map<string, Job__Output> {
  const newest = new Map<string, Job__Output>()
  for (const job of jobs) {
    const known = newest.get(job.job_id)
    if (!known || BigInt(job.revision) > BigInt(known.revision)) newest.set(job.job_id, job)
  }
  return newest
}

async function upsert(tx: Transaction, jobs: readonly Job__Output[], syncedAt: Date): Promise<void> {
  const values = jobs.map((job) => {
    const row = toRow(job, syncedAt)
    return Prisma.sql`(${row.jobId}, ${row.tenantId}, ${row.revision}, ${row.userId}, ${row.name}, ${row.status}, ${row.trainingType},
      ${row.framework}, ${row.baseModel}, ${row.queue}, ${row.priority}, ${row.contentHash}, ${row.isEvaluation},
      ${row.evaluatesJobId}, ${row.isArchived}, ${row.hasOutput}, ${row.createdAt}, ${row.startedAt}, ${row.finishedAt}, ${row.syncedAt}, ${row.document})`
  })
  const mutable = [
    'user_id',
    'name',
    'status',
    'training_type',
    'framework',
    'base_model',
    'queue',
    'priority',
    'content_hash',
    'is_evaluation',
    'evaluates_job_id',
    'is_archived',
    'has_output',
    'created_at',
    'started_at',
    'finished_at',
    'synced_at',
    'document',
  ]
  // MariaDB assigns from left to right, so that the revision, which the others look at, comes last.
  const assignments = [
    ...mutable.map((column) => `${column} = IF(VALUES(revision) > revision, VALUES(${column}), ${column})`),
    'revision = GREATEST(revision, VALUES(revision))',
  ].join(', ')
  await tx.$executeRaw`
    INSERT INTO job (job_id, tenant_id, revision, user_id, name, status, training_type, framework, base_model, queue, priority,
      content_hash, is_evaluation, evaluates_job_id, is_archived, has_output, created_at, started_at, finished_at, synced_at, document)
    VALUES ${Prisma.join(values)} ON DUPLICATE KEY UPDATE ${Prisma.raw(assignments)}`
}

async function writeLabels(tx: Transaction, jobs: readonly Job__Output[]): Promise<void> {
  const ids = jobs.map((job) => job.job_id)
  const rows = await tx.job.findMany({ where: { jobId: { in: ids } }, select: { jobId: true, revision: true, labels: true } })
  const kept = new Map(rows.map((row) => [row.jobId, row]))
  // A row with another revision was written by someone who knew better, labels included.
  const ours = jobs.filter((job) => kept.get(job.job_id)?.revision === BigInt(job.revision))
  const text = (labels: { key: string; value: string }[]) => JSON.stringify(labels.map(({ key, value }) => [key, value]).sort())
  const changed = ours.filter((job) => text(labelRows(job)) !== text(kept.get(job.job_id)?.labels ?? []))
  if (changed.length === 0) return
  await tx.jobLabel.deleteMany({ where: { jobId: { in: changed.map((job) => job.job_id) } } })
  await tx.jobLabel.createMany({ data: changed.flatMap(labelRows), skipDuplicates: true })
}
