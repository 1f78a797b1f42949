import { Failure } from '../../contract/failure.js'

/** Whether an error says that the coordinator could not be reached, as opposed to that it refused: then a copy is a better answer than none. */
export const isUnreachable = (error: unknown): boolean =>
  error instanceof Failure && (error.code === 'COORDINATOR_UNAVAILABLE' || error.code === 'BACKEND_TIMEOUT')
