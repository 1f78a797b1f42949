import { type DocumentNode, type GraphQLError, type ValidationRule, validate } from 'graphql'
import { schema } from '../schema.js'
import { parseDocument } from './parse-document.js'

interface Known {
  document: DocumentNode
  errors: readonly GraphQLError[]
}

const textLengthMax = 20_000

/** Parses and validates documents, each once while it is among the `countMax` that were used last. Throws a GraphQLError for a text that is none. */
export function knownDocuments(rules: readonly ValidationRule[], { countMax = 1000 } = {}): (text: string) => Known {
  const known = new Map<string, Known>()
  return (text) => {
    const before = known.get(text)
    // The last used is the last to go.
    known.delete(text)
    const document = before?.document ?? parseDocument(text)
    const found = before ?? { document, errors: validate(schema, document, rules) }
    if (text.length <= textLengthMax) known.set(text, found)
    const [oldest] = known.keys()
    if (known.size > countMax && oldest !== undefined) known.delete(oldest)
    return found
  }
}
