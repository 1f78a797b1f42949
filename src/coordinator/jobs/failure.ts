import { type FailureClass, failureClasses } from '../../contract/statuses.js'
import type { JobFailure__Output } from '../../generated/proto/scaimind/v1/JobFailure.js'
import type { TrainerEvent } from '../journal/trainer-events.js'

/** How an attempt ended. */
export interface AttemptEnd {
  time: Date
  exitCode: number | null
  signal: string
  /** The launcher died unheard. */
  lost: boolean
}

/** What is known about an attempt that ended badly. */
export interface Symptoms {
  end: AttemptEnd
  /** What the trainer itself said, where it did. */
  told: Extract<TrainerEvent, { type: 'failure' }> | null
  /** The last lines of its log, stderr's where there are any. */
  lines: string[]
  node: string
}

const evidenceLines = 20
/** Characters of a line or a message. */
const textMax = 1000

/** Why a job failed, from the trainer's own words, else from its last lines and the way it ended. */
export function explainFailure({ end, told, lines, node }: Symptoms): JobFailure__Output {
  const evidence = lines.slice(-evidenceLines).map((line) => line.slice(0, textMax))
  const failure = {
    node,
    evidence,
    hint: (told?.hint ?? '').slice(0, textMax),
    ...(end.exitCode === null ? {} : { exit_code: end.exitCode }),
    ...(told?.first_bad_step == null ? {} : { first_bad_step: String(told.first_bad_step) }),
  }
  if (told) return { ...failure, class: classOf(told.class), message: told.message.slice(0, textMax) }
  const text = evidence.join('\n')
  if (/out of memory|MemoryError|Cannot allocate memory/i.test(text)) {
    return { ...failure, class: 'OUT_OF_MEMORY', message: lastWords(evidence), hint: 'Lower data_config.batch_size or max_seq_length.' }
  }
  if (end.lost) return { ...failure, class: 'NODE', message: 'The trainer and its launcher ended without a word.' }
  if (end.signal) {
    const hint = end.signal === 'SIGKILL' ? 'The system kills processes when its memory runs out; ask for less, or look into its log.' : ''
    return { ...failure, class: 'UNKNOWN', message: `The trainer was ended by ${end.signal}.`, hint }
  }
  const words = lastWords(evidence)
  const message = words || `The trainer ended with exit code ${end.exitCode}.`
  return { ...failure, class: errorPattern.test(text) ? 'CODE' : 'UNKNOWN', message }
}

/** A failure that we found ourselves. */
export function ownFailure(
  kind: FailureClass,
  message: string,
  { hint = '', evidence = [] as string[], exitCode = null as number | null } = {},
): JobFailure__Output {
  return { class: kind, node: '', message, evidence, hint, ...(exitCode === null ? {} : { exit_code: exitCode }) }
}

const errorPattern = /^\s*(?:Uncaught )?(?:[\w.]*(?:Error|Exception|Interrupt))\b/m

/** The line that names the exception, else the last that says anything. */
function lastWords(lines: string[]): string {
  const exception = lines.findLast((line) => errorPattern.test(line))
  return (exception ?? lines.findLast((line) => line.trim() !== '') ?? '').trim()
}

const classOf = (name: string): FailureClass => failureClasses.find((known) => known === name) ?? 'UNKNOWN'
