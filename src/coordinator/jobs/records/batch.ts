import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { InvalidInput } from '../../../contract/failure.js'
import { toTimestamp } from '../../../contract/proto.js'
import { type Checkpoint, Prisma } from '../../../generated/prisma/coordinator/client.js'
import type { BatchGetLatestMetricsResponse__Output } from '../../../generated/proto/scaimind/v1/BatchGetLatestMetricsResponse.js'
import type { BatchListCheckpointsRequest__Output } from '../../../generated/proto/scaimind/v1/BatchListCheckpointsRequest.js'
import type { BatchListCheckpointsResponse__Output } from '../../../generated/proto/scaimind/v1/BatchListCheckpointsResponse.js'
import { type LatestMetrics, latestMetrics } from '../../journal/latest-metrics.js'
import { atMost } from './at-most.js'
import { toCheckpointMessage } from './checkpoints.js'
import type { Database } from './database.js'

const idsMax = 500
const limitMax = 1000
const limitDefault = 100
/** Over all jobs of a call: one message must hold them. */
const checkpointsMax = 5000
const filesAtOnce = 16

/** What is asked for many jobs in one call: one query, and a few bytes of each job's files. Jobs that are not the tenant's are left out. */
export function jobBatches({ database, dataDir }: { database: Database; dataDir: string }) {
  const latest: LatestMetrics = latestMetrics()
  const inTurn = atMost(filesAtOnce)

  return {
    /** The newest complete checkpoints of each job, and those that are named. Throws InvalidInput. */
    async checkpoints(
      tenantId: string,
      { job_ids: given, limit, checkpoint_ids: named }: BatchListCheckpointsRequest__Output,
    ): Promise<BatchListCheckpointsResponse__Output> {
      const ids = checkIds(given)
      const checkpointIds = checkIds(named, 'checkpoint_ids')
      if (limit > limitMax) refuse('limit', `1 to ${limitMax} checkpoints of a job can be asked for, not ${limit}.`)
      if (limit * ids.length > checkpointsMax)
        refuse(
          'limit',
          `At most ${checkpointsMax} checkpoints a call: ask for at most ${Math.floor(checkpointsMax / ids.length)} of each job.`,
        )
      const of = limit || Math.min(limitDefault, Math.floor(checkpointsMax / Math.max(1, ids.length)))
      const rows = ids.length === 0 ? [] : await newestCheckpoints(database, tenantId, ids, of)
      const known = new Set(rows.map(({ checkpointId }) => checkpointId))
      const others = checkpointIds.filter((id) => !known.has(id))
      if (others.length > 0) {
        rows.push(...(await database.checkpoint.findMany({ where: { checkpointId: { in: others }, tenantId, deletedAt: null } })))
      }
      const complete = await Promise.all(rows.map((row) => inTurn(async () => ((await isComplete(row)) ? row : null))))
      const byJob = groupByJob(complete.flatMap((row) => row ?? []))
      return { jobs: [...byJob].map(([job_id, checkpoints]) => ({ job_id, checkpoints: checkpoints.map(toCheckpointMessage) })) }
    },

    /** The newest value of each metric of each job. Throws InvalidInput. */
    async latestMetrics(tenantId: string, given: string[]): Promise<BatchGetLatestMetricsResponse__Output> {
      const ids = checkIds(given)
      const attempts =
        ids.length === 0
          ? []
          : await database.attempt.findMany({
              where: { jobId: { in: ids }, job: { tenantId } },
              select: { jobId: true, number: true, gpuSampled: true },
            })
      const numbers = groupByJob(attempts)
      const found = await Promise.all(
        [...numbers].map(([jobId, rows]) =>
          inTurn(async () => ({
            jobId,
            entry: await latest.of(dataDir, { tenantId, jobId }, rows),
          })),
        ),
      )
      return {
        jobs: found.flatMap(({ jobId, entry }) => {
          if (!entry) return []
          const { attempt, step, epoch, time, values } = entry
          return [{ job_id: jobId, latest: { cursor: '', attempt, step: String(step), epoch, time: toTimestamp(time), values } }]
        }),
      }
    },
  }
}

/** What is asked for many jobs. */
export type JobBatches = ReturnType<typeof jobBatches>

async function newestCheckpoints(database: Database, tenantId: string, ids: string[], limit: number): Promise<Checkpoint[]> {
  const rows = await database.$queryRaw<RawCheckpoint[]>`
    SELECT * FROM (
      SELECT checkpoint_id, job_id, attempt, step, path, bytes, metrics, created_at,
        ROW_NUMBER() OVER (PARTITION BY job_id ORDER BY step DESC, attempt DESC) AS place
      FROM checkpoint WHERE job_id IN (${Prisma.join(ids)}) AND tenant_id = ${tenantId} AND deleted_at IS NULL
    ) AS newest WHERE place <= ${limit} ORDER BY job_id, place`
  return rows.map((row) => ({
    checkpointId: row.checkpoint_id,
    jobId: row.job_id,
    tenantId,
    attempt: Number(row.attempt),
    step: BigInt(row.step),
    path: row.path,
    bytes: BigInt(row.bytes),
    metrics: row.metrics,
    createdAt: row.created_at,
    deletedAt: null,
  }))
}

interface RawCheckpoint {
  checkpoint_id: string
  job_id: string
  attempt: number
  step: bigint | number
  path: string
  bytes: bigint | number
  metrics: string
  created_at: Date
}

/** Only its manifest makes a checkpoint complete. */
const isComplete = ({ path }: Checkpoint): Promise<boolean> =>
  access(join(path, 'manifest.json')).then(
    () => true,
    () => false,
  )

function groupByJob<Row extends { jobId: string }>(rows: Row[]): Map<string, Row[]> {
  const groups = new Map<string, Row[]>()
  for (const row of rows) {
    const group = groups.get(row.jobId)
    if (group) group.push(row)
    else groups.set(row.jobId, [row])
  }
  return groups
}

function checkIds(ids: string[], path = 'job_ids'): string[] {
  if (ids.length > idsMax) refuse(path, `At most ${idsMax} ids, not ${ids.length}.`)
  return [...new Set(ids)]
}

function refuse(path: string, message: string): never {
  throw new InvalidInput([{ path, message }], 'INVALID_ARGUMENT')
}
