import { Failure } from '../../../contract/failure.js'

/** Slurm could not be asked: asking again may help. */
export class SlurmUnavailable extends Failure {
  /** Whether nothing of what was asked can have reached it. */
  readonly isUnsent: boolean

  constructor(message: string, { isUnsent = false, ...options }: { cause?: unknown; isUnsent?: boolean } = {}) {
    super('BACKEND_TIMEOUT', message, options)
    this.isUnsent = isUnsent
  }
}

/** Slurm looked at what was asked and refused it. */
export class SlurmRefused extends Error {
  /** Slurm's words, without the program's name. */
  readonly words: string

  constructor(command: string, words: string, cause: unknown) {
    super(`${command}: ${words}`, { cause })
    this.words = words
  }
}

/** Where the controller is not there, has no time now, or takes no more jobs until some have ended (MaxJobCount, and the limits called …MaxSubmit…). */
const unavailable =
  /unable to (contact|establish|process configuration)|connect(ion)? (failure|refused|timed out)|socket timed out|timed out on send|zero bytes|temporarily una(ble|vailable)|maxsubmit|communication|controller not responding|authentication|munge|transport|backup mode|standby|too many (open|simultaneous)/i

/** What a program's failure means, by what it said on standard error. One that said nothing, as where it was not there or was killed, asked nobody. */
export function failureOf(command: string, stderr: string, cause: Error): SlurmUnavailable | SlurmRefused {
  // `sbatch: error: Batch job submission failed: Invalid …` → what follows the names.
  const lines = stderr.split('\n').map((line) => line.replace(/^\w+: (error: )?/, '').trim())
  const words = lines.filter(Boolean).join('; ').slice(0, 1000)
  const isUnsent = /\(connect failure\)$/.test(words)
  if (words === '' || unavailable.test(words)) return new SlurmUnavailable(`${command}: ${words || cause.message}`, { cause, isUnsent })
  return new SlurmRefused(command, words, cause)
}
