/** A JSON Schema of the dialect of OpenAPI 3.1 (2020-12). */
export interface JsonSchema {
  [keyword: string]: unknown
}

/** A message of `scaimind.v1`, which the document has under its own name. */
export const message = (type: string): JsonSchema => ({ $ref: `#/components/schemas/${type}` })

export const listOf = (items: JsonSchema, description?: string): JsonSchema => ({
  type: 'array',
  items,
  ...(description ? { description } : {}),
})

/** An object that has exactly these fields, each of them always. */
export const objectOf = (properties: Record<string, JsonSchema>): JsonSchema => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
})

export const orNull = (schema: JsonSchema): JsonSchema =>
  typeof schema.type === 'string' && !schema.enum ? { ...schema, type: [schema.type, 'null'] } : { anyOf: [schema, { type: 'null' }] }

export const textOf = (description: string): JsonSchema => ({ type: 'string', description })
export const countOf = (description: string): JsonSchema => ({ type: 'integer', minimum: 0, description })
