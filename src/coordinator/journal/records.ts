import { formatCursor } from '../../contract/cursor.js'
import { toTimestamp } from '../../contract/proto.js'
import { logLevels } from '../../contract/statuses.js'
import type { LogRecord__Output } from '../../generated/proto/scaimind/v1/LogRecord.js'
import type { MetricRecord__Output } from '../../generated/proto/scaimind/v1/MetricRecord.js'

/** A record's place in a job's metrics or logs: what its cursor holds. The sequence is a line number from 0; -1: before the first. */
export interface JournalPlace {
  attempt: number
  sequence: number
}

/** DEBUG, INFO, WARN or ERROR. */
export type LogLevel = (typeof logLevels)[number]

/** One line of `metrics.jsonl`. */
export interface MetricEntry extends JournalPlace {
  step: number
  epoch: number
  time: Date
  values: Record<string, number>
}

/** One line of output. */
export interface LogEntry extends JournalPlace {
  time: Date
  rank: number
  stream: string
  level: LogLevel
  text: string
}

/** A metric record as `scaimind.v1` has it, with its cursor. */
export function toMetricRecord(jobId: string, { attempt, sequence, step, epoch, time, values }: MetricEntry): MetricRecord__Output {
  const cursor = formatCursor({ kind: 'metrics', topic: jobId, attempt, sequence })
  return { cursor, attempt, step: String(step), epoch, time: toTimestamp(time), values }
}

/** A log record as `scaimind.v1` has it, with its cursor. */
export function toLogRecord(jobId: string, { attempt, sequence, time, rank, stream, level, text }: LogEntry): LogRecord__Output {
  const cursor = formatCursor({ kind: 'logs', topic: jobId, attempt, sequence })
  return { cursor, attempt, time: toTimestamp(time), rank, stream, level, text }
}

// Entries are made field by field: to spread the place into them took four times as long as to parse the line.

/** Reads a line of `metrics.jsonl`; null where it is none. Values that are no number are left out. */
export function parseMetric(line: string, { attempt, sequence }: JournalPlace): MetricEntry | null {
  const record = parseObject(line) ?? parseObject(withoutNaN(line))
  const { step, epoch, time, values } = record ?? {}
  const date = parseTime(time)
  if (!Number.isSafeInteger(step) || Number(step) < 0 || !date || typeof values !== 'object' || values === null) return null
  const numbers: Record<string, number> = {}
  for (const [name, value] of Object.entries(values)) if (typeof value === 'number' && Number.isFinite(value)) numbers[name] = value
  return { attempt, sequence, step: Number(step), epoch: typeof epoch === 'number' ? epoch : 0, time: date, values: numbers }
}

/** Reads a line of a log journal; null where it is none. */
export function parseLog(line: string, { attempt, sequence }: JournalPlace): LogEntry | null {
  const { time, rank, stream, level, text } = parseObject(line) ?? {}
  const date = parseTime(time)
  if (!date || typeof text !== 'string') return null
  const known = logLevels.find((name) => name === level) ?? 'INFO'
  const bounded = text.length > textMax ? text.slice(0, textMax) : text
  return { attempt, sequence, time: date, rank: Number(rank) || 0, stream: String(stream ?? 'stdout'), level: known, text: bounded }
}

/** Characters of a line: a launcher's have fewer, and one message must hold any. */
const textMax = 65_536

// Python's json writes NaN and Infinity, which JSON does not have.
const withoutNaN = (line: string) => line.replace(/([:,[]\s*)-?(?:NaN|Infinity)\b/g, '$1null')

function parseObject(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}

// Lines that were written together bear the same time.
let lastTime: { text: string; date: Date } | undefined

function parseTime(value: unknown): Date | null {
  if (typeof value !== 'string') return null
  if (lastTime?.text === value) return lastTime.date
  const date = new Date(value)
  if (Number.isNaN(date.getTime())) return null
  lastTime = { text: value, date }
  return date
}
