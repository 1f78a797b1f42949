import { RE2JS, RE2JSException } from 're2js'
import { InvalidInput } from '../../contract/failure.js'
import { logLevels } from '../../contract/statuses.js'
import type { LogEntry, LogLevel } from './records.js'

/** Which log lines; what is unset does not filter. Filters never change sequence numbers. */
export interface LogFilter {
  /** This level or graver. */
  level?: LogLevel | undefined
  rank?: number | undefined
  stream?: 'stdout' | 'stderr' | undefined
  /** Not before this time. */
  since?: Date | undefined
  /** Before this time. */
  until?: Date | undefined
  /** Only lines whose text matches. */
  pattern?: LogPattern | undefined
}

/** A regular expression of RE2's language, found anywhere in a line's text. */
export interface LogPattern {
  test(text: string): boolean
}

const patternMax = 200
/**
 * Instructions of a compiled pattern. The engine's time is linear in the line, but its factor is this: at 500, the worst pattern took 90 ms for
 * a line of 16,384 characters, and an ordinary one 0.1 microseconds.
 */
const programMax = 500
/** Characters of a line that a pattern looks at: a launcher's lines are no longer, what others write may be. */
const textMax = 16_384

/** Whether a line is told under a filter. */
export function matchesLogFilter({ level, rank, stream, since, until, pattern }: LogFilter): (entry: LogEntry) => boolean {
  const gravest = level ? logLevels.indexOf(level) : 0
  return (entry) =>
    logLevels.indexOf(entry.level) >= gravest &&
    (rank === undefined || entry.rank === rank) &&
    (stream === undefined || entry.stream === stream) &&
    (since === undefined || entry.time >= since) &&
    (until === undefined || entry.time < until) &&
    (pattern === undefined || pattern.test(entry.text))
}

/** Reads a caller's pattern; undefined for an empty one. Throws InvalidInput that says what is wrong with it. */
export function parseLogPattern(text: string): LogPattern | undefined {
  if (text === '') return undefined
  if (text.length > patternMax) refuse(`A pattern has at most ${patternMax} characters, not ${text.length}.`)
  const compiled = compile(text)
  if (compiled.programSize() > programMax) refuse('The pattern repeats too much: it would be too slow on long lines.')
  return { test: (line) => compiled.test(line.length > textMax ? line.slice(0, textMax) : line) }
}

function compile(text: string): RE2JS {
  try {
    return RE2JS.compile(text)
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error
    const reason = error.message.replace(/^error parsing regexp: /, '')
    refuse(`This is no regular expression of RE2's language: ${reason}.`)
  }
}

function refuse(message: string): never {
  throw new InvalidInput([{ path: 'pattern', message }], 'INVALID_ARGUMENT')
}
