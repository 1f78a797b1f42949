import type { BenchmarkResult__Output } from '../../generated/proto/scaimind/v1/BenchmarkResult.js'
import type { Evaluation__Output } from '../../generated/proto/scaimind/v1/Evaluation.js'
import type { BenchmarkComparison, ScoreComparison } from './evaluation-types.js'

// What a benchmark counts in errors is better the smaller it is.
const lowerIsBetter = /(^|_)(perplexity|loss|error|error_rate|wer|cer)$/

/** Which way of a score is better. */
export const betterWay = (score: string): 'LOWER' | 'HIGHER' => (lowerIsBetter.test(score) ? 'LOWER' : 'HIGHER')

/**
 * The results side by side: a row for each benchmark on the same records (by content; by name of the data set where the content is not known), in it
 * each score with the values in the order of the evaluations. Null where an evaluation has none.
 */
export function compareEvaluations(evaluations: readonly Evaluation__Output[]): BenchmarkComparison[] {
  const rows = new Map<string, (BenchmarkResult__Output | null)[]>()
  evaluations.forEach(({ results }, index) => {
    for (const result of results) {
      const key = JSON.stringify([result.name, result.content_hash || result.dataset])
      const row = rows.get(key) ?? evaluations.map(() => null)
      row[index] ??= result
      rows.set(key, row)
    }
  })
  return [...rows.values()].map((row) => {
    const known = row.filter((result) => result !== null)
    const scores = [...new Set(known.flatMap((result) => Object.keys(result.scores)))]
    return {
      name: known[0]?.name ?? '',
      dataset: known[0]?.dataset ?? '',
      contentHash: known[0]?.content_hash || null,
      scores: scores.map((score) => compareScore(score, row)),
    }
  })
}

function compareScore(name: string, row: readonly (BenchmarkResult__Output | null)[]): ScoreComparison {
  const direction = betterWay(name)
  const values = row.map((result) => {
    const value = result?.scores[name]
    return value === undefined || !Number.isFinite(value)
      ? null
      : { value, standardError: result?.standard_errors[name] ?? null, numSamples: result?.num_samples ?? 0 }
  })
  const all = values.flatMap((entry) => (entry ? [entry.value] : []))
  const best = all.length === 0 ? null : direction === 'LOWER' ? Math.min(...all) : Math.max(...all)
  // The first of equals.
  const bestIndex = best === null ? null : values.findIndex((entry) => entry?.value === best)
  return { name, direction, values, bestIndex }
}
