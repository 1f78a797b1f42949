import { z } from 'zod'
import { type FieldProblem, InvalidInput } from '../../contract/failure.js'
import type { JsonSchema } from './json-schema.js'

/** The parameters that a route knows, each with how it is read. A name that ends in `*` stands for all with that beginning. */
export type QueryShape = Record<string, z.ZodType<unknown>>
/** What a query says, under the names of its shape. */
export type Query<Shape extends QueryShape> = { [Name in keyof Shape]: z.output<Shape[Name]> }

/** Reads a query string. Throws VALIDATION_ERROR with every parameter that is unknown, given twice, or out of range. */
export function parseQuery<Shape extends QueryShape>(shape: Shape, search: URLSearchParams): Query<Shape> {
  const problems: FieldProblem[] = []
  const unknown = new Set(search.keys())
  const values: Record<string, unknown> = {}
  for (const [name, schema] of Object.entries(shape)) {
    const beginning = name.endsWith('*') ? name.slice(0, -1) : undefined
    const names = [...unknown].filter((given) => (beginning === undefined ? given === name : given.startsWith(beginning)))
    for (const given of names) unknown.delete(given)
    const value =
      beginning === undefined
        ? search.getAll(name)
        : Object.fromEntries(names.map((given) => [given.slice(beginning.length), search.getAll(given)]))
    const result = schema.safeParse(value)
    if (result.success) values[name] = result.data
    else problems.push(...result.error.issues.map(({ path, message }) => ({ path: `${beginning ?? name}${path.join('.')}`, message })))
  }
  for (const name of unknown) problems.push({ path: name, message: unknownParameter(Object.keys(shape)) })
  if (problems.length > 0) throw new InvalidInput(problems)
  return values as Query<Shape>
}

const unknownParameter = (known: string[]) =>
  `There is no such parameter here; ${known.length === 0 ? 'none is known' : `known are ${known.join(', ')}`}.`

/** What the OpenAPI document says of a parameter: its shape and a sentence. */
export function parameterText(schema: z.ZodType): { json: JsonSchema; description: string; required: boolean } {
  const { json, description, required } = schema.meta() as { json: JsonSchema; description?: string; required?: boolean }
  return { json, description: description ?? '', required: required ?? false }
}

const texts = z.array(z.string())

/** A parameter that is given at most once; undefined where it is absent or empty. `read` answers undefined for what is not `expected`. */
function once<Value>(expected: string, json: JsonSchema, read: (text: string) => Value | undefined) {
  const schema = texts.transform((given, context): Value | undefined => {
    const [text, ...more] = given
    if (more.length > 0) {
      context.addIssue({ code: 'custom', message: 'This is given more than once.' })
      return z.NEVER
    }
    if (text === undefined || text === '') return undefined
    const value = read(text)
    if (value === undefined) context.addIssue({ code: 'custom', message: `This is ${expected}, not ${JSON.stringify(text.slice(0, 64))}.` })
    return value
  })
  return schema.meta({ json })
}

/** Any text. */
export const text = once('a text', { type: 'string' }, (given) => given)

/** A parameter that must be there. */
export function required<Value>(schema: z.ZodType<Value | undefined>) {
  const present = schema.transform((value, context): Value => {
    if (value !== undefined) return value
    context.addIssue({ code: 'custom', message: 'This parameter is required.' })
    return z.NEVER
  })
  return present.meta({ json: parameterText(schema).json, required: true })
}

/** `true` or `false`. */
export const flag = once('true or false', { type: 'boolean' }, (given) => (given === 'true' ? true : given === 'false' ? false : undefined))

/** A whole number within bounds. */
export function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER) {
  const isBounded = max < Number.MAX_SAFE_INTEGER
  const json = { type: 'integer', minimum: min, ...(isBounded ? { maximum: max } : {}) }
  return once(isBounded ? `a whole number from ${min} to ${max}` : `a whole number from ${min}`, json, (given) => {
    const number = Number(given)
    return /^\d{1,16}$/.test(given) && number >= min && number <= max ? number : undefined
  })
}

/** One of some words. */
export const word = <Word extends string>(words: readonly Word[]) =>
  once(`one of ${words.join(', ')}`, { type: 'string', enum: words }, (given) => words.find((known) => known === given))

/** The same where the parameter may be repeated. */
export const words = <Word extends string>(known: readonly Word[]) =>
  texts
    .transform((given, context): Word[] =>
      [...new Set(given)].flatMap((one) => {
        const found = known.find((word) => word === one)
        if (found) return [found]
        context.addIssue({ code: 'custom', message: `This is one of ${known.join(', ')}, not ${JSON.stringify(one.slice(0, 64))}.` })
        return []
      }),
    )
    .meta({ json: { type: 'array', items: { type: 'string', enum: known } } })

/** Up to so many texts, of a parameter that may be repeated. */
export const textList = (max: number) =>
  texts
    .transform((given, context): string[] => {
      const list = [...new Set(given)].filter((one) => one !== '')
      if (list.length > max) context.addIssue({ code: 'custom', message: `At most ${max} may be asked for at once.` })
      return list
    })
    .meta({ json: { type: 'array', items: { type: 'string' }, maxItems: max } })

/** Texts by the rest of the parameter's name, each given once: for a name that ends in `*`. */
export const textsByName = z
  .custom<Record<string, string[]>>()
  .transform((given, context): Record<string, string> => {
    const problem = (name: string, message: string) => context.addIssue({ code: 'custom', path: [name], message })
    for (const [name, texts] of Object.entries(given)) {
      if (name === '') problem(name, 'A name stands after the dot.')
      else if (texts.length > 1) problem(name, 'This is given more than once.')
    }
    return Object.fromEntries(Object.entries(given).map(([name, [text = '']]) => [name, text]))
  })
  .meta({ json: { type: 'string' } })
