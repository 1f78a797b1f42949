import type { z } from 'zod'
import { type FieldProblem, InvalidInput } from '../../contract/failure.js'

/** Parses what a caller gave. Null counts as absent. Throws an InvalidInput that names every wrong field by its path in snake_case. */
export function parseInput<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const result = schema.safeParse(withoutNulls(input))
  if (result.success) return result.data
  throw new InvalidInput(result.error.issues.flatMap(problems))
}

function problems(issue: z.core.$ZodIssue): FieldProblem[] {
  const path = pathOf(issue.path)
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: path ? `${path}.${key}` : key, message: 'There is no such field.' }))
  }
  const isMissing = issue.code === 'invalid_type' && /received undefined$/.test(issue.message)
  return [{ path, message: isMissing ? 'This field is required.' : sentence(issue.message) }]
}

/** `['data_config', 'sources', 0, 'path']` → `data_config.sources[0].path`. */
function pathOf(parts: readonly PropertyKey[]): string {
  return parts.reduce<string>(
    (path, part) => (typeof part === 'number' ? `${path}[${part}]` : path ? `${path}.${String(part)}` : String(part)),
    '',
  )
}

const sentence = (text: string) => (/[.!?]$/.test(text) ? text : `${text}.`)

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (value === null || typeof value !== 'object' || value instanceof Date) return value ?? undefined
  return Object.fromEntries(Object.entries(value).flatMap(([key, inner]) => (inner === null ? [] : [[key, withoutNulls(inner)]])))
}
