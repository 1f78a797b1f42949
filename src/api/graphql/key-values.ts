import { InvalidInput } from '../../contract/failure.js'
import { builder } from './builder.js'

/** An entry of a free-form map. */
export const KeyValueInput = builder.inputType('KeyValueInput', {
  description: 'An entry of a free-form map.',
  fields: (t) => ({
    key: t.string({ required: true, description: 'Its name.' }),
    value: t.string({ required: true, description: 'Its value.' }),
  }),
})

/** Entries as a map. Throws an InvalidInput where a key is given twice. `path` is the field, in snake_case. */
export function toRecord(entries: readonly { key: string; value: string }[], path: string): Record<string, string> {
  const twice = entries.filter(({ key }, index) => entries.findIndex((other) => other.key === key) < index)
  if (twice.length > 0) throw new InvalidInput(twice.map(({ key }) => ({ path: `${path}.${key}`, message: 'This key is given twice.' })))
  return Object.fromEntries(entries.map(({ key, value }) => [key, value]))
}
