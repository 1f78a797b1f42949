import type { Prisma } from '../../../generated/prisma/coordinator/client.js'
import type { Reader } from './database.js'

/** GPUs of a node that its agent was given for an attempt. */
export interface Reservation {
  nodeId: string
  jobId: string
  tenantId: string
  attempt: number
  gpuIndexes: number[]
}

/** The reservations that hold: those of attempts that have not ended. */
export async function heldReservations(
  database: Pick<Reader, 'gpuReservation' | 'attempt'>,
  where: Prisma.GpuReservationWhereInput = {},
): Promise<Reservation[]> {
  const rows = await database.gpuReservation.findMany({ where })
  if (rows.length === 0) return []
  const named = rows.map(({ jobId, attempt: number }) => ({ jobId, number }))
  const unfinished = await database.attempt.findMany({
    where: { finishedAt: null, OR: named },
    select: { jobId: true, number: true, job: { select: { tenantId: true } } },
  })
  return rows.flatMap(({ nodeId, jobId, attempt, gpuIndexes }) => {
    const held = unfinished.find((candidate) => candidate.jobId === jobId && candidate.number === attempt)
    return held ? [{ nodeId, jobId, tenantId: held.job.tenantId, attempt, gpuIndexes: JSON.parse(gpuIndexes) as number[] }] : []
  })
}
