import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { labelsSchema } from '../../../src/api/operations/job-spec.js'
import { parseInput } from '../../../src/api/operations/parse.js'
import { InvalidInput } from '../../../src/contract/failure.js'

function problemOf(schema: z.ZodType, value: unknown) {
  try {
    parseInput(z.object({ it: schema }), { it: value })
  } catch (error) {
    if (error instanceof InvalidInput) return error.fields[0]
  }
  return undefined
}

describe('What is refused', () => {
  it.each([
    [z.number().min(2), 1, 'This is 2 or more.'],
    [z.number().max(2000), 2001, 'This is at most 2000.'],
    [z.string().max(3), 'long', 'This has at most 3 characters.'],
    [z.array(z.string()).max(1), ['a', 'b'], 'This has at most 1 items.'],
    [z.number().max(3, 'A rank is small'), 4, 'A rank is small.'],
    [z.string(), undefined, 'This field is required.'],
    [z.enum(['a', 'b']), undefined, 'This is one of a, b.'],
    [z.string(), 5, 'This is a text.'],
    [z.number().int(), 'five', 'This is a number.'],
    [z.number().int(), 1.5, 'This is a whole number.'],
    [z.strictObject({}), [], 'This is an object.'],
    [z.record(z.string(), z.string()), 'x', 'This is an object.'],
    [z.array(z.string()), {}, 'This is a list.'],
    [z.boolean(), 'yes', 'This is true or false.'],
    [z.enum(['a', 'b']), 'c', 'This is one of a, b.'],
  ])('is answered with what would be right', (schema, value, message) => {
    expect(problemOf(schema, value)).toEqual({ path: 'it', message })
  })

  it.each([
    [{ save_stategy: 1 }, 'it[0].save_stategy', 'There is no such field (did you mean save_strategy?).'],
    [{ colour: 1 }, 'it[0].colour', 'There is no such field.'],
  ])('a field that there is not is answered with one that is nearly named so', (given, path, message) => {
    const schema = z.array(z.strictObject({ save_strategy: z.number().optional() })).optional()
    expect(problemOf(schema, [given])).toEqual({ path, message })
  })

  it('a key of a map is answered with what a key is', () => {
    expect(problemOf(labelsSchema, { '': 'x' })).toEqual({
      path: 'it',
      message: 'A label is named by 1 to 128 characters, none of them a control character.',
    })
  })
})
