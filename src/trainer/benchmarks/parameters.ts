import type { Problem } from '../problems.js'

/** The benchmarks that the embedded trainer runs. */
export const BENCHMARKS = ['perplexity', 'exact_match', 'bytes_accuracy'] as const
export type BenchmarkName = (typeof BENCHMARKS)[number]

/** One benchmark to run, with its data as a file. */
export interface BenchmarkPlan {
  name: BenchmarkName
  /** As it was asked for. */
  dataset: string
  path: string
  /** At most so many records, from the first; 0: all. */
  numSamples: number
  /** Tokens that an answer has at most. */
  maxTokens: number
  ignoreCase: boolean
}

/** A benchmark as `job.json` has it. */
export interface GivenBenchmark {
  name: string
  dataset: string
  path: string
  num_samples: number
  parameters: Record<string, string>
}

const PARAMETERS: Record<BenchmarkName, readonly string[]> = {
  perplexity: [],
  exact_match: ['max_tokens', 'ignore_case'],
  bytes_accuracy: [],
}
const MAX_TOKENS = { default: 160, max: 4096 }

/** Reads benchmarks, and says what is wrong with them: names and parameters, by path. Looks at no file. */
export function readBenchmarks(given: readonly GivenBenchmark[]): { plans: BenchmarkPlan[]; problems: Problem[] } {
  const problems: Problem[] = []
  const plans = given.map(({ name, dataset, path, num_samples: numSamples, parameters }, index): BenchmarkPlan => {
    const at = `benchmarks[${index}]`
    const known = BENCHMARKS.find((benchmark) => benchmark === name)
    if (!known) problems.push({ path: `${at}.name`, message: `Benchmarks are ${BENCHMARKS.join(', ')}, not ${JSON.stringify(name)}.` })
    const expected = PARAMETERS[known ?? 'exact_match']
    for (const parameter of Object.keys(parameters)) {
      if (known && !expected.includes(parameter)) {
        const message = expected.length === 0 ? `${known} takes no parameters.` : `${known} takes ${expected.join(' and ')}.`
        problems.push({ path: `${at}.parameters.${parameter}`, message })
      }
    }
    const { max_tokens: maxTokens, ignore_case: ignoreCase } = parameters
    if (maxTokens !== undefined && !(/^\d{1,4}$/.test(maxTokens) && Number(maxTokens) >= 1 && Number(maxTokens) <= MAX_TOKENS.max)) {
      problems.push({ path: `${at}.parameters.max_tokens`, message: `This is a whole number from 1 to ${MAX_TOKENS.max}.` })
    }
    if (ignoreCase !== undefined && ignoreCase !== 'true' && ignoreCase !== 'false') {
      problems.push({ path: `${at}.parameters.ignore_case`, message: 'This is true or false.' })
    }
    return {
      name: known ?? 'perplexity',
      dataset,
      path,
      numSamples,
      maxTokens: Number(maxTokens ?? MAX_TOKENS.default),
      ignoreCase: ignoreCase === 'true',
    }
  })
  return { plans, problems }
}
