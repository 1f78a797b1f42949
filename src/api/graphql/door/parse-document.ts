import { type DocumentNode, GraphQLError, parse } from 'graphql'

/** Tokens of a document: some hundred times what a page of a console asks for. */
const tokensMax = 10_000

/** Parses a document. Throws a GraphQLError for one that is none, has more than 10,000 tokens, or is nested deeper than can be read. */
export function parseDocument(text: string): DocumentNode {
  try {
    return parse(text, { maxTokens: tokensMax })
  } catch (error) {
    // The parser calls itself for each level, and runs out of stack long before it runs out of tokens.
    if (error instanceof RangeError) throw new GraphQLError('Syntax Error: The document is nested too deep.')
    throw error
  }
}
