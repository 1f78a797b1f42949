import { Failure } from '../../../contract/failure.js'
import type { Dataset__Output } from '../../../generated/proto/scaimind/v1/Dataset.js'
import { builder } from '../builder.js'
import { ownIdOf } from '../ids.js'
import { orNull, timeOf } from '../scalars.js'

/** An uploaded data set. */
export const DatasetRef = builder.objectRef<Dataset__Output>('Dataset')

builder.node(DatasetRef, {
  description: 'An uploaded data set. A job names it as a source of the type `dataset` with its id as the path.',
  id: { resolve: (d) => d.dataset_id, description: 'The global id.' },
  loadWithoutCache: async (id, { operations, caller }) => {
    try {
      return await operations.data.dataset(caller, id)
    } catch (error) {
      if (error instanceof Failure && error.code === 'DATASET_NOT_FOUND') return null
      throw error
    }
  },
  fields: (t) => ({
    datasetId: t.exposeID('dataset_id', { description: 'The id that other doors know it by.' }),
    name: t.exposeString('name', { description: 'Its name, as it was uploaded.' }),
    format: t.exposeString('format', { description: '`jsonl`, `txt`, …' }),
    bytes: t.field({ type: 'BigInt', description: 'Its size in bytes.', resolve: (d) => d.bytes }),
    records: t.field({ type: 'BigInt', description: 'Usable records.', resolve: (d) => d.records }),
    tokensEstimate: t.field({
      type: 'BigInt',
      description: 'Tokens of its records, by the trainers’ estimate.',
      resolve: (d) => d.tokens_estimate,
    }),
    sample: t.string({
      nullable: true,
      description: 'The first record as text, at most 1,000 characters; null where there is none.',
      resolve: (d) => orNull(d.sample),
    }),
    contentHash: t.exposeString('content_hash', { description: '`sha256:…` of the records: the same for the same content.' }),
    userId: t.exposeString('user_id', { description: 'Who uploaded it.' }),
    createdAt: t.field({ type: 'DateTime', nullable: true, description: 'When it was uploaded.', resolve: (d) => timeOf(d.created_at) }),
  }),
})

builder.queryFields((t) => ({
  dataset: t.field({
    type: DatasetRef,
    nullable: true,
    complexity: 10,
    description:
      'One data set, asked of the coordinator. An error with DATASET_NOT_FOUND where there is none in the tenant, COORDINATOR_UNAVAILABLE where it is away. Needs scaimind:view.',
    args: { datasetId: t.arg.id({ required: true, description: 'The data set, by its own id or its global one.' }) },
    resolve: (_root, { datasetId }, { operations, caller }) => operations.data.dataset(caller, ownIdOf('Dataset', datasetId)),
  }),
  datasets: t.connection(
    {
      type: DatasetRef,
      description:
        'The tenant’s data sets, newest first, asked of the coordinator: COORDINATOR_UNAVAILABLE where it is away. Read with `first` and `after`; `last` and `before` are refused. Needs scaimind:view.',
      args: { contentHash: t.arg.string({ description: 'Only the data set with these contents, `sha256:…`.' }) },
      complexity: ({ first }) => ({ field: 10, multiplier: Math.max(1, first ?? 20) }),
      resolve: (_root, { contentHash, ...page }, { operations, caller }) =>
        operations.data.datasetPage(caller, { contentHash: contentHash ?? undefined, page }),
    },
    {
      name: 'DatasetConnection',
      description: 'A page of data sets.',
      fields: (connection) => ({
        totalCount: connection.int({ description: 'Data sets that match, on all pages.', resolve: ({ totalCount }) => totalCount }),
      }),
    },
    { name: 'DatasetEdge', description: 'A data set and its place in the list.' },
  ),
}))
