import {
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLNamedOutputType,
  type GraphQLSchema,
  getNamedType,
  isAbstractType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
  isObjectType,
  isRequiredArgument,
  isRequiredInputField,
} from 'graphql'

/** An operation on one root field, made of the schema alone. */
export interface GeneratedOperation {
  query: string
  variables: Record<string, unknown>
  /** Path of the variable that is a file, where there is one. */
  upload: string | null
}

/** What goes into an argument or input field of this name; undefined: whatever its type takes. */
export type ValueOf = (name: string) => unknown

/** Every root field, as `Query.job`. */
export function rootFields(schema: GraphQLSchema): string[] {
  const types = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]
  return types.flatMap((type) => Object.keys(type?.getFields() ?? {}).map((name) => `${type?.name}.${name}`))
}

/** Asks a root field with its required arguments only, and for its fields `depth` levels deep; 0: for nothing but `__typename` and the code of an error. */
export function operationOn(schema: GraphQLSchema, rootField: string, named: ValueOf, depth = 0): GeneratedOperation {
  const [typeName = '', fieldName = ''] = rootField.split('.')
  const type = schema.getType(typeName)
  const field = isObjectType(type) ? type.getFields()[fieldName] : undefined
  if (!field) throw new Error(`There is no ${rootField}.`)
  const args = field.args.filter((arg) => isRequiredArgument(arg))
  const heads = args.length > 0 ? `(${args.map(({ name, type }) => `$${name}: ${type}`).join(', ')})` : ''
  const call = args.length > 0 ? `(${args.map(({ name }) => `${name}: $${name}`).join(', ')})` : ''
  const query = `${typeName.toLowerCase()} ${heads} { it: ${fieldName}${call}${selectionOf(schema, field, depth)} }`
  const variables = Object.fromEntries(args.map((arg) => [arg.name, valueFor(arg, named)]))
  const upload = args.find((arg) => getNamedType(arg.type).name === 'Upload')
  return { query, variables, upload: upload ? `variables.${upload.name}` : null }
}

function valueFor({ name, type }: Pick<GraphQLArgument, 'name' | 'type'>, named: ValueOf): unknown {
  const known = named(name)
  return known === undefined ? valueOfType(type, name, named) : known
}

function valueOfType(type: GraphQLInputType, name: string, named: ValueOf): unknown {
  if (isNonNullType(type)) return valueOfType(type.ofType, name, named)
  if (isListType(type)) return [valueOfType(type.ofType, name, named)]
  if (isEnumType(type)) return type.getValues()[0]?.name
  if (isInputObjectType(type)) {
    const needed = Object.values(type.getFields()).filter((field) => isRequiredInputField(field))
    return Object.fromEntries(needed.map((field) => [field.name, valueFor(field, named)]))
  }
  const values: Record<string, unknown> = { Int: 1, BigInt: 1, Float: 1, Boolean: true, DateTime: '2026-01-01T00:00:00Z', Upload: null }
  return Object.hasOwn(values, type.name) ? values[type.name] : 'x'
}

function selectionOf(schema: GraphQLSchema, { type }: Pick<GraphQLField<unknown, unknown>, 'type'>, depth: number): string {
  const named = getNamedType(type)
  if (isLeafType(named)) return ''
  if (!isAbstractType(named)) return ` { __typename ${fieldsOf(schema, named, depth, '')} }`
  const members = schema.getPossibleTypes(named)
  const errors = members.filter((member) => member.getInterfaces().some(({ name }) => name === 'Error'))
  const code = errors.length > 0 ? '... on Error { code }' : ''
  // An alias each, since fields of one name may differ in type.
  const parts = members.filter((member) => !errors.includes(member)).map((member) => inlineFragment(schema, member, depth))
  return ` { __typename ${code} ${parts.join(' ')} }`
}

function inlineFragment(schema: GraphQLSchema, member: GraphQLNamedOutputType, depth: number): string {
  const fields = fieldsOf(schema, member, depth, `${member.name}_`)
  return fields ? `... on ${member.name} { ${fields} }` : ''
}

function fieldsOf(schema: GraphQLSchema, type: GraphQLNamedOutputType, depth: number, prefix: string): string {
  if (depth === 0 || !isObjectType(type)) return ''
  return Object.values(type.getFields())
    .filter((field) => !field.args.some((arg) => isRequiredArgument(arg)))
    .filter((field) => depth > 1 || isLeafType(getNamedType(field.type)))
    .map((field) => `${prefix ? `${prefix}${field.name}: ` : ''}${field.name}${selectionOf(schema, field, depth - 1)}`)
    .join(' ')
}
