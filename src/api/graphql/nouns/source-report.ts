import type { DataProblem__Output } from '../../../generated/proto/scaimind/v1/DataProblem.js'
import type { SourceReport__Output } from '../../../generated/proto/scaimind/v1/SourceReport.js'
import { builder } from '../builder.js'
import { orNull } from '../scalars.js'

const DataProblemRef = builder.objectRef<DataProblem__Output>('DataProblem').implement({
  description: 'What is wrong in one place of a source.',
  fields: (t) => ({
    line: t.int({
      nullable: true,
      description: 'The line, from 1; null where it is about the whole file.',
      resolve: ({ line }) => orNull(Number(line)),
    }),
    message: t.exposeString('message', { description: 'What is wrong there, and what would be right.' }),
  }),
})

/** What one source of data holds. */
export const SourceReportRef = builder.objectRef<SourceReport__Output>('SourceReport').implement({
  description: 'What one source of data holds.',
  fields: (t) => ({
    path: t.exposeString('path', { description: 'The source, as it was named.' }),
    readable: t.exposeBoolean('readable', { description: 'Whether it could be read at all.' }),
    records: t.field({ type: 'BigInt', description: 'Usable records.', resolve: (s) => s.records }),
    tokensEstimate: t.field({ type: 'BigInt', description: 'Tokens of its records, by estimate.', resolve: (s) => s.tokens_estimate }),
    bytes: t.field({ type: 'BigInt', description: 'Its size in bytes.', resolve: (s) => s.bytes }),
    sample: t.string({
      nullable: true,
      description: 'The first record as text, at most 1,000 characters; null where there is none.',
      resolve: (s) => orNull(s.sample),
    }),
    contentHash: t.string({
      nullable: true,
      description: '`sha256:…` of the records; null where it could not be read.',
      resolve: (s) => orNull(s.content_hash),
    }),
    problems: t.field({
      type: [DataProblemRef],
      description: 'What is wrong, by line; the first 100.',
      complexity: { field: 1, multiplier: 5 },
      resolve: (s) => s.problems,
    }),
  }),
})
