import { Kind } from 'graphql'
import { builder } from './builder.js'

/** A file of a multipart request, read while it comes in. */
export class FileUpload {
  constructor(
    /** As the client named it. */
    readonly filename: string,
    /** Can be read once. */
    readonly content: AsyncIterable<Uint8Array>,
  ) {}
}

const message = 'An Upload is a file part of a GraphQL multipart request: https://github.com/jaydenseric/graphql-multipart-request-spec'

builder.scalarType('Upload', {
  description: 'A file, sent as a part of a GraphQL multipart request over HTTP. In the variables it is null; `map` names the part.',
  serialize() {
    throw new TypeError('An Upload is never answered.')
  },
  parseValue(value) {
    if (value instanceof FileUpload) return value
    throw new TypeError(message)
  },
  parseLiteral(node) {
    throw new TypeError(node.kind === Kind.VARIABLE ? 'An Upload literal holds no variables.' : message)
  },
})
