import { Failure } from '../../../contract/failure.js'
import type { AllocateGPUsRequest__Output } from '../../../generated/proto/scaimind/v1/AllocateGPUsRequest.js'
import { type Database, type Transaction, transact } from '../records/database.js'
import { placementOf } from '../records/record.js'
import { heldReservations } from '../records/reservations.js'
import { readGpus, unregistered } from './node-agents.js'

const retryAfterSeconds = 10

/**
 * Gives an attempt GPUs of a registered node, or the same again that it has there; 0 gives them back. Answers their indexes, ascending. Throws NODE_NOT_FOUND,
 * JOB_NOT_FOUND, JOB_STATE_CONFLICT where the attempt has ended, IDEMPOTENCY_CONFLICT where it has another number, and RATE_LIMITED where so many are not free,
 * or the node is draining.
 */
export async function allocateGpus(database: Database, request: AllocateGPUsRequest__Output, now: Date): Promise<number[]> {
  const { node_id: nodeId, job_id: jobId, attempt: number, gpu_count: count } = request
  return await transact(database, async (tx) => {
    // Every change of a job holds this row to its end: so no placement, and no other reservation, falls between the look and the word.
    await tx.$queryRaw`SELECT value FROM event_counter WHERE id = 1 FOR UPDATE`
    const agent = await tx.nodeAgent.findUnique({ where: { nodeId: nodeId.slice(0, 255) } })
    if (!agent) throw unregistered(nodeId)
    const attempt = await tx.attempt.findUnique({ where: { jobId_number: { jobId: jobId.slice(0, 40), number } } })
    if (!attempt) throw new Failure('JOB_NOT_FOUND', `There is no attempt ${number} of a job ${JSON.stringify(jobId.slice(0, 40))}.`)
    if (count === 0) {
      await tx.gpuReservation.deleteMany({ where: { nodeId, jobId, attempt: number } })
      return []
    }
    if (attempt.finishedAt) throw new Failure('JOB_STATE_CONFLICT', `Attempt ${number} of ${jobId} has ended.`)
    const indexes = readGpus(agent.gpus).map(({ index }) => index)
    // What was reserved of GPUs that the node no longer has is nobody's.
    const reserved = (await heldReservations(tx, { nodeId })).map((held) => ({
      ...held,
      gpuIndexes: held.gpuIndexes.filter((index) => indexes.includes(index)),
    }))
    const placed = placementOf(attempt).find((slot) => slot.nodeId === nodeId && slot.gpuIndexes.length > 0)
    const own = placed ?? reserved.find((held) => held.jobId === jobId && held.attempt === number)
    if (own) {
      if (own.gpuIndexes.length === count) return own.gpuIndexes
      const release = placed ? 'by its placement' : 'which it gives back by asking for 0'
      throw new Failure('IDEMPOTENCY_CONFLICT', `Attempt ${number} of ${jobId} has ${own.gpuIndexes.length} GPUs of the node, ${release}.`)
    }
    if ((await tx.node.findUnique({ where: { nodeId } }))?.draining) {
      throw new Failure('RATE_LIMITED', 'The node is draining: it takes no new work.', { retryAfterSeconds })
    }
    const taken = new Set([...(await placedOn(tx, nodeId)), ...reserved.flatMap(({ gpuIndexes }) => gpuIndexes)])
    const free = indexes.filter((index) => !taken.has(index)).sort((a, b) => a - b)
    if (free.length < count) {
      const message = `${count} GPUs are asked for; ${free.length} of the node's ${indexes.length} are free.`
      throw new Failure('RATE_LIMITED', message, { retryAfterSeconds })
    }
    // Those of attempts that have ended are forgotten on the way.
    const held = reserved.map((one) => ({ jobId: one.jobId, attempt: one.attempt }))
    await tx.gpuReservation.deleteMany({ where: { nodeId, ...(held.length > 0 ? { NOT: { OR: held } } : {}) } })
    const gpuIndexes = free.slice(0, count)
    await tx.gpuReservation.create({ data: { nodeId, jobId, attempt: number, gpuIndexes: JSON.stringify(gpuIndexes), createdAt: now } })
    return gpuIndexes
  })
}

async function placedOn(tx: Transaction, nodeId: string): Promise<number[]> {
  const unfinished = await tx.attempt.findMany({ where: { finishedAt: null }, select: { placement: true } })
  return unfinished.flatMap((attempt) => placementOf(attempt).flatMap((slot) => (slot.nodeId === nodeId ? slot.gpuIndexes : [])))
}
