import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import protobuf, { type Enum, type Field, type Type } from 'protobufjs'
import { type JsonSchema, listOf, orNull } from './json-schema.js'

const protoFolder = fileURLToPath(new URL('../../../proto/', import.meta.url))
const googleFolder = dirname(createRequire(import.meta.url).resolve('protobufjs/package.json'))

/** The messages of `scaimind.v1` as JSON Schemas of what `toJson` makes of them, with the words of the proto files, by name. Those that are reached from the named ones. */
export function messageSchemas(names: Iterable<string>): Record<string, JsonSchema> {
  const root = readProtocol()
  const schemas: Record<string, JsonSchema> = {}
  const waiting = [...names]
  const enums = new Map<string, Enum>()
  const needs = (found: Type | Enum) => ('values' in found ? enums.set(nameOf(found), found) : waiting.push(found.name))
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    schemas[name] ??= schemaOf(root.lookupType(`scaimind.v1.${name}`), needs)
  }
  for (const [name, type] of enums) schemas[name] = enumSchema(type)
  return Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** The comment of each field of a message, by the field's path below it: `training_config.base_model.model_id`. */
export function fieldComments(name: string): Map<string, string> {
  const root = readProtocol()
  const comments = new Map<string, string>()
  const collect = (type: Type, prefix: string) => {
    for (const field of type.fieldsArray) {
      const path = `${prefix}${field.name}`
      if (field.comment) comments.set(path, plain(field.comment))
      const inner = field.resolve().resolvedType
      if (inner && 'fieldsArray' in inner && !isTime(inner)) collect(inner, `${path}.`)
    }
  }
  collect(root.lookupType(`scaimind.v1.${name}`), '')
  return comments
}

let protocol: protobuf.Root | undefined

function readProtocol(): protobuf.Root {
  if (protocol) return protocol
  const root = new protobuf.Root()
  root.resolvePath = (_origin, target) => join(target.startsWith('google/') ? googleFolder : protoFolder, target)
  const files = ['jobs', 'evaluations', 'cluster', 'data'].map((file) => `scaimind/v1/${file}.proto`)
  root.loadSync(files, { keepCase: true, alternateCommentMode: true })
  root.resolveAll()
  protocol = root
  return root
}

type Needs = (found: Type | Enum) => void

function schemaOf(type: Type, needs: Needs): JsonSchema {
  const properties = Object.fromEntries(type.fieldsArray.map((field) => [field.name, described(fieldSchema(field, needs), field.comment)]))
  return described(
    { type: 'object', properties, required: Object.keys(properties), additionalProperties: false },
    type.comment?.startsWith('See ') ? null : type.comment,
  )
}

function fieldSchema(field: Field, needs: Needs): JsonSchema {
  const { resolvedType } = field.resolve()
  const value = resolvedType ? typeSchema(resolvedType, needs) : scalarSchema(field.type)
  if (field.map) return { type: 'object', additionalProperties: isScalar(field) ? value : orNull(value) }
  if (field.repeated) return listOf(value)
  // What is unset is null: messages, enums, floating point that JSON has no word for, and fields that proto calls optional.
  const mayBeNull = resolvedType || field.type === 'double' || field.options?.proto3_optional
  return mayBeNull ? orNull(value) : value
}

const isScalar = (field: Field) => !field.resolvedType && field.type !== 'double'

function typeSchema(type: Type | Enum, needs: Needs): JsonSchema {
  if (isTime(type)) return { type: 'string', format: 'date-time' }
  needs(type)
  return { $ref: `#/components/schemas/${nameOf(type)}` }
}

/** `JobStatus`; for one that is declared in a message, with that before it: `BlockerKind`. */
const nameOf = ({ name, parent }: Type | Enum) => (parent instanceof protobuf.Type ? `${parent.name}${name}` : name)

function enumSchema(type: Enum): JsonSchema {
  const words = Object.keys(type.values).filter((word) => !word.endsWith('_UNSPECIFIED'))
  const meanings = words.map((word) => `\`${word}\`: ${plain(type.comments[word] ?? '')}`)
  return { type: 'string', enum: words, description: [plain(type.comment ?? ''), ...meanings].filter(Boolean).join('\n\n') }
}

const isTime = (type: Type | Enum) => type.fullName === '.google.protobuf.Timestamp'

function scalarSchema(type: string): JsonSchema {
  switch (type) {
    case 'bool':
      return { type: 'boolean' }
    case 'double':
    case 'float':
      return { type: 'number' }
    case 'uint64':
    case 'int64':
      // A string beyond 2^53 − 1, where a number would not be exact.
      return { type: ['integer', 'string'], format: 'int64' }
    case 'uint32':
    case 'int32':
      return { type: 'integer' }
    default:
      return { type: 'string' }
  }
}

const plain = (comment: string) => comment.replaceAll('\n', ' ')

// A sibling of $ref is allowed in 3.1.
const described = (schema: JsonSchema, comment: string | null): JsonSchema =>
  comment ? { ...schema, description: plain(comment) } : schema
