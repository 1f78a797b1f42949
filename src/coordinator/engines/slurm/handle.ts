import type { EngineHandle } from '../engine.js'

/** How the engine knows an attempt again. */
export interface SlurmHandle {
  /** Null where Slurm refused it, or has forgotten it: then its folder alone speaks. */
  jobId: number | null
  /** The number of the attempt that was submitted; those that Slurm itself began anew count on from it. */
  base: number
  /** The fencing token of the attempt that was submitted. */
  token: string
}

/** The stored form of a handle. */
export const storeHandle = ({ jobId, base, token }: SlurmHandle): EngineHandle => ({ slurm_job_id: jobId, base, token })

/** A stored handle. */
export function readHandle(handle: EngineHandle): SlurmHandle {
  const { slurm_job_id: jobId, base, token } = handle
  return { jobId: typeof jobId === 'number' ? jobId : null, base: Number(base), token: String(token) }
}
