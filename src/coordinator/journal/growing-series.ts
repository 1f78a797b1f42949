import { downsample } from './downsample.js'
import { isOfOneGpu } from './gpu-metrics.js'
import type { MetricEntry } from './records.js'

/** A point as it is kept. */
export interface KeptPoint {
  step: number
  value: number
  timeMs: number
}

/** Series of one attempt, thinned where they are long. */
export interface AttemptSeries {
  byName: Map<string, KeptPoint[]>
  firstStep: number | null
  /** Without the values of single GPUs. */
  latest: MetricEntry | null
}

/** Series that records are added to, however many come. */
export interface GrowingSeries extends AttemptSeries {
  /** Names whose points are not all there any more. */
  thinned: Set<string>
  /** Names that are of single GPUs. */
  ofOneGpu: number
}

/** A series is thinned to half of it when it has this many points. */
export const keptPointsMax = 8192
/** Names over this are not kept: they are not metrics but a mistake. Those of single GPUs are counted by themselves. */
const namesMax = 64

/** No records yet. */
export const newSeries = (): GrowingSeries => ({
  byName: new Map(),
  thinned: new Set(),
  ofOneGpu: 0,
  firstStep: null,
  latest: null,
})

/** Adds a record. A series never has more than `keptPointsMax` points; the lowest and the highest of all that came are among them. */
export function addEntry(series: GrowingSeries, entry: MetricEntry): void {
  series.firstStep ??= entry.step
  const newest = series.latest?.values ?? {}
  series.latest = { ...entry, values: newest }
  for (const [name, value] of Object.entries(entry.values)) {
    const points = series.byName.get(name)
    const ofOneGpu = isOfOneGpu(name)
    if (!points && (ofOneGpu ? series.ofOneGpu : series.byName.size - series.ofOneGpu) >= namesMax) continue
    if (!ofOneGpu) newest[name] = value
    else if (!points) series.ofOneGpu++
    const point = { step: entry.step, value, timeMs: entry.time.getTime() }
    if (!points) series.byName.set(name, [point])
    else points.push(point)
    if (!points || points.length < keptPointsMax) continue
    series.byName.set(name, downsample(points, keptPointsMax / 2))
    series.thinned.add(name)
  }
}
