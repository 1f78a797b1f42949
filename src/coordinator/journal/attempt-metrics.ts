import { type AttemptSeries, addEntry, type GrowingSeries, newSeries } from './growing-series.js'
import { type LinePlace, readLines, startOfFile } from './lines.js'
import { type MetricEntry, parseMetric } from './records.js'

/** One attempt's metrics as read so far; reading goes on where it stopped. */
export interface AttemptMetrics {
  /** Reads what is new, and answers all of it; later than `sinceStep` with at least `points` points a series, where the file has them. */
  read(sinceStep: number, points: number): Promise<AttemptSeries>
  /** Points that are kept in memory. */
  size(): number
}

const windowBytes = 256 * 1024

/** Reads the `metrics.jsonl` of an attempt as a stream, in bounded memory. */
export function attemptMetrics(path: string, attempt: number): AttemptMetrics {
  const series: GrowingSeries = newSeries()
  /** Where the reading was, and the highest step before it, from time to time. */
  let marks: { place: LinePlace; step: number }[] = []
  let place = startOfFile
  let stepMax = -1
  let reading: Promise<void> = Promise.resolve()

  async function readOn(): Promise<void> {
    for (;;) {
      const read = await readLines(path, place, windowBytes)
      if (!read) return
      marks.push({ place, step: stepMax })
      // Half as many, twice as far apart, are still good enough to start from.
      if (marks.length > 4096) marks = marks.filter((_, index) => index % 2 === 0)
      for (const entry of entriesOf(read.lines, attempt, place.line)) {
        addEntry(series, entry)
        stepMax = Math.max(stepMax, entry.step)
      }
      place = read.next
      if (read.atEnd) return
    }
  }

  /** Reads the later part again, to have it in full where the kept points are too thin for it. */
  async function readSince(sinceStep: number): Promise<AttemptSeries> {
    const later = newSeries()
    const until = place.line
    let from = marks.findLast((mark) => mark.step <= sinceStep)?.place ?? startOfFile
    while (from.line < until) {
      const read = await readLines(path, from, windowBytes)
      if (!read) break
      for (const entry of entriesOf(read.lines, attempt, from.line)) if (entry.step > sinceStep) addEntry(later, entry)
      if (read.atEnd) break
      from = read.next
    }
    return { ...later, firstStep: series.firstStep, latest: series.latest }
  }

  return {
    async read(sinceStep, points) {
      reading = reading.catch(() => {}).then(readOn)
      await reading
      const isThin = [...series.byName].some(
        ([name, kept]) => series.thinned.has(name) && kept.filter(({ step }) => step > sinceStep).length < points / 2,
      )
      return isThin && sinceStep > 0 ? readSince(sinceStep) : series
    },
    size: () => [...series.byName.values()].reduce((sum, points) => sum + points.length, 0),
  }
}

function* entriesOf(lines: (string | null)[], attempt: number, firstLine: number): Generator<MetricEntry> {
  for (const [index, line] of lines.entries()) {
    const entry = line === null ? null : parseMetric(line, { attempt, sequence: firstLine + index })
    if (entry) yield entry
  }
}
