import type { SlurmJob } from './parse.js'
import { phaseOf } from './states.js'

/** How the script of a twin ends that found its folder taken. */
const takenCode = 3

/** All jobs that Slurm has under one attempt's name, told apart. */
export interface Namesakes {
  /** The job that is the attempt; null where Slurm knows it no more. */
  job: SlurmJob | null
  /** Those that wait beside it, or after its end: they must never run. */
  surplus: SlurmJob[]
}

/**
 * Tells which of the jobs under an attempt's name is the attempt. There may be a twin: one `sbatch` was given up, as by a coordinator that was killed meanwhile, and
 * reached Slurm after another had been sent in its stead. `id` is the one that was answered first; it is the attempt unless the twin was started before it. Pure.
 */
export function tellTwins(namesakes: readonly SlurmJob[], id: number | null): Namesakes {
  const jobs = [...namesakes].sort((a, b) => Number(b.id === id) - Number(a.id === id) || a.id - b.id)
  const inPhase = (...phases: string[]) => jobs.filter(({ states }) => phases.includes(phaseOf(states)))
  const own = jobs.find((job) => job.id === id)
  const waiting = inPhase('WAITING')
  const ended = inPhase('ENDED')
  const running = inPhase('RUNNING', 'ENDING')[0]
  const job = running ?? waiting.find((each) => each === own) ?? ended.find(({ exitCode }) => exitCode !== takenCode) ?? ended[0] ?? null
  return { job, surplus: waiting.filter((each) => each !== job) }
}
