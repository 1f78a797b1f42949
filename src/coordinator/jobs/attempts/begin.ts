import { randomBytes } from 'node:crypto'
import type { Placement } from '../../engines/engine.js'
import { completeCheckpoints } from '../records/checkpoints.js'
import type { Database, Transaction } from '../records/database.js'
import { canHappen } from '../records/lifecycle.js'
import { needsOf, shareOf } from '../records/needs.js'
import { holdsProcesses, type JobRecord, specOf, statusOf, storePlacement } from '../records/record.js'
import { heldReservations } from '../records/reservations.js'
import type { JobSettings } from '../records/settings.js'
import type { JobStore } from '../records/store.js'

/**
 * Intent before effect: the job's next attempt goes on record with its token before an engine hears of it. With a placement the job is SCHEDULING then; without
 * one it stays QUEUED, since the engine's own scheduler will choose. Answers the job, or null where it may not start any more, or its GPUs were reserved or a node of it drained meanwhile.
 */
export async function beginAttempt(
  { store, database, settings }: { store: JobStore; database: Database; settings: Pick<JobSettings, 'gpuSampleSeconds'> },
  jobId: string,
  placement: Placement[],
): Promise<JobRecord | null> {
  const token = randomBytes(16).toString('hex')
  const newest = (await completeCheckpoints(database, jobId))[0]?.checkpointId
  let begun = false
  const job = await store
    .change(jobId, (current, now) => {
      begun = canHappen('placed', statusOf(current)) && current.wanted === 'RUN' && !holdsProcesses(current)
      if (!begun) return null
      const number = current.attempt + 1
      const needs = needsOf(specOf(current))
      const fromCheckpoint = current.fromCheckpoint ?? newest ?? (specOf(current).training_config.resume_from_checkpoint || null)
      const attempt = {
        jobId,
        number,
        cause: current.nextCause,
        token,
        placement: storePlacement(placement),
        fromCheckpoint,
        submittedAt: now,
        gpus: needs.gpuCount,
        share: shareOf(needs),
        gpuSampled: needs.gpuCount > 0 && settings.gpuSampleSeconds > 0,
      }
      const set = { attempt: number, fromCheckpoint: null, progress: fromCheckpoint ? current.progress : null }
      const nodes = placement.map(({ nodeId }) => nodeId).join(', ')
      return {
        steps: [placement.length > 0 ? { happened: 'placed', message: `Placed on ${nodes}.`, set: { ...set, notBefore: null } } : { set }],
        effects: async (tx) => {
          await tx.attempt.create({ data: attempt })
          // Who gave way to it did so for this place.
          if (placement.length > 0) await tx.attempt.updateMany({ where: { evictedFor: jobId }, data: { evictedFor: null } })
        },
        remember: (tx) => requireOpen(tx, placement),
      }
    })
    .catch((error: unknown) => {
      if (error instanceof PlaceGone) return null
      throw error
    })
  return begun ? job : null
}

class PlaceGone extends Error {}

/** Looked at last of all in the transaction: whoever reserves GPUs or drains a node does it between two of them. */
async function requireOpen(tx: Transaction, placement: Placement[]): Promise<void> {
  const isDraining = { nodeId: { in: placement.map(({ nodeId }) => nodeId) }, draining: true }
  if (placement.length > 0 && (await tx.node.count({ where: isDraining })) > 0) throw new PlaceGone()
  const onGpus = placement.filter(({ gpuIndexes }) => gpuIndexes.length > 0)
  if (onGpus.length === 0) return
  const reserved = await heldReservations(tx, { nodeId: { in: onGpus.map(({ nodeId }) => nodeId) } })
  const isReserved = ({ nodeId, gpuIndexes }: Placement) =>
    reserved.some((other) => other.nodeId === nodeId && other.gpuIndexes.some((index) => gpuIndexes.includes(index)))
  if (onGpus.some(isReserved)) throw new PlaceGone()
}
