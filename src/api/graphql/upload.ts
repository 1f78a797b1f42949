import { GraphQLError } from 'graphql'
import { builder } from './builder.js'

/** A file part of a multipart request. */
export interface FilePart {
  /** As the client named it. */
  filename: string
  /** Read while it comes in, once. Throws a Failure where it breaks off. */
  content: AsyncIterable<Uint8Array>
}

/** A file of a multipart request, which may not have begun to come in. */
export class FileUpload {
  /** Waits for the part. Throws VALIDATION_ERROR where there is none, or where it was passed over. */
  constructor(readonly open: () => Promise<FilePart>) {}
}

const message = 'An Upload is a file part of a GraphQL multipart request: https://github.com/jaydenseric/graphql-multipart-request-spec'

builder.scalarType('Upload', {
  description: 'A file, sent as a part of a GraphQL multipart request over HTTP. In the variables it is null; `map` names the part.',
  serialize() {
    throw new GraphQLError('An Upload is never answered.')
  },
  parseValue(value) {
    if (value instanceof FileUpload) return value
    throw new GraphQLError(message)
  },
  parseLiteral() {
    throw new GraphQLError(message)
  },
})
