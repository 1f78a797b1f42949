import type { AlignedSeries } from './job-types.js'

/** One metric of one job, by step. */
export type ValuesByStep = ReadonlyMap<number, number>

/**
 * Lays one metric of several jobs over the union of their steps. Where these are more than `maxPoints`, each stretch of steps keeps what is lowest and
 * highest of each job in it, so that peaks survive, and the first and the last step stay. `maxPoints` is at least two a job and two more.
 */
export function alignSeries(name: string, jobs: readonly ValuesByStep[], maxPoints: number): AlignedSeries {
  const all = [...new Set(jobs.flatMap((values) => [...values.keys()]))].sort((a, b) => a - b)
  const steps = all.length <= maxPoints ? all : thin(all, jobs, maxPoints)
  const finite = (value: number | undefined) => (Number.isFinite(value) ? (value as number) : null)
  return { name, steps, values: jobs.map((values) => steps.map((step) => finite(values.get(step)))) }
}

function thin(steps: readonly number[], jobs: readonly ValuesByStep[], maxPoints: number): number[] {
  const inner = steps.slice(1, -1)
  const stretches = Math.max(1, Math.floor((maxPoints - 2) / (2 * jobs.length)))
  const kept = new Set([steps[0] as number, steps.at(-1) as number])
  for (let i = 0; i < stretches; i++) {
    const stretch = inner.slice(Math.floor((i * inner.length) / stretches), Math.floor(((i + 1) * inner.length) / stretches))
    for (const values of jobs) for (const step of extremes(stretch, values)) kept.add(step)
  }
  return [...kept].sort((a, b) => a - b)
}

/** The steps of the lowest and of the highest value. */
function extremes(steps: readonly number[], values: ValuesByStep): number[] {
  const there = steps.filter((step) => Number.isFinite(values.get(step)))
  if (there.length === 0) return []
  const at = (step: number) => values.get(step) as number
  const lowest = there.reduce((best, step) => (at(step) < at(best) ? step : best))
  const highest = there.reduce((best, step) => (at(step) > at(best) ? step : best))
  return [lowest, highest]
}
