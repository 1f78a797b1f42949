import type { CachedDataset__Output } from '../../../generated/proto/scaimind/v1/CachedDataset.js'
import type { Dataset__Output } from '../../../generated/proto/scaimind/v1/Dataset.js'
import { builder } from '../builder.js'
import { TrainingTypeEnum } from '../enums.js'
import { mutationErrors } from '../failure.js'
import { ownIdOf } from '../ids.js'
import { timeOf } from '../scalars.js'
import { ClusterNodeRef } from './cluster-node.js'
import { DatasetRef } from './dataset.js'
import { DataSourceInput, PreprocessConfigInput, toSpec } from './job-inputs.js'
import { SourceReportRef } from './source-report.js'
import '../upload.js'
import { pageOf } from '../whole-list.js'

const CachedDatasetRef = builder.objectRef<CachedDataset__Output>('CachedDataset').implement({
  description: 'Copies of a data set that machines keep.',
  fields: (t) => ({
    datasetId: t.exposeID('dataset_id', { description: 'The data set.' }),
    path: t.exposeString('path', { description: 'Where the copies lie, on each machine.' }),
    contentHash: t.exposeString('content_hash', { description: '`sha256:…` of the records.' }),
    bytes: t.field({ type: 'BigInt', description: 'Bytes of one copy.', resolve: (c) => c.bytes }),
    nodeIds: t.idList({ description: 'The machines that keep one.', resolve: (c) => c.nodes }),
    nodes: t.field({
      type: [ClusterNodeRef],
      nullable: true,
      complexity: { field: 10, multiplier: 1 },
      description:
        'The same as machines; those that are gone are left out. Null with an error where they cannot be read. Needs scaimind:view.',
      resolve: async (c, _args, { loaders }) =>
        c.nodes.length === 0 ? [] : (await loaders.nodes()).value.filter(({ node_id }) => c.nodes.includes(node_id)),
    }),
    lastUsed: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'When a job last used it; null: never.',
      resolve: (c) => timeOf(c.last_used),
    }),
    pinned: t.exposeBoolean('pinned', {
      description: 'Whether the copies stay until they are evicted; else the least used go first where room is needed.',
    }),
  }),
})

builder.queryFields((t) => ({
  dataCache: t.connection(
    {
      type: CachedDatasetRef,
      description:
        'The copies of data sets that machines keep, asked of the coordinator: COORDINATOR_UNAVAILABLE where it is away. Needs scaimind:manage.',
      complexity: ({ first, last }) => ({ field: 10, multiplier: Math.max(1, first ?? last ?? 20) }),
      resolve: async (_root, args, { operations, caller }) => {
        const copies = await operations.data.cache(caller)
        return { ...pageOf(copies, ({ dataset_id }) => dataset_id, args), totalCount: copies.length }
      },
    },
    {
      name: 'CachedDatasetConnection',
      description: 'A page of cached data sets.',
      fields: (connection) => ({
        totalCount: connection.int({ description: 'Cached data sets in all.', resolve: ({ totalCount }) => totalCount }),
      }),
    },
    { name: 'CachedDatasetEdge', description: 'A cached data set and its place in the list.' },
  ),
  validateData: t.field({
    type: [SourceReportRef],
    nullable: true,
    complexity: { field: 50, multiplier: 5 },
    description:
      'Reads sources as a job would, and says for each what it holds and what is wrong with it, by line. A source that cannot be read is answered as such; an error names fields that are wrong. COORDINATOR_UNAVAILABLE where it is away. Needs scaimind:manage.',
    args: {
      sources: t.arg({ type: [DataSourceInput], required: true, description: 'The sources; 1 to 100.' }),
      preprocess: t.arg({ type: PreprocessConfigInput, description: 'How records become tokens; default the model’s way.' }),
      trainingType: t.arg({ type: TrainingTypeEnum, description: 'What the records are to be usable for; default any.' }),
    },
    resolve: (_root, args, { operations, caller }) => operations.data.validate(caller, toSpec(args)),
  }),
}))

const UploadDatasetSuccess = builder.objectRef<Dataset__Output>('UploadDatasetSuccess').implement({
  description: 'The data set is there.',
  fields: (t) => ({
    dataset: t.field({
      type: DatasetRef,
      description: 'The data set; the first one where the tenant has this content already.',
      resolve: (d) => d,
    }),
  }),
})

builder.mutationField('uploadDataset', (t) =>
  t.field({
    type: UploadDatasetSuccess,
    errors: mutationErrors('UploadDataset'),
    complexity: 10,
    description:
      'Uploads a data set by a GraphQL multipart request. It is checked while it comes in: InvalidInput names the line of the first record that is not usable, at once. RequestFailed with PAYLOAD_TOO_LARGE beyond the operator’s limit. The same content is stored once, and answers the first data set. Needs scaimind:manage.',
    args: {
      file: t.arg({ type: 'Upload', required: true, description: 'The records, as a file part of the request.' }),
      name: t.arg.string({ description: '1 to 255 characters, none of them a control character; default the file’s name.' }),
      format: t.arg.string({ description: '`jsonl`, `txt`, …; default from the name.' }),
    },
    async resolve(_root, { file, name, format }, { operations, caller }) {
      const { filename, content } = await file.open()
      return operations.data.upload(caller, { name: name ?? filename, format: format ?? null, content })
    },
  }),
)

const PrefetchDatasetSuccess = builder.objectRef<CachedDataset__Output>('PrefetchDatasetSuccess').implement({
  description: 'The copies are there.',
  fields: (t) => ({ cachedDataset: t.field({ type: CachedDatasetRef, description: 'The copies.', resolve: (copies) => copies }) }),
})

builder.mutationField('prefetchDataset', (t) =>
  t.field({
    type: PrefetchDatasetSuccess,
    errors: mutationErrors('PrefetchDataset'),
    complexity: 10,
    description:
      'Copies a data set to machines before a job needs it. RequestFailed with DATASET_NOT_FOUND or NODE_NOT_FOUND for what is not there. Needs scaimind:manage.',
    args: {
      datasetId: t.arg.id({ required: true, description: 'The data set, by its own id or its global one.' }),
      nodes: t.arg.idList({ description: 'The machines, by their own ids or their global ones; default all.' }),
      pin: t.arg.boolean({ defaultValue: false, description: 'Keep the copies until they are evicted.' }),
    },
    resolve: (_root, { datasetId, nodes, pin }, { operations, caller }) =>
      operations.data.prefetch(caller, ownIdOf('Dataset', datasetId), {
        nodes: nodes?.map((id) => ownIdOf('ClusterNode', id)) ?? null,
        pin: pin ?? null,
      }),
  }),
)

const EvictDatasetSuccess = builder.objectRef<{ bytesFreed: string }>('EvictDatasetSuccess').implement({
  description: 'The copies are gone.',
  fields: (t) => ({
    bytesFreed: t.field({ type: 'BigInt', description: 'Bytes that are free now, over all machines.', resolve: (e) => e.bytesFreed }),
  }),
})

builder.mutationField('evictDataset', (t) =>
  t.field({
    type: EvictDatasetSuccess,
    errors: mutationErrors('EvictDataset'),
    complexity: 10,
    description:
      'Deletes the copies of a data set from machines, pinned ones too; the data set stays. RequestFailed with DATASET_NOT_FOUND where there is none. Needs scaimind:cluster_admin.',
    args: { datasetId: t.arg.id({ required: true, description: 'The data set, by its own id or its global one.' }) },
    resolve: (_root, { datasetId }, { operations, caller }) => operations.data.evict(caller, ownIdOf('Dataset', datasetId)),
  }),
)
