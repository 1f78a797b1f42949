import type { FieldProblem } from '../../../contract/failure.js'
import { nearMiss } from '../../../contract/near-miss.js'
import { type FrameworkType, frameworkTypes, type TrainingType, trainingTypes } from '../../../contract/statuses.js'
import type { Spec } from '../records/spec.js'
import { answerOf, type Situation } from './field.js'
import { hfCombinationProblems } from './hf-combinations.js'
import { fieldAt, type GivenField, givenFields, namesIn } from './table.js'

/**
 * What the trainer of HuggingFace models would refuse in a submission whose paths have been followed, by field: unknown names, values of the wrong kind, fields that
 * do not act for its training type or with its framework, and fields that do not go together. Looks at no file. Pure.
 */
export function hfProblems(spec: Spec): FieldProblem[] {
  const { training_type: given, framework } = spec.training_config
  const type = trainingTypes.find((known): known is TrainingType => known === given)
  const named = frameworkTypes.find((known): known is FrameworkType => known === framework.type)
  // Told already, and nothing else can be said without.
  if (!type || !named) return []
  const situation: Situation = { trainer: 'hf', type, framework: named }
  const combined = hfCombinationProblems(spec, situation)
  const isTrained = !(named === 'MEGATRON' && combined.some(({ path }) => path === 'training_config.framework.type'))
  const problems = isTrained ? givenFields(spec).flatMap((field) => problemOf(field, situation)) : []
  const known = new Set(problems.map(({ path }) => path))
  return [...problems, ...combined.filter(({ path }) => !known.has(path))]
}

function problemOf({ path, row, value }: GivenField, situation: Situation): FieldProblem[] {
  const field = fieldAt(row)
  const name = path.slice(path.lastIndexOf('.') + 1)
  if (!field) return [{ path, message: unknownName(row, name, situation) }]
  const answer = answerOf(field, situation)
  if ('refused' in answer) return [{ path, message: answer.refused }]
  if (!answer.kind || answer.kind.fits(String(value))) return []
  return [{ path, message: `${name} must be ${answer.kind.text}, not ${JSON.stringify(value)}.` }]
}

function unknownName(row: string, name: string, situation: Situation): string {
  const parent = row.slice(0, row.lastIndexOf('.'))
  const known = namesIn(parent).filter((candidate) => {
    const field = fieldAt(`${parent}.${candidate}`)
    return field !== undefined && 'acts' in answerOf(field, situation)
  })
  const what = known.length === 0 ? 'Nothing can be set here' : `Known: ${known.join(', ')}`
  return `${name} is not known${nearMiss(name, known)}. ${what}.`
}
