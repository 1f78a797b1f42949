import type { DataHash__Output } from '../../../generated/proto/scaimind/v1/DataHash.js'
import type { TrainerCode__Output } from '../../../generated/proto/scaimind/v1/TrainerCode.js'
import { builder } from '../builder.js'
import { orNull, timeOf } from '../scalars.js'
import { JobRef } from './job.js'

const DataHashRef = builder.objectRef<DataHash__Output>('DataHash').implement({
  description: 'One source of a job’s data, by content.',
  fields: (t) => ({
    path: t.exposeString('path', { description: 'The source, as the submission named it.' }),
    contentHash: t.string({
      nullable: true,
      description: '`sha256:…` of the records, in their order; null until it is known.',
      resolve: (d) => orNull(d.content_hash),
    }),
    records: t.field({ type: 'BigInt', description: 'Usable records; 0 until they are counted.', resolve: (d) => d.records }),
    datasetId: t.id({ nullable: true, description: 'The uploaded data set; null for a file.', resolve: (d) => orNull(d.dataset_id) }),
  }),
})

const TrainerCodeRef = builder.objectRef<TrainerCode__Output>('TrainerCode').implement({
  description: 'What ran, by content.',
  fields: (t) => ({
    trainer: t.exposeString('trainer', { description: '`embedded` or `custom`.' }),
    version: t.string({
      nullable: true,
      description: 'Version of the embedded trainer; null for a script.',
      resolve: (c) => orNull(c.version),
    }),
    contentHash: t.string({
      nullable: true,
      description: '`sha256:…` of the script, or of the embedded trainer’s files; null until it is known.',
      resolve: (c) => orNull(c.content_hash),
    }),
  }),
})

builder.objectFields(JobRef, (t) => ({
  dataHashes: t.field({
    type: [DataHashRef],
    complexity: { field: 1, multiplier: 3 },
    description: 'Its data by content, a source each, in their order; empty until they are hashed.',
    resolve: ({ job }) => job.data_hashes ?? [],
  }),
  code: t.field({
    type: TrainerCodeRef,
    nullable: true,
    description: 'What ran last, or would run; null until it is known.',
    resolve: ({ job }) => job.code,
  }),
  archivedAt: t.field({
    type: 'DateTime',
    nullable: true,
    description: 'When it was put out of the way of listings; null where it is not archived.',
    resolve: ({ job }) => timeOf(job.archived_at),
  }),
}))
