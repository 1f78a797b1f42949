/** A command that failed for a reason that its user can do something about: the message is all there is to print. Exit code 1. */
export class CommandFailed extends Error {
  readonly exitCode: number = 1
}

/** What was typed, or a file that was named, is not right. Exit code 2. */
export class UsageError extends CommandFailed {
  override readonly exitCode = 2
}

/** Whether an error is a refusal of the system with this code, such as EADDRINUSE. */
export function isSystemError(error: unknown, code: string): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && error.code === code
}
