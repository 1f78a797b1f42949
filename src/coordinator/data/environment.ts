import type { FieldProblem } from '../../contract/failure.js'

/** What is wrong with a job's `training_config.environment`, by field. */
export function environmentProblems(_environment: Record<string, string>): FieldProblem[] {
  throw new Error('not built yet')
}

/** The trainer's environment, built from nothing: a plain PATH, HOME, TMPDIR, LANG and TZ, then the job's own. Nothing of the coordinator's. */
export function trainerEnvironment(_options: {
  /** The attempt's folder. */
  directory: string
  /** The job's. */
  environment: Record<string, string>
}): Record<string, string> {
  throw new Error('not built yet')
}
