import { coordinatorFields } from './coordinator-fields.js'
import type { Field } from './field.js'
import { frameworkFields } from './framework.js'
import { hyperparameterFields } from './hyperparameters.js'
import { dataFields, modelFields } from './model-and-data.js'

/**
 * Every field of a submission, and what each trainer does with it: acts on it, or refuses it by name. `docs/fields.md` is made of this, submissions for the trainer
 * of HuggingFace models are checked by it, and a test walks it.
 */
export const fields: Field[] = [...coordinatorFields, ...modelFields, ...frameworkFields, ...hyperparameterFields, ...dataFields]

const byPath = new Map(fields.map((field) => [field.path, field]))
const maps = new Set(fields.map(({ path }) => path.slice(0, path.lastIndexOf('.'))))

/** The field at a path of a submission, its indexes written `[]`; undefined where there is none of that name. */
export const fieldAt = (path: string): Field | undefined => byPath.get(path) ?? byPath.get(`${path.slice(0, path.lastIndexOf('.'))}.*`)

/** The names of the fields in an object: those of a map are all that it may have. */
export const namesIn = (path: string): string[] =>
  fields.filter((field) => field.path.slice(0, field.path.lastIndexOf('.')) === path).map((field) => field.path.slice(path.length + 1))

/** A field that a submission sets. */
export interface GivenField {
  /** As the submission names it, with indexes. */
  path: string
  /** As the table names it. */
  row: string
  value: unknown
}

/** Every field that a submission sets, those that the table does not know among them. */
export function givenFields(value: unknown, path = '', row = ''): GivenField[] {
  if (byPath.has(row) || (row !== '' && !isObject(value) && !Array.isArray(value))) {
    return isInMap(row) || !isUnset(value) ? [{ path, row, value }] : []
  }
  if (Array.isArray(value)) return value.flatMap((item, index) => givenFields(item, `${path}[${index}]`, `${row}[]`))
  if (!isObject(value)) return []
  const at = (prefix: string, name: string) => (prefix === '' ? name : `${prefix}.${name}`)
  return Object.entries(value).flatMap(([name, inner]) =>
    openMaps.has(row) ? [{ path: at(path, name), row: `${row}.*`, value: inner }] : givenFields(inner, at(path, name), at(row, name)),
  )
}

const openMaps = new Set([...byPath.keys()].filter((path) => path.endsWith('.*')).map((path) => path.slice(0, -2)))
/** What is in these is there because somebody wrote it. */
const writtenMaps = /\.(?:hyperparameters|config|model_kwargs|sampling)$/
const isInMap = (row: string) => writtenMaps.test(row.slice(0, row.lastIndexOf('.'))) && maps.has(row.slice(0, row.lastIndexOf('.')))

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

function isUnset(value: unknown): boolean {
  if (typeof value === 'string') return value === '' || value === '0' || value.endsWith('_UNSPECIFIED')
  return value === null || value === undefined || value === 0 || value === false || (Array.isArray(value) && value.length === 0)
}
