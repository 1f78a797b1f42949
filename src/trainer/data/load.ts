import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import type { DataPlan } from '../plan.js'
import type { Problem } from '../problems.js'
import type { RecordKind } from './record.js'
import { readSource } from './records.js'

/** All sources of a job, read. */
export interface LoadedData<R> {
  records: R[]
  /** One entry a source. */
  sources: { source: number; records: number; bytes: number; tokens: number; sha256: string }[]
  problems: Problem[]
}

/** Bad lines named a source; more are counted. */
const BAD_LINES_NAMED = 5

/** Reads every source. Each malformed line is a problem with its number, and so is a file that is missing or holds no usable record. */
export function loadData<R>(plan: DataPlan, kind: RecordKind<R>): LoadedData<R> {
  const data: LoadedData<R> = { records: [], sources: [], problems: [] }
  for (const [index, { path, format }] of plan.sources.entries()) {
    const problem = (message: string) => data.problems.push({ path: `data_config.sources[${index}].path`, message })
    const name = basename(path)
    try {
      const { records, badLines, bytes, text } = readSource(path, format, kind, plan.fieldMapping)
      for (const { line, reason } of badLines.slice(0, BAD_LINES_NAMED)) problem(`${name}:${line}: ${reason}`)
      if (badLines.length > BAD_LINES_NAMED) problem(`${name}: ${badLines.length - BAD_LINES_NAMED} more lines cannot be used`)
      if (records.length === 0 && badLines.length === 0) {
        problem(`${name}:1: holds no usable record: ${format === 'txt' ? 'expected text' : kind.expected}`)
      }
      data.sources.push({
        source: index,
        records: records.length,
        bytes,
        tokens: records.reduce((sum, record) => sum + tokenCount(kind.textsOf(record)), 0),
        sha256: createHash('sha256').update(text).digest('hex'),
      })
      for (const record of records) data.records.push(record)
    } catch (error) {
      problem(readFailure(name, error as NodeJS.ErrnoException))
    }
  }
  if (data.problems.length === 0 && plan.validationSplit > 0 && data.records.length < 2) {
    const message = `A validation split needs at least 2 records, and there is ${data.records.length}.`
    data.problems.push({ path: 'data_config.validation_split', message })
  }
  return data
}

/** The bytes that texts spell, and two marks for each. */
export function tokenCount(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text) + 2, 0)
}

function readFailure(name: string, error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return `There is no file ${name}.`
  if (error.code === 'EACCES') return `${name} may not be read.`
  if (error.code === 'EISDIR') return `${name} is a folder, not a file.`
  return error.message
}
