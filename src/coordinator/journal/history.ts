import type { JournalJob } from './paths.js'
import type { MetricEntry } from './records.js'

/** An attempt of which metrics are read, in order. */
export interface MetricAttempt {
  number: number
  /** The step that it resumed from (0: from the start). Default: the step before its first record. */
  fromStep?: number | undefined
}

/** Which history. */
export interface ReadMetricsOptions {
  dataDir: string
  job: JournalJob
  attempts: MetricAttempt[]
  /** At most 20. Empty: all, up to 20. */
  names: string[]
  /** Only points of later steps. */
  sinceStep?: number | undefined
  /** A series; 2 to 2,000. */
  maxPoints: number
}

/** One value of one metric. */
export interface MetricPoint {
  step: number
  value: number
  time: Date
  attempt: number
}

/** One metric over steps. */
export interface MetricSeries {
  name: string
  points: MetricPoint[]
}

/** Reads metric histories, and keeps what it read, within bounds, so that a second look at a long job reads only what is new. */
export interface MetricHistory {
  /** Series over all attempts: where an attempt resumed from step s, its points replace earlier attempts' beyond s. `latest` has the newest value of each metric. */
  read(options: ReadMetricsOptions): Promise<{ series: MetricSeries[]; latest: MetricEntry | null }>
}

/** One a coordinator. */
export function metricHistory(): MetricHistory {
  throw new Error('not built yet')
}
