import { existsSync } from 'node:fs'
import { formatOf, readSource } from '../data/records.js'
import { modelFolder } from '../model/folder.js'
import type { Problem } from '../problems.js'
import { questionOf } from './measures.js'
import { readBenchmarks } from './parameters.js'
import { type EvaluationOrder, loadModel } from './run.js'

/** Checks an evaluation before it runs: benchmarks, parameters, the model, every line of the data. An empty path stands for one that is refused already. */
export function checkEvaluation({ model, base, benchmarks }: EvaluationOrder): Problem[] {
  const { plans, problems } = readBenchmarks(benchmarks)
  for (const [index, { name, path }] of plans.entries()) {
    const message = path === '' ? null : dataProblem(path, name === 'exact_match')
    if (message) problems.push({ path: `benchmarks[${index}].dataset`, message })
  }
  const reason = model === '' ? null : modelProblem(model, base)
  return reason ? [...problems, { path: 'model_uri', message: reason }] : problems
}

function dataProblem(path: string, needsQuestions: boolean): string | null {
  const format = formatOf(path, '')
  if (!format) return 'The embedded trainer reads .jsonl and .txt.'
  try {
    const { records, badLines } = readSource(path, format)
    const [bad] = badLines
    if (bad) return `line ${bad.line}: ${bad.reason}.`
    if (records.length === 0) return 'There are no records in it.'
    const plain = needsQuestions ? records.findIndex((record) => !questionOf(record)) : -1
    return plain < 0 ? null : `exact_match asks for "prompt" and "completion", or "messages"; record ${plain + 1} is plain text.`
  } catch (error) {
    return `${(error as Error).message}.`
  }
}

function modelProblem(model: string, base: string): string | null {
  const folder = modelFolder(model)
  if (!folder || !existsSync(folder))
    return 'The embedded trainer evaluates scaimind/byte-tiny and models saved by jobs on it; there is no such model.'
  try {
    loadModel({ model, base })
    return null
  } catch (error) {
    return `The embedded trainer cannot read this model: ${(error as Error).message}.`
  }
}
