import type { Timestamp__Output } from '../../../generated/proto/google/protobuf/Timestamp.js'
import type { MetricRecord__Output } from '../../../generated/proto/scaimind/v1/MetricRecord.js'

/** One value of one metric, with the record that it came with. */
export interface MetricValueAt {
  name: string
  value: number
  step: string
  epoch: number
  time: Timestamp__Output | null
  attempt: number
}

/** The values of a record, each by itself. */
export function latestOf(record: MetricRecord__Output | null): MetricValueAt[] {
  if (!record) return []
  const { values, step, epoch, time, attempt } = record
  return Object.entries(values).map(([name, value]) => ({ name, value, step, epoch, time, attempt }))
}
