/** One thing that is wrong with a submission: where, as a path in `job.json`, and what would be right. */
export interface Problem {
  path: string
  message: string
}

/** Why a trainer failed, as its `failure` event says it. */
export type FailureClass = 'DATA' | 'NAN_LOSS' | 'CODE' | 'OUT_OF_MEMORY' | 'UNKNOWN'

/** An expected end of a run that is not success: told in one line and an event, without a stack. */
export class TrainerFailure extends Error {
  readonly class: FailureClass
  readonly details: { field?: string; first_bad_step?: number; hint?: string }

  constructor(failureClass: FailureClass, message: string, details: TrainerFailure['details'] = {}, options?: ErrorOptions) {
    super(message, options)
    this.name = 'TrainerFailure'
    this.class = failureClass
    this.details = details
  }
}
