import { existsSync } from 'node:fs'
import { TEXT_RECORDS } from '../data/record.js'
import { DATA_FORMATS, formatOf, readSource } from '../data/records.js'
import { MODEL_NAMES, modelFolder } from '../model/folder.js'
import type { Problem } from '../problems.js'
import { questionOf } from './measures.js'
import { readBenchmarks } from './parameters.js'
import { type EvaluationOrder, loadModel } from './run.js'

/** Checks an evaluation before it runs: benchmarks, parameters, the model, every line of the data. An empty path stands for one that is refused already. */
export function checkEvaluation({ model, base, benchmarks }: EvaluationOrder): Problem[] {
  const { plans, problems } = readBenchmarks(benchmarks)
  // Each file is read once, however many benchmarks run on it.
  const files = new Map<string, FileCheck>()
  for (const [index, { name, path }] of plans.entries()) {
    if (path === '') continue
    const file = files.get(path) ?? checkFile(path)
    files.set(path, file)
    const plain = name === 'exact_match' ? file.plain : null
    const message =
      file.problem ?? (plain && `exact_match asks for "prompt" and "completion", or "messages"; record ${plain} has no answer to match.`)
    if (message) problems.push({ path: `benchmarks[${index}].dataset`, message })
  }
  const reason = model === '' ? null : modelProblem(model, base)
  return reason ? [...problems, { path: 'model_uri', message: reason }] : problems
}

/** What benchmarks ask of a file. */
interface FileCheck {
  /** Why no benchmark can run on it. */
  problem: string | null
  /** The number of its first record that asks no question. */
  plain: number | null
}

function checkFile(path: string): FileCheck {
  const unusable = (problem: string): FileCheck => ({ problem, plain: null })
  const format = formatOf(path, '')
  if (!format) return unusable(`The embedded trainer reads ${DATA_FORMATS.join(', ')}.`)
  try {
    const { records, badLines } = readSource(path, format, TEXT_RECORDS)
    const [bad] = badLines
    if (bad) return unusable(`line ${bad.line}: ${bad.reason}.`)
    if (records.length === 0) return unusable('There are no records in it.')
    const plain = records.findIndex((record) => !questionOf(record))
    return { problem: null, plain: plain < 0 ? null : plain + 1 }
  } catch (error) {
    return unusable(`${(error as Error).message}.`)
  }
}

function modelProblem(model: string, base: string): string | null {
  const folder = modelFolder(model)
  if (!folder) return `The embedded trainer has no model ${JSON.stringify(model)}: give ${MODEL_NAMES}.`
  if (!existsSync(folder))
    return 'The embedded trainer evaluates scaimind/byte-tiny and models saved by jobs on it; there is no such model.'
  try {
    loadModel({ model, base })
    return null
  } catch (error) {
    return `The embedded trainer cannot read this model: ${(error as Error).message}.`
  }
}
