import { existsSync, readFileSync } from 'node:fs'
import { dirname, isAbsolute, resolve } from 'node:path'
import { parseDocument } from 'yaml'
import { isSystemError, UsageError } from '../failure.js'

/** A submission as the REST API takes it. Its fields are checked by the server, which knows them. */
export type Submission = Record<string, unknown>

/** Fields that are maps of strings, where YAML's numbers and booleans are meant as text. `*` is each item of a list. */
const stringMaps = [
  'labels',
  'training_config.hyperparameters',
  'training_config.environment',
  'training_config.base_model.model_kwargs',
  'training_config.framework.config',
  'training_config.framework.distributed.config',
  'data_config.sources.*.filters',
  'data_config.sources.*.sampling',
  'data_config.preprocess.field_mapping',
  'resource_config.node_selector',
]

/** Fields that may name a local file. */
const localPaths = ['data_config.sources.*.path', 'training_config.framework.custom_script_path', 'training_config.base_model.model_id']

/**
 * Reads a submission from a YAML or JSON file, or from standard input where the path is `-`. A path in it that is there beside the file
 * becomes absolute, since the server does not know which folder the file is in. Throws UsageError with line and column.
 */
export function readJobFile(path: string): Submission {
  const document = parseDocument(readText(path))
  const problem = document.errors[0]
  if (problem) throw new UsageError(`${path}: ${problem.message}`)
  const submission: unknown = document.toJS()
  if (!isRecord(submission))
    throw new UsageError(`${path}: a job file is a map with name, training_config, data_config and resource_config.`)
  const folder = path === '-' ? process.cwd() : dirname(resolve(path))
  for (const field of stringMaps) edit(submission, field.split('.'), textValues)
  for (const field of localPaths) edit(submission, field.split('.'), (value) => absolute(value, folder))
  return submission
}

function readText(path: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8')
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) throw new UsageError(`There is no file ${path}.`)
    throw new UsageError(`${path} cannot be read: ${error instanceof Error ? error.message : error}`)
  }
}

/** Replaces what a path leads to, where it leads anywhere. */
function edit(value: unknown, [name, ...rest]: string[], change: (value: unknown) => unknown): void {
  if (name === undefined) return
  if (name === '*') {
    if (Array.isArray(value)) for (const item of value) edit(item, rest, change)
  } else if (isRecord(value) && name in value) {
    if (rest.length === 0) value[name] = change(value[name])
    else edit(value[name], rest, change)
  }
}

function textValues(value: unknown): unknown {
  if (!isRecord(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [key, typeof entry === 'number' || typeof entry === 'boolean' ? String(entry) : entry]),
  )
}

function absolute(value: unknown, folder: string): unknown {
  if (typeof value !== 'string' || value === '' || isAbsolute(value) || value.includes('://')) return value
  const path = resolve(folder, value)
  return existsSync(path) ? path : value
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
