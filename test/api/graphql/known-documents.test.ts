import { specifiedRules } from 'graphql'
import { expect, it } from 'vitest'
import { knownDocuments } from '../../../src/api/graphql/door/known-documents.js'

const text = (number: number) => `{ viewer { a${String(number).padStart(3, '0')}: tenantId } }`

it('a document is parsed once while it is among those that were used last, of so many characters together', () => {
  const documentOf = knownDocuments(specifiedRules, { lengthMax: 3 * text(0).length })
  const [first, second] = [documentOf(text(1)), documentOf(text(2))]
  documentOf(text(3))
  expect(documentOf(text(1))).toBe(first)
  documentOf(text(4))
  expect(documentOf(text(1))).toBe(first)
  expect(documentOf(text(2))).not.toBe(second)
})

it('a document that is longer than any is kept is read all the same', () => {
  const documentOf = knownDocuments(specifiedRules)
  const long = `{ viewer { tenantId } } #${'x'.repeat(20_000)}`
  const first = documentOf(long)
  expect(first.errors).toEqual([])
  expect(documentOf(long)).not.toBe(first)
})
