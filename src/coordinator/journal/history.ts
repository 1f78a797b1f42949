import { type AttemptMetrics, attemptMetrics } from './attempt-metrics.js'
import { downsample } from './downsample.js'
import { isOfOneGpu } from './gpu-metrics.js'
import type { KeptPoint } from './growing-series.js'
import { attemptDirectory, type JournalJob, metricsPath } from './paths.js'
import type { MetricEntry } from './records.js'

/** An attempt of which metrics are read, in order. */
export interface MetricAttempt {
  number: number
  /** The step that it resumed from (0: from the start). Default: the step before its first record. */
  fromStep?: number | undefined
  /** Whether its GPUs are sampled: its metrics are then the merged ones. Default false. */
  gpuSampled?: boolean
}

/** Which history. */
export interface ReadMetricsOptions {
  dataDir: string
  job: JournalJob
  attempts: MetricAttempt[]
  /** At most 20. Empty: all but those of single GPUs, up to 20. */
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

/** Points kept over all attempts: some 60 MB. */
const keptPointsMax = 1_000_000

/** One a coordinator. */
export function metricHistory(): MetricHistory {
  const attempts = new Map<string, AttemptMetrics>()

  function metricsOf(path: string, number: number): AttemptMetrics {
    const found = attempts.get(path) ?? attemptMetrics(path, number)
    attempts.delete(path)
    attempts.set(path, found)
    return found
  }

  /** Forgets what was not asked for longest. */
  function shrink(): void {
    let kept = 0
    for (const [path, metrics] of [...attempts].reverse()) {
      // A name alone is worth something too.
      kept += metrics.size() + 100
      if (kept > keptPointsMax) attempts.delete(path)
    }
  }

  return {
    async read({ dataDir, job, attempts: asked, names, sinceStep = -1, maxPoints }) {
      const series = new Map<string, MetricPoint[]>()
      let latest = null as MetricEntry | null
      for (const { number, fromStep, gpuSampled } of asked.toSorted((a, b) => a.number - b.number)) {
        const path = metricsPath(attemptDirectory(dataDir, job.tenantId, job.jobId, number), gpuSampled)
        const found = await metricsOf(path, number).read(sinceStep, maxPoints)
        if (found.firstStep === null || !found.latest) continue
        const resumedAt = fromStep ?? found.firstStep - 1
        for (const [name, points] of series) {
          const remaining = points.filter(({ step }) => step <= resumedAt)
          series.set(name, remaining)
        }
        for (const [name, points] of found.byName) {
          if (names.length > 0 ? !names.includes(name) : isOfOneGpu(name)) continue
          const later = points.filter(({ step }) => step > sinceStep)
          series.set(name, [...(series.get(name) ?? []), ...later.map((point) => toPoint(point, number))])
        }
        latest = { ...found.latest, values: { ...latest?.values, ...found.latest.values } }
      }
      shrink()
      return { series: toSeries(series, names, maxPoints), latest }
    },
  }
}

const namesMax = 20

function toSeries(byName: Map<string, MetricPoint[]>, names: string[], maxPoints: number): MetricSeries[] {
  const wanted = (names.length > 0 ? names : [...byName.keys()]).slice(0, namesMax)
  return wanted.flatMap((name) => {
    const points = byName.get(name)
    return points && points.length > 0 ? [{ name, points: downsample(points, maxPoints) }] : []
  })
}

function toPoint({ step, value, timeMs }: KeptPoint, attempt: number): MetricPoint {
  return { step, value, time: new Date(timeMs), attempt }
}
