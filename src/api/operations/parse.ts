import type { z } from 'zod'
import { type FieldProblem, InvalidInput } from '../../contract/failure.js'
import { nearMiss } from '../../contract/near-miss.js'

/** Parses what a caller gave. Null counts as absent. Throws an InvalidInput that names every wrong field by its path in snake_case. */
export function parseInput<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const result = schema.safeParse(withoutNulls(input), { error: wordsOf })
  if (result.success) return result.data
  throw new InvalidInput(result.error.issues.flatMap((issue) => problems(issue, schema)))
}

function problems(issue: z.core.$ZodIssue, schema: z.core.$ZodType): FieldProblem[] {
  const path = pathOf(issue.path)
  if (issue.code === 'unrecognized_keys') {
    const known = namesAt(schema, issue.path)
    return issue.keys.map((key) => ({ path: path ? `${path}.${key}` : key, message: `There is no such field${nearMiss(key, known)}.` }))
  }
  // A key of a map that does not fit: what is wrong with it is said inside.
  if (issue.code === 'invalid_key')
    return issue.issues.map(({ message }) => ({ path: pathOf(issue.path.slice(0, -1)), message: sentence(message) }))
  const isMissing = issue.code === 'invalid_type' && /received undefined$/.test(issue.message)
  return [{ path, message: isMissing ? 'This field is required.' : sentence(issue.message) }]
}

/** The fields of the object at a path of what a schema reads; none where there is no object. */
function namesAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  const { def } = (schema as z.core.$ZodTypes)._zod
  const [name, ...rest] = path
  switch (def.type) {
    case 'optional':
      return namesAt(def.innerType, path)
    case 'array':
      return namesAt(def.element, rest)
    case 'object': {
      if (name === undefined) return Object.keys(def.shape)
      const inner = def.shape[String(name)]
      return inner ? namesAt(inner, rest) : []
    }
    default:
      return []
  }
}

/** What would be right, where a schema does not say it in words of its own. */
function wordsOf(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_type' && issue.input !== undefined) return `This is ${kinds[issue.expected] ?? issue.expected}`
  if (issue.code === 'invalid_value') return `This is ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.join(', ')}`
  if (issue.code === 'too_small') return bound(issue.origin, `${issue.minimum} or more`)
  if (issue.code === 'too_big') return bound(issue.origin, `at most ${issue.maximum}`)
  return undefined
}

const kinds: Record<string, string> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
}

function bound(origin: string, limit: string): string {
  if (origin === 'string') return `This has ${limit} characters`
  return origin === 'array' ? `This has ${limit} items` : `This is ${limit}`
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
