import { GraphQLError, Kind, type ValueNode } from 'graphql'
import { z } from 'zod'
import { fromTimestamp } from '../../contract/proto.js'
import type { Timestamp__Output } from '../../generated/proto/google/protobuf/Timestamp.js'
import { ColumnTime } from '../operations/job-types.js'
import { builder } from './builder.js'

// Without an offset it would be a time of wherever this server is; and Date takes 30 February for 2 March.
const isoTime = z.iso.datetime({ offset: true })

builder.scalarType('DateTime', {
  description:
    'A time in ISO 8601 with milliseconds, in UTC: `2026-11-20T22:28:04.000Z`. On input any offset will do, and it must be there.',
  // Times of cached columns are text already.
  serialize: (time) => (typeof time === 'string' ? time : time.toISOString()),
  parseValue(value) {
    const time = isoTime.safeParse(value)
    if (!time.success) throw new GraphQLError('A DateTime reads 2026-11-20T22:28:04Z, or with an offset 2026-11-20T23:28:04+01:00.')
    return new Date(time.data)
  },
})

builder.scalarType('BigInt', {
  description:
    'A whole number of up to 64 bits: a JSON number where JavaScript can hold it exactly (up to 2^53), a string beyond. Both are taken.',
  serialize: (value) => (Number.isSafeInteger(Number(value)) ? Number(value) : String(value)),
  parseValue: readBigInt,
  parseLiteral: (node) => readBigInt(node.kind === Kind.INT || node.kind === Kind.STRING ? node.value : undefined),
})

builder.scalarType('JSON', {
  description: 'Any JSON value.',
  serialize: (value) => value,
  parseValue: (value) => value,
  parseLiteral: (node) => readLiteral(node),
})

function readBigInt(value: unknown): string {
  const text = typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value
  if (typeof text !== 'string' || !/^-?\d{1,19}$/.test(text) || BigInt.asIntN(64, BigInt(text)) !== BigInt(text))
    throw new GraphQLError('A BigInt is a whole number of up to 64 bits, or a string of one.')
  return text
}

function readLiteral(node: ValueNode): unknown {
  switch (node.kind) {
    case Kind.OBJECT:
      return Object.fromEntries(node.fields.map(({ name, value }) => [name.value, readLiteral(value)]))
    case Kind.LIST:
      return node.values.map(readLiteral)
    case Kind.INT:
    case Kind.FLOAT:
      return Number(node.value)
    case Kind.NULL:
      return null
    case Kind.VARIABLE:
      throw new GraphQLError('A JSON literal holds no variables.')
    default:
      return node.value
  }
}

/** Empty text and 0 are how protobuf says that a field is not set. */
export const orNull = <Value extends string | number>(value: Value | null | undefined): Value | null => value || null

/** The same of a field of a cached job, which may hold it as text. */
export const columnTime = (time: Timestamp__Output | null): Date | string | null => (time instanceof ColumnTime ? time.iso : timeOf(time))

/** A protobuf time as a DateTime. */
export const timeOf = (time: Timestamp__Output | null | undefined): Date | null => fromTimestamp(time)

/** A protobuf number as a Float: what JSON cannot say (NaN, infinite) is null. */
export const finite = (value: number | null | undefined): number | null => (Number.isFinite(value) ? (value as number) : null)
