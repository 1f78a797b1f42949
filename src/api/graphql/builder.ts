import SchemaBuilder from '@pothos/core'
import ComplexityPlugin from '@pothos/plugin-complexity'
import ErrorsPlugin from '@pothos/plugin-errors'
import RelayPlugin from '@pothos/plugin-relay'
import type { Context } from './context.js'
import { readGlobalId } from './ids.js'
import type { FileUpload } from './upload.js'

/** The types that every noun is declared with. */
export interface SchemaTypes {
  Context: Context
  Scalars: {
    ID: { Input: string; Output: string }
    BigInt: { Input: string; Output: string }
    DateTime: { Input: Date; Output: Date | string }
    JSON: { Input: unknown; Output: unknown }
    Upload: { Input: FileUpload; Output: never }
  }
  DefaultFieldNullability: false
  DefaultNodeNullability: false
  DefaultEdgesNullability: { list: false; items: false }
}

/** The builder of the schema. Each noun adds its types and fields to it; `schema.ts` builds the whole. */
export const builder = new SchemaBuilder<SchemaTypes>({
  plugins: [ErrorsPlugin, RelayPlugin, ComplexityPlugin],
  defaultFieldNullability: false,
  errors: { defaultTypes: [] },
  complexity: { defaultComplexity: 1, defaultListMultiplier: 10, limit: (context) => ({ complexity: context.limits.complexity }) },
  relay: {
    cursorType: 'String',
    decodeGlobalID: readGlobalId,
    nodeTypeOptions: { description: 'A thing with an id of its own that `node` finds it by.' },
    nodeQueryOptions: {
      description: 'The thing with this global id, or null. Needs what the query for such a thing needs.',
      args: { id: { description: 'A global id, as the `id` field of every Node gives it.' } },
    },
    nodesQueryOptions: {
      description:
        'The things with these global ids, in their order; null for each that does not exist. Needs what the queries for such things need.',
      args: { ids: { description: 'Global ids; as many as a list argument may have.' } },
    },
    pageInfoTypeOptions: { description: 'Where a page stands in its list.' },
    hasNextPageFieldOptions: { description: 'Whether more follows this page.' },
    hasPreviousPageFieldOptions: { description: 'Whether there is more before this page.' },
    startCursorFieldOptions: {
      description: 'Cursor of the first edge; `before` takes it for the page before. Null where the page is empty.',
    },
    endCursorFieldOptions: { description: 'Cursor of the last edge; `after` takes it for the next page. Null where the page is empty.' },
    pageInfoFieldOptions: { description: 'Where the page stands in the list.' },
    // The connection itself counts its page size.
    edgesFieldOptions: { description: 'The items of the page with their cursors.', complexity: { field: 1, multiplier: 1 } },
    nodeFieldOptions: { description: 'The item.' },
    cursorFieldOptions: { description: 'The place of the item in the list.' },
    nodesOnConnection: { description: 'The items of the page without their cursors.', complexity: { field: 1, multiplier: 1 } },
    firstArgOptions: { description: 'At most so many from the start, 1 to 100; default 20.' },
    afterArgOptions: { description: 'Begin after this cursor; default at the start. CURSOR_INVALID for one of another list.' },
    lastArgOptions: { description: 'At most so many from the end, 1 to 100, instead of `first`; default: from the start.' },
    beforeArgOptions: { description: 'End before this cursor, with `last`; default at the end. CURSOR_INVALID for one of another list.' },
    idFieldOptions: { description: 'The global id.' },
  },
})

builder.queryType({
  description:
    'What can be read. Everything is scoped to the tenant of the caller. Any field may answer AUTHZ_PERMISSION_DENIED, RATE_LIMITED, and DATABASE_UNAVAILABLE or COORDINATOR_UNAVAILABLE where what it reads is away.',
})
builder.mutationType({
  description:
    'What can be changed. Every answer is a union of the success and of the typed errors; any may be RequestFailed with AUTHZ_PERMISSION_DENIED, COORDINATOR_UNAVAILABLE or BACKEND_TIMEOUT, and those of one job with JOB_NOT_FOUND.',
})
builder.subscriptionType({
  description:
    'What can be followed live, over graphql-ws or SSE. Every message of a job has a cursor to go on after. A stream that cannot be opened or goes on no more ends with an error: JOB_NOT_FOUND or EVALUATION_NOT_FOUND for one that is not the tenant’s, CURSOR_INVALID or CURSOR_EXPIRED for `after`, AUTH_TOKEN_INVALID when the key is revoked.',
})
