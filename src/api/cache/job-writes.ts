import { Prisma } from '../../generated/prisma/api/client.js'
import type { Job__Output } from '../../generated/proto/scaimind/v1/Job.js'
import type { Transaction } from './database.js'
import { labelRows, nodeRows, toRow } from './job-row.js'

const rowsAtOnce = 100

/** Writes each job where its revision is newer than the row's, whoever wrote that, and with it its labels and the nodes that it ran on. */
export async function writeJobs(tx: Transaction, jobs: readonly Job__Output[], syncedAt: Date): Promise<void> {
  // One order in all transactions, so that two that write the same jobs wait instead of dying of each other.
  const newest = [...newestOf(jobs).values()].sort((a, b) => (a.job_id < b.job_id ? -1 : 1))
  for (let start = 0; start < newest.length; start += rowsAtOnce) {
    const some = newest.slice(start, start + rowsAtOnce)
    await upsert(tx, some, syncedAt)
    await writeLabelsAndNodes(tx, some, syncedAt)
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

type Row = ReturnType<typeof toRow>

const columns = {
  job_id: 'jobId',
  tenant_id: 'tenantId',
  user_id: 'userId',
  name: 'name',
  status: 'status',
  training_type: 'trainingType',
  framework: 'framework',
  base_model: 'baseModel',
  queue: 'queue',
  priority: 'priority',
  message: 'message',
  gpu_seconds: 'gpuSeconds',
  content_hash: 'contentHash',
  is_evaluation: 'isEvaluation',
  evaluates_job_id: 'evaluatesJobId',
  is_archived: 'isArchived',
  has_output: 'hasOutput',
  created_at: 'createdAt',
  started_at: 'startedAt',
  finished_at: 'finishedAt',
  updated_at: 'updatedAt',
  synced_at: 'syncedAt',
  document: 'document',
  revision: 'revision',
} as const satisfies Record<string, keyof Row>

const columnList = Prisma.raw(Object.keys(columns).join(', '))
// MariaDB assigns from left to right, so that the revision, which the others look at, comes last.
const assignments = Prisma.raw(
  [
    ...Object.keys(columns)
      .filter((column) => !['job_id', 'tenant_id', 'revision'].includes(column))
      .map((column) => `${column} = IF(VALUES(revision) > revision, VALUES(${column}), ${column})`),
    'revision = GREATEST(revision, VALUES(revision))',
  ].join(', '),
)

async function upsert(tx: Transaction, jobs: readonly Job__Output[], syncedAt: Date): Promise<void> {
  const values = jobs.map((job) => {
    const row = toRow(job, syncedAt)
    return Prisma.sql`(${Prisma.join(Object.values(columns).map((field) => row[field]))})`
  })
  await tx.$executeRaw`INSERT INTO job (${columnList}) VALUES ${Prisma.join(values)} ON DUPLICATE KEY UPDATE ${assignments}`
}

async function writeLabelsAndNodes(tx: Transaction, jobs: readonly Job__Output[], syncedAt: Date): Promise<void> {
  const ids = jobs.map((job) => job.job_id)
  const select = { jobId: true, revision: true, labels: true, nodes: true }
  const rows = await tx.job.findMany({ where: { jobId: { in: ids } }, select })
  const kept = new Map(rows.map((row) => [row.jobId, row]))
  // A row with another revision was written by someone who knew better, labels and nodes included.
  const ours = jobs.filter((job) => kept.get(job.job_id)?.revision === BigInt(job.revision))

  const labelText = (labels: { key: string; value: string }[]) => JSON.stringify(labels.map(({ key, value }) => [key, value]).sort())
  const relabelled = ours.filter((job) => labelText(labelRows(job, syncedAt)) !== labelText(kept.get(job.job_id)?.labels ?? []))
  if (relabelled.length > 0) {
    await tx.jobLabel.deleteMany({ where: { jobId: { in: relabelled.map((job) => job.job_id) } } })
    await tx.jobLabel.createMany({ data: relabelled.flatMap((job) => labelRows(job, syncedAt)), skipDuplicates: true })
  }

  const nodeText = (nodes: { nodeId: string }[]) => JSON.stringify(nodes.map(({ nodeId }) => nodeId).sort())
  const moved = ours.filter((job) => nodeText(nodeRows(job, syncedAt)) !== nodeText(kept.get(job.job_id)?.nodes ?? []))
  if (moved.length > 0) {
    await tx.jobNode.deleteMany({ where: { jobId: { in: moved.map((job) => job.job_id) } } })
    await tx.jobNode.createMany({ data: moved.flatMap((job) => nodeRows(job, syncedAt)), skipDuplicates: true })
  }
}
