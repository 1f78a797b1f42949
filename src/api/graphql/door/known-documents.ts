import { type DocumentNode, type GraphQLError, type ValidationRule, validate } from 'graphql'
import { schema } from '../schema.js'
import { parseDocument } from './parse-document.js'

interface Known {
  document: DocumentNode
  errors: readonly GraphQLError[]
}

// A parsed document takes up to 170 times the bytes of its text.
const textLengthMax = 20_000

/**
 * Parses and validates documents, each once while it is among those that were used last: of `lengthMax` characters together, so that nobody fills the
 * memory with documents of their own. Throws a GraphQLError for a text that is none.
 */
export function knownDocuments(rules: readonly ValidationRule[], { lengthMax = 1_000_000 } = {}): (text: string) => Known {
  const known = new Map<string, Known>()
  let length = 0
  return (text) => {
    const before = known.get(text)
    const document = before?.document ?? parseDocument(text)
    const found = before ?? { document, errors: validate(schema, document, rules) }
    if (text.length > textLengthMax) return found
    // The last used is the last to go.
    if (known.delete(text)) length -= text.length
    known.set(text, found)
    length += text.length
    for (const oldest of known.keys()) {
      if (length <= lengthMax) break
      known.delete(oldest)
      length -= oldest.length
    }
    return found
  }
}
