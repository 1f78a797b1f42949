import { formatCursor } from '../../contract/cursor.js'
import { toTimestamp } from '../../contract/proto.js'
import type { logLevels } from '../../contract/statuses.js'
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
export function toLogRecord(jobId: string, { attempt, sequence, time, ...rest }: LogEntry): LogRecord__Output {
  const cursor = formatCursor({ kind: 'logs', topic: jobId, attempt, sequence })
  return { cursor, attempt, time: toTimestamp(time), ...rest }
}
