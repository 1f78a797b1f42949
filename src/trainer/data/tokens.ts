/** The byte-level vocabulary: token n < 256 is the byte n of UTF-8 text; a few more mark where text begins and ends. */

/** Begins every document and record. */
export const BOS = 256
/** Ends every document and completion; generation stops at it. */
export const EOS = 257
/** Fills rows that are shorter than the batch; never a target. */
export const PAD = 258
/** Vocabulary size: 256 bytes, three specials, and one unused so that rows are a multiple of four wide. */
export const VOCABULARY = 260

/** The UTF-8 bytes of `text` as tokens, without BOS or EOS. */
export function encodeText(text: string): number[] {
  return [...Buffer.from(text, 'utf8')]
}

/** The text that `tokens` spell; specials are left out, broken UTF-8 becomes U+FFFD. */
export function decodeTokens(tokens: readonly number[]): string {
  return Buffer.from(tokens.filter((token) => token < 256)).toString('utf8')
}
