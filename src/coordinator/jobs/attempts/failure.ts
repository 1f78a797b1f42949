import { type FailureClass, failureClasses } from '../../../contract/statuses.js'
import type { JobFailure__Output } from '../../../generated/proto/scaimind/v1/JobFailure.js'
import type { AttemptEnd } from '../../engines/engine.js'
import type { TrainerEvent } from '../../journal/trainer-events.js'
import { collectiveHang, exceptionPattern, signs } from './failure-signs.js'

/** A line of an attempt's log. */
export interface LastLine {
  text: string
  rank: number
}

/** What is known about an attempt that ended badly. */
export interface Symptoms {
  end: AttemptEnd
  /** What the trainer itself said, where it did. */
  told: Extract<TrainerEvent, { type: 'failure' }> | null
  /** The last lines of its log, stderr's where there are any. */
  lines: LastLine[]
  /** Its nodes, a rank each. */
  nodes: string[]
  /** The first step whose loss was no number, by its metrics. */
  firstBadStep?: number | null
}

const evidenceLines = 20
/** Characters of a line or a message. */
const textMax = 1000

/** Why a job failed, from the trainer's own words, else from its last lines and the way it ended. Pure. */
export function explainFailure({ end, told, lines: given, nodes, firstBadStep }: Symptoms): JobFailure__Output {
  const lines = given.map(({ text, rank }) => ({ text: text.slice(0, textMax), rank }))
  const cause = told ? wordsOf(told) : (signIn(lines) ?? wayItEnded(end, lines))
  const onNode = told?.node_rank ?? cause.line?.rank ?? (told || lines.length > 0 ? (lines.at(-1)?.rank ?? 0) : undefined)
  const rank = told?.rank ?? onNode
  const badStep = told?.first_bad_step ?? (cause.class === 'NAN_LOSS' ? (stepIn(cause.message) ?? firstBadStep) : null)
  return {
    class: cause.class,
    ...(rank === undefined ? {} : { rank }),
    node: nodes[onNode ?? 0] ?? nodes[0] ?? '',
    message: cause.message.slice(0, textMax),
    evidence: evidenceOf(lines, cause.line),
    ...(badStep == null ? {} : { first_bad_step: String(badStep) }),
    hint: cause.hint.slice(0, textMax),
    ...(end.exitCode === null ? {} : { exit_code: end.exitCode }),
  }
}

/** A failure that we found ourselves. */
export function ownFailure(
  kind: FailureClass,
  message: string,
  { hint = '', evidence = [] as string[], exitCode = null as number | null } = {},
): JobFailure__Output {
  return { class: kind, node: '', message, evidence, hint: hint || usualHint(kind), ...(exitCode === null ? {} : { exit_code: exitCode }) }
}

const usualHint = (kind: FailureClass): string => [...signs, collectiveHang].find((sign) => sign.class === kind)?.hint ?? ''

interface Cause {
  class: FailureClass
  message: string
  hint: string
  /** The line that says so. */
  line?: LastLine | undefined
}

function wordsOf(told: NonNullable<Symptoms['told']>): Cause {
  const known = failureClasses.find((name) => name === told.class) ?? 'UNKNOWN'
  // What is known of sources helps nobody whose model or checkpoint is to blame.
  const isElsewhere = known === 'DATA' && Boolean(told.field) && !told.field?.startsWith('data_config.')
  return { class: known, message: told.message, hint: told.hint || (isElsewhere ? '' : usualHint(known)) }
}

function signIn(lines: LastLine[]): Cause | null {
  for (const sign of signs) {
    const line = lines.findLast(({ text }) => sign.pattern.test(text))
    if (line) return { class: sign.class, message: line.text.trim(), hint: sign.hint, line }
  }
  const hang = lines.findLast(({ text }) => collectiveHang.pattern.test(text))
  const exception = lines.findLast(({ text }) => exceptionPattern.test(text) && !collectiveHang.pattern.test(text))
  if (hang && !exception) return { class: 'COLLECTIVE_HANG', message: hang.text.trim(), hint: collectiveHang.hint, line: hang }
  return exception ? { class: 'CODE', message: exception.text.trim(), hint: codeHint(exception.text), line: exception } : null
}

function wayItEnded({ lost, signal, exitCode, verdict }: AttemptEnd, lines: LastLine[]): Cause {
  const line = lines.findLast(({ text }) => text.trim() !== '')
  if (verdict?.cause === 'OUT_OF_MEMORY') {
    return { class: 'OUT_OF_MEMORY', message: verdict.words, hint: moreMemory, line }
  }
  if (verdict?.cause === 'REFUSED') {
    return { class: 'UNKNOWN', message: verdict.words, hint: 'Ask for what the cluster has, or ask whoever runs it.', line }
  }
  if (lost) {
    const hint = 'Its machine went away, or killed it: look at the node before the job is retried.'
    return { class: 'NODE', message: 'The trainer and its launcher ended without a word.', hint, line }
  }
  if (signal === 'SIGKILL' || exitCode === 137) {
    const message = 'The trainer was ended by SIGKILL, as the system does when memory runs out.'
    const hint = `${moreMemory} The node's kernel log says whether it was memory.`
    return { class: 'OUT_OF_MEMORY', message, hint, line }
  }
  if (/^SIG(?:SEGV|BUS|ILL|FPE|ABRT|SYS)$/.test(signal)) {
    const hint = 'Native code crashed: often a library that does not match the GPU driver, or a broken extension.'
    return { class: 'CODE', message: `The trainer was ended by ${signal}.`, hint, line }
  }
  const hint = "The evidence is the end of the attempt's log; its earlier lines may say more."
  if (signal) return { class: 'UNKNOWN', message: `The trainer was ended by ${signal}.`, hint, line }
  return { class: 'UNKNOWN', message: line?.text.trim() || `The trainer ended with exit code ${exitCode}.`, hint, line }
}

function codeHint(text: string): string {
  const module = /ModuleNotFoundError: No module named '([^']+)'|ERR_MODULE_NOT_FOUND|Cannot find (?:module|package) '([^']+)'/.exec(text)
  if (module)
    return `Install ${module[1] ?? module[2] ?? 'it'} where the trainer runs (SCAIMIND_PYTHON names the interpreter), or import something that is there.`
  return 'The evidence ends with the exception; the place in the code is in the lines before it.'
}

const stepIn = (text: string): number | null => {
  const found = /\bstep\D{0,3}(\d{1,15})\b/i.exec(text)?.[1]
  return found === undefined ? null : Number(found)
}

const moreMemory = 'Raise resource_config.memory_gb_per_node, or ask for less at once.'

/** The last lines; where what matters was said earlier, that with what led to it, too. */
function evidenceOf(lines: LastLine[], line: LastLine | undefined): string[] {
  const at = line ? lines.indexOf(line) : -1
  const isAmongLast = at < 0 || at >= lines.length - evidenceLines
  const half = evidenceLines / 2
  const chosen = isAmongLast ? lines.slice(-evidenceLines) : [...lines.slice(Math.max(0, at - half + 1), at + 1), ...lines.slice(-half)]
  return chosen.map(({ text }) => text)
}
