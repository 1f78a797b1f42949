import { existsSync, readFileSync } from 'node:fs'
import {
  buildSchema,
  findBreakingChanges,
  type GraphQLInputType,
  isInputObjectType,
  isNonNullType,
  isObjectType,
  parse,
  printSchema,
  specifiedRules,
  validate,
} from 'graphql'
import { describe, expect, it } from 'vitest'
import { limitRules } from '../../../src/api/graphql/door/limits.js'
import { examples } from '../../../src/api/graphql/examples.js'
import { schema } from '../../../src/api/graphql/schema.js'
import { readApiConfig } from '../../../src/config.js'

const rootFields = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].flatMap((type) =>
  Object.keys(type?.getFields() ?? {}).map((field) => `${type?.name}.${field}`),
)

/** Every element that callers see, with what it says of itself. */
function* elements(): Generator<{ path: string; description?: string | null; deprecationReason?: string | null; isDeprecated: boolean }> {
  const say = (path: string, { description, deprecationReason }: { description?: string | null; deprecationReason?: string | null }) => ({
    path,
    description: description ?? null,
    deprecationReason: deprecationReason ?? null,
    isDeprecated: deprecationReason !== undefined && deprecationReason !== null,
  })
  for (const type of Object.values(schema.getTypeMap())) {
    if (type.name.startsWith('__') || ['String', 'Int', 'Float', 'Boolean', 'ID'].includes(type.name)) continue
    yield say(type.name, type)
    if ('getValues' in type) for (const value of type.getValues()) yield say(`${type.name}.${value.name}`, value)
    if (!('getFields' in type)) continue
    for (const field of Object.values(type.getFields())) {
      yield say(`${type.name}.${field.name}`, field)
      if ('args' in field) for (const argument of field.args) yield say(`${type.name}.${field.name}(${argument.name})`, argument)
    }
  }
}

/** Every argument and input field that callers may leave out without a default of the schema's own; those of filters do not filter then, as their types say. */
function optionalInputs(): { path: string; description?: string | null | undefined }[] {
  const isOptional = ({ type, defaultValue }: { type: GraphQLInputType; defaultValue?: unknown }) =>
    !isNonNullType(type) && defaultValue === undefined
  return Object.values(schema.getTypeMap()).flatMap((type) => {
    if (isInputObjectType(type)) {
      if (/what is not given does not filter/.test(type.description ?? '')) return []
      return Object.values(type.getFields())
        .filter(isOptional)
        .map(({ name, description }) => ({ path: `${type.name}.${name}`, description }))
    }
    if (!isObjectType(type) || type.name.startsWith('__')) return []
    return Object.values(type.getFields()).flatMap((field) =>
      field.args.filter(isOptional).map(({ name, description }) => ({ path: `${type.name}.${field.name}(${name})`, description })),
    )
  })
}

describe('The schema', () => {
  it('schema.graphql is what the code declares; `npm run schema` renews it', () => {
    expect(readFileSync('schema.graphql', 'utf8')).toBe(`${printSchema(schema)}\n`)
  })

  it('says of every type, field, argument and value what it is, in a sentence', () => {
    const bare = [...elements()].filter(
      ({ description }) => !description || description.length < 4 || !/[.!?…`)]$/.test(description.trim()),
    )
    expect(bare.map(({ path }) => path)).toEqual([])
  })

  it('says what leaving an argument or a field of an input out means', () => {
    const silent = optionalInputs().filter(({ description }) => !/default|only |without /i.test(description ?? ''))
    expect(silent.map(({ path }) => path)).toEqual([])
  })

  it('says of every root field which permission it needs', () => {
    const silent = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]
      .flatMap((type) => Object.values(type?.getFields() ?? {}))
      .filter(({ description }) => !/Needs (scaimind:|no permission|what )/.test(description ?? ''))
    expect(silent.map(({ name }) => name)).toEqual([])
  })

  it('gives a reason wherever something is deprecated', () => {
    const silent = [...elements()].filter(
      ({ isDeprecated, deprecationReason }) => isDeprecated && (deprecationReason ?? '') === 'No longer supported',
    )
    expect(silent.map(({ path }) => path)).toEqual([])
  })

  it('has an example for every root field, in its description, and for no other', () => {
    expect(Object.keys(examples).sort()).toEqual(rootFields.sort())
    for (const [path, example] of Object.entries(examples)) {
      const [type = '', field = ''] = path.split('.')
      const declared = schema.getType(type)
      if (!declared || !('getFields' in declared)) throw new Error(`There is no type ${type}.`)
      expect(declared.getFields()[field]?.description).toContain(example)
    }
  })

  it.each(Object.entries(examples))('the example of %s fits the schema and the limits', (_path, example) => {
    const config = readApiConfig({ DATABASE_URL: 'mysql://a:b@h/d', SCAIMIND_API_SECRET: 'x'.repeat(16) })
    const limits = { depth: config.SCAIMIND_MAX_DEPTH, aliases: config.SCAIMIND_MAX_ALIASES, introspection: true }
    expect(validate(schema, parse(example), [...specifiedRules, ...limitRules(limits)]).map(({ message }) => message)).toEqual([])
  })

  it('breaks nothing that a release had', () => {
    const path = 'test/api/graphql/released.graphql'
    expect(existsSync(path)).toBe(true)
    const released = buildSchema(readFileSync(path, 'utf8'))
    expect(findBreakingChanges(released, buildSchema(printSchema(schema))).map(({ description }) => description)).toEqual([])
  })
})
