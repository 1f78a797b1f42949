import { fromTimestamp, packageDefinition } from '../../contract/proto.js'

/** A value as JSON.parse would give it. */
export type Json = string | number | boolean | null | Json[] | JsonObject
/** See Json. */
export interface JsonObject {
  [name: string]: Json
}

/**
 * Writes a message of `scaimind.v1` as JSON. Every field of the message is there, under its proto name, so that callers need not ask whether:
 * - what is unset, an enum's `*_UNSPECIFIED`, and a number that JSON has no word for (NaN, infinities) is null;
 * - times are RFC 3339 strings in UTC; 64-bit integers are numbers, and strings beyond 2^53 − 1, where a number would not be exact;
 * - enums are their words, maps are objects, lists are lists.
 */
export function toJson(type: string, message: object): JsonObject {
  return messageWriter(type)(message as Fields)
}

type Fields = Readonly<Record<string, unknown>>
type Write = (value: unknown) => Json

// The parts of a protobuf descriptor that are read here.
interface Descriptor {
  name: string
  field: { name: string; label: string; type: string; typeName: string }[]
  nestedType: (Descriptor & { options: { mapEntry?: boolean } | null })[]
}

const writers = new Map<string, (message: Fields) => JsonObject>()

function messageWriter(type: string): (message: Fields) => JsonObject {
  const known = writers.get(type)
  if (known) return known
  const definition = packageDefinition[`scaimind.v1.${type}`]
  if (!definition || !('type' in definition)) throw new Error(`There is no message ${type} in scaimind.v1.`)
  const { field, nestedType } = definition.type as Descriptor
  const fields = field.map(({ name, label, ...kind }) => {
    const entry = nestedType.find((nested) => nested.name === kind.typeName && nested.options?.mapEntry)
    const value = entry?.field.find((part) => part.name === 'value')
    if (value) return { name, write: mapOf(valueWriter(value)) }
    const write = valueWriter(kind)
    return { name, write: label === 'LABEL_REPEATED' ? listOf(write) : write }
  })
  const write = (message: Fields) => Object.fromEntries(fields.map(({ name, write }) => [name, write(message[name])]))
  writers.set(type, write)
  return write
}

const listOf =
  (write: Write): Write =>
  (value) =>
    Array.isArray(value) ? value.map(write) : []

const mapOf =
  (write: Write): Write =>
  (value) =>
    Object.fromEntries(Object.entries(value ?? {}).map(([key, item]) => [key, write(item)]))

function valueWriter({ type, typeName }: { type: string; typeName: string }): Write {
  switch (type) {
    case 'TYPE_MESSAGE':
      if (typeName.endsWith('google.protobuf.Timestamp')) return time
      // Looked up at the first value, for messages may hold each other.
      return (value) => (value ? messageWriter(typeName)(value as Fields) : null)
    case 'TYPE_ENUM':
      return (value) => (typeof value === 'string' && !value.endsWith('_UNSPECIFIED') ? value : null)
    case 'TYPE_INT64':
    case 'TYPE_UINT64':
      return integer
    case 'TYPE_DOUBLE':
    case 'TYPE_FLOAT':
      return (value) => (typeof value === 'number' && Number.isFinite(value) ? value : null)
    default:
      return (value) => (value === undefined ? null : (value as Json))
  }
}

function integer(value: unknown): Json {
  if (value === undefined || value === null) return null
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : String(value)
}

function time(value: unknown): Json {
  const date = fromTimestamp(value as Parameters<typeof fromTimestamp>[0])
  return date && !Number.isNaN(date.getTime()) ? date.toISOString() : null
}
